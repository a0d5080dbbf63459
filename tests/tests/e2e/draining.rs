//! Programs that are told to end while they are busy: what is in flight succeeds, and nobody who stays silent or holds a stream
//! open keeps them.

use std::{
    collections::HashMap,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use orderflow_chassis::Shutdown;
use orderflow_proto::{
    catalog::v1::{GetProductRequest, Product, catalog_service_client::CatalogServiceClient},
    order::v1::WatchOrdersRequest,
    user::v1::GetMeRequest,
};
use orderflow_testkit::{Person, eventually};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Status, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::programs::{is_ready, settings, signal, start};

const CLIENTS: usize = 16;
/// How many calls have succeeded before the program is told to end.
const BEFORE: usize = 200;

/// A call that this program has a part in.
async fn call(program: &str, ada: &Person, product: &Product) -> Result<(), Status> {
    match program {
        "user" => ada.users().get_me(GetMeRequest {}).await.map(drop),
        "catalog" => {
            let id = product.id.clone();
            let mut catalog = CatalogServiceClient::new(ada.channel.clone());
            catalog
                .get_product(GetProductRequest { id })
                .await
                .map(drop)
        }
        _ => ada.order().line(product, 1).place().await.map(drop),
    }
}

/// By the client's own word.
fn was_never_sent(status: &Status) -> bool {
    let is_so = |cause: &(dyn Error + 'static)| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        cause.is::<tonic::ConnectError>() || hyper.is_some_and(hyper::Error::is_canceled)
    };
    std::iter::successors(status.source(), |cause| Error::source(*cause)).any(is_so)
}

async fn ends_in_good_order(victim: &str) {
    let settings = settings().await;
    let mut programs: HashMap<_, _> = ["user", "catalog", "order", "gateway"]
        .map(|program| (program, start(program, &settings)))
        .into();
    let gateway = &programs["gateway"];
    eventually("ready", async || is_ready(gateway).await).await;
    let channel = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let ada = Person::register(channel.connect().await.unwrap(), "ada").await;
    let product = ada.product().stock(1_000_000).create().await;
    let buyers = join_all((0..CLIENTS).map(|_| ada.by_way_of(gateway.address))).await;
    let mut ending = programs.remove(victim).unwrap();

    let _silent = TcpStream::connect(ending.address).await.unwrap();
    let mut deaf = TcpStream::connect(ending.address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    deaf.write_all(preface).await.unwrap();
    let watching = Endpoint::from_shared(format!("http://{}", ending.address)).unwrap();
    let mut watching = HealthClient::new(watching.connect().await.unwrap());
    let watched = watching.watch(HealthCheckRequest::default()).await.unwrap();
    let mut statuses = watched.into_inner();

    // What lasts until one side ends it.
    let mut watching = ada.orders();
    let watched = watching.watch_orders(WatchOrdersRequest::default());
    let mut orders = watched.await.unwrap().into_inner();

    let ended = Shutdown::new();
    let succeeded = AtomicUsize::new(0);
    let client = async |buyer: &Person| {
        let mut failed = Vec::new();
        while !ended.is_cancelled() {
            let begun = Instant::now();
            match call(victim, buyer, &product).await {
                Ok(()) => _ = succeeded.fetch_add(1, SeqCst),
                Err(status) => failed.push((begun, status)),
            }
        }
        failed
    };
    let end = async {
        eventually("busy", async || {
            (succeeded.load(SeqCst) >= BEFORE).then_some(())
        })
        .await;
        let told = Instant::now();
        signal(&ending, "-TERM").await;
        let exited = timeout(Duration::from_secs(10), ending.child.wait()).await;
        assert!(exited.expect("it still runs").unwrap().success());
        ended.cancel();
        told
    };
    let (told, failed) = tokio::join!(end, join_all(buyers.iter().map(client)));
    for (begun, status) in failed.into_iter().flatten() {
        // Behind the gateway, a call that has begun need not have come to the program yet.
        let may_fail = begun > told || victim != "gateway" || was_never_sent(&status);
        assert!(may_fail, "it was in flight: {status:?}");
        // What a client makes by itself of a connection that has gone before anything was sent has an error for its source.
        let is_our_own = status.source().is_some();
        assert!(
            status.code() == Code::Unavailable || is_our_own,
            "{status:?}"
        );
    }

    // Who watched was told twice: that it is not ready any more, and to look elsewhere.
    let mut last = None;
    while let Some(status) = statuses.next().await {
        last = Some(status);
    }
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Unavailable);
    if ["order", "gateway"].contains(&victim) {
        let mut last = None;
        while let Some(order) = orders.next().await {
            last = Some(order);
        }
        assert_eq!(last.unwrap().unwrap_err().code(), Code::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway() {
    ends_in_good_order("gateway").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_service() {
    ends_in_good_order("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog() {
    ends_in_good_order("catalog").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_service() {
    ends_in_good_order("user").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let settings = settings().await;
    let mut user = start("user", &settings);
    eventually("ready", async || is_ready(&user).await).await;
    // What nobody would wait for the end of, but for some seconds.
    let watching = Endpoint::from_shared(format!("http://{}", user.address)).unwrap();
    let mut watching = HealthClient::new(watching.connect().await.unwrap());
    let watched = watching.watch(HealthCheckRequest::default()).await.unwrap();
    signal(&user, "-TERM").await;
    let mut statuses = watched.into_inner();
    // SERVING, then NOT_SERVING: it has heard the first one.
    for _ in 0..2 {
        statuses.next().await.unwrap().unwrap();
    }
    signal(&user, "-INT").await;
    let exited = timeout(Duration::from_secs(10), user.child.wait()).await;
    assert_eq!(exited.expect("it still runs").unwrap().code(), Some(1));
}
