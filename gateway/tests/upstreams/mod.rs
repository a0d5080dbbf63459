//! The services behind the gateway: several, slow, lost, or with too much to do.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use orderflow_proto::{
    catalog::v1::ListProductsRequest,
    order::v1::{CreateOrderRequest, order_service_client::OrderServiceClient},
};
use prost::Message;
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::{
    in_time, order, pages,
    world::{
        bearer,
        client::{Answer, CREATE_ORDER, GET_ORDER, LIST_ORDERS, LIST_PRODUCTS, Wire, framed},
        start, start_with_another,
        upstream::Upstream,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_service_the_answer_is_unavailable_at_once() {
    let mut world = start().await;
    world.catalog.kill().await;
    for wire in Wire::ALL {
        let asked = Instant::now();
        let call = world.call(wire, LIST_PRODUCTS, &ListProductsRequest::default());
        let status = call.send().await.status();
        assert_eq!(status.code(), Code::Unavailable, "{wire:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{wire:?}");
        assert!(
            status.get_error_details().retry_info().is_some(),
            "{wire:?}"
        );
    }
    // The others are unharmed, and so is it when it is back.
    let other = world.call(Wire::Grpc, GET_ORDER, &order("o")).signed_in();
    assert_eq!(other.send().await.code(), Code::Ok);
    world.wait_until("", false).await;
    world.catalog.restart().await;
    world.wait_until("", true).await;
    let again = world.call(Wire::Grpc, LIST_PRODUCTS, &ListProductsRequest::default());
    assert_eq!(
        again.send().await.code(),
        Code::Unimplemented,
        "by the script's own word"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lost_within_a_call_is_unavailable() {
    for wire in Wire::ALL {
        let mut world = start().await;
        let seen = world.order.seen.clone();
        let stream = world.call(wire, LIST_ORDERS, &pages("hang", 0)).signed_in();
        let stream = in_time(stream.open()).await;
        in_time(seen.arrived.notified()).await;
        let call = world
            .call(wire, CREATE_ORDER, &CreateOrderRequest::default())
            .signed_in();
        let call = tokio::spawn(call.send());
        in_time(seen.arrived.notified()).await;

        world.order.kill().await;
        assert_eq!(
            in_time(call).await.unwrap().code(),
            Code::Unavailable,
            "{wire:?}"
        );
        let broken = in_time(Answer::read(wire, stream)).await;
        assert_eq!(broken.messages.len(), 1, "{wire:?}");
        assert_eq!(broken.code(), Code::Unavailable, "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_not_be_made_twice_is_made_once() {
    let world = start().await;
    let seen = world.order.seen.clone();
    for (wire, calls) in Wire::ALL.into_iter().zip(1..) {
        let broken = CreateOrderRequest {
            request_id: "break".to_owned(),
            ..CreateOrderRequest::default()
        };
        let call = world.call(wire, CREATE_ORDER, &broken).signed_in();
        assert_eq!(
            in_time(call.send()).await.code(),
            Code::Unavailable,
            "{wire:?}"
        );
        assert_eq!(seen.calls(), calls, "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_be_made_twice_is_made_again_elsewhere() {
    let other = Upstream::start("order").await;
    let world = start_with_another(&other).await;
    world.order.seen.failing.store(true, SeqCst);
    // Until the first one was asked: nobody noticed.
    let asked = async {
        while world.order.seen.calls() == 0 {
            let call = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
            assert_eq!(call.send().await.code(), Code::Ok);
        }
    };
    in_time(asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_every_call_gets_few_more_of_them() {
    const OFFERED: usize = 200;
    let world = start().await;
    world.order.seen.failing.store(true, SeqCst);
    for _ in 0..OFFERED {
        let call = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
        assert_eq!(in_time(call.send()).await.code(), Code::Unavailable);
    }
    let calls = world.order.seen.calls();
    assert!(calls > OFFERED, "none was made again");
    assert!(calls <= OFFERED * 12 / 10, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_takes_no_calls_with_it_for_long() {
    let mut other = Upstream::start("order").await;
    let world = start_with_another(&other).await;
    other.kill().await;
    let call = async || {
        let call = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
        in_time(call.send()).await.code()
    };
    // At once, but for those that find the connection lost; one in ten of them is made again.
    let mut lost = 0;
    for _ in 0..50 {
        lost += usize::from(call().await != Code::Ok);
    }
    assert!(lost <= 1, "{lost}");
    assert_eq!(world.health("").await, ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_sends_its_request_takes_no_room() {
    const ROOM: usize = 1_000;
    let world = start().await;
    // The gateway takes 256 on a connection.
    let clients: [Client<HttpConnector, Body>; 5] = std::array::from_fn(|_| {
        Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http()
    });
    let request = |client: usize, path: &str, body: Body| {
        let request = Request::post(format!("http://{}{path}", world.gateway))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", bearer());
        clients[client % 5].request(request.body(body).unwrap())
    };
    let half = Bytes::from(framed(&order("o-1").encode_to_vec())).slice(..4);
    let begun = Arc::new(Semaphore::new(0));
    let never = || {
        let half = stream::iter([Ok::<_, Status>(half.clone())]);
        let begun = begun.clone();
        let rest = async move {
            begun.add_permits(1);
            pending().await
        };
        Body::from_stream(half.chain(stream::once(rest)))
    };
    let _held: Vec<_> = (0..ROOM)
        .map(|i| tokio::spawn(request(i, CREATE_ORDER, never())))
        .collect();
    let _begun = in_time(begun.acquire_many(1_000)).await.unwrap();
    // Behind them on every connection: so the gateway has met them all.
    for i in 0..clients.len() {
        let behind = request(i, LIST_PRODUCTS, Body::from(framed(&[])));
        in_time(behind).await.unwrap();
    }
    let call = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
    assert_eq!(in_time(call.send()).await.code(), Code::Ok);
    assert_eq!(world.order.seen.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_time_is_over_it_is_deadline_exceeded() {
    let world = start().await;
    let request = CreateOrderRequest::default();
    for wire in Wire::ALL {
        let call = |timeout| {
            world
                .call(wire, CREATE_ORDER, &request)
                .signed_in()
                .header("grpc-timeout", timeout)
        };
        let asked = Instant::now();
        assert_eq!(
            call("500m").send().await.code(),
            Code::DeadlineExceeded,
            "{wire:?}"
        );
        let taken = asked.elapsed();
        assert!(taken > Duration::from_millis(400), "{wire:?} {taken:?}");
        assert!(taken < Duration::from_secs(5), "{wire:?} {taken:?}");
        // The service learns that nobody waits any more.
        in_time(world.order.seen.left.notified()).await;

        let stream = world.call(wire, LIST_ORDERS, &pages("hang", 0)).signed_in();
        let answer = in_time(stream.header("grpc-timeout", "2S").send()).await;
        assert_eq!(answer.messages.len(), 1, "{wire:?}");
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{wire:?}");
        in_time(world.order.seen.left.notified()).await;

        let calls = world.order.seen.calls();
        assert_eq!(
            call("0n").send().await.code(),
            Code::DeadlineExceeded,
            "{wire:?}"
        );
        assert_eq!(
            call("abc").send().await.code(),
            Code::InvalidArgument,
            "{wire:?}"
        );
        assert_eq!(world.order.seen.calls(), calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_has_no_room_for_is_refused_before_it_is_sent() {
    const ROOM: usize = 1_000;
    let world = start().await;
    let seen = &world.order.seen;
    // The gateway takes 256 on a connection.
    let orders: [_; 5] = std::array::from_fn(|_| OrderServiceClient::new(world.channel()));
    let never_answered = |i: usize| {
        let mut orders = orders[i % 5].clone();
        let mut request = tonic::Request::new(CreateOrderRequest::default());
        let bearer = bearer().parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        tokio::spawn(async move { orders.create_order(request).await })
    };
    let calls: Vec<_> = (0..ROOM).map(never_answered).collect();
    while seen.calls() < ROOM {
        in_time(seen.arrived.notified()).await;
    }

    let refused = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
    let status = in_time(refused.send()).await.status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(seen.calls(), ROOM);
    // Another service has room of its own; this one stands in for a catalog without lists.
    let elsewhere = world.call(Wire::Grpc, LIST_PRODUCTS, &ListProductsRequest::default());
    assert_eq!(in_time(elsewhere.send()).await.code(), Code::Unimplemented);

    // Who leaves makes room.
    calls[0].abort();
    in_time(seen.left.notified()).await;
    let served = async {
        loop {
            let call = world.call(Wire::Grpc, GET_ORDER, &order("o-1")).signed_in();
            if call.send().await.code() == Code::Ok {
                return;
            }
        }
    };
    in_time(served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_takes_the_call_along() {
    let world = start().await;
    for wire in Wire::ALL {
        let stream = world.call(wire, LIST_ORDERS, &pages("hang", 0)).signed_in();
        drop(in_time(stream.open()).await);
        in_time(world.order.seen.left.notified()).await;
    }
}
