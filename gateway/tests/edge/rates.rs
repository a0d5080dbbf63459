//! How often clients may call, by address and by user.

use http::{Request, StatusCode};
use http_body_util::Full;
use orderflow_gateway::Limits;
use orderflow_proto::{
    order::v1::GetOrderRequest,
    user::v1::{LoginRequest, RegisterRequest},
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{
    World, bearer,
    client::{Answer, GET_ORDER, Wire, http},
    start_told,
};

const LOGIN: &str = "/orderflow.user.v1.UserService/Login";
const REGISTER: &str = "/orderflow.user.v1.UserService/Register";

async fn limited(adjust: impl FnOnce(&mut Limits)) -> World {
    start_told(|config| adjust(&mut config.limits)).await
}

fn order() -> GetOrderRequest {
    GetOrderRequest { id: "o".to_owned() }
}

#[track_caller]
fn assert_refused(answer: &Answer, context: impl std::fmt::Debug) {
    let status = answer.status();
    assert_eq!(status.code(), Code::ResourceExhausted, "{context:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_CALLS");
    assert!(details.retry_info().unwrap().retry_delay.unwrap().as_secs() <= 60);
    assert_eq!(answer.messages.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_requests_in_whatever_form() {
    for wire in Wire::ALL {
        // One for the question whether it is ready, one for a call.
        let world = limited(|limits| limits.per_address = "2/m".parse().unwrap()).await;
        let call = async || {
            let call = world.call(wire, GET_ORDER, &order()).signed_in();
            call.send().await
        };
        assert_eq!(call().await.code(), Code::Ok, "{wire:?}");
        assert_refused(&call().await, wire);
        assert_eq!(world.order.seen.calls(), 1, "nothing was sent");

        let get = Request::get(format!("http://{}/v1/products", world.gateway));
        let get = http(false, get.body(Full::default()).unwrap()).await;
        assert_eq!(get.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = get.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=30).contains(&seconds), "{seconds}");
        assert!(get.headers().contains_key("trace-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_calls_and_another_user_as_many() {
    let world = limited(|limits| limits.per_user = "3/m".parse().unwrap()).await;
    for wire in Wire::ALL {
        let (ada, bob) = (bearer(), bearer());
        let call = async |token: &str| {
            let call = world
                .call(wire, GET_ORDER, &order())
                .header("authorization", token);
            call.send().await
        };
        for _ in 0..3 {
            assert_eq!(call(&ada).await.code(), Code::Ok, "{wire:?}");
        }
        let calls = world.order.seen.calls();
        assert_refused(&call(&ada).await, wire);
        assert_eq!(world.order.seen.calls(), calls, "nothing was sent");
        assert_eq!(call(&bob).await.code(), Code::Ok, "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_do_at_a_cost_has_a_limit_of_its_own() {
    let world = limited(|limits| limits.sign_ins = "3/m".parse().unwrap()).await;
    let login = async || {
        let call = world.call(Wire::Grpc, LOGIN, &LoginRequest::default());
        call.send().await
    };
    for _ in 0..3 {
        assert_eq!(
            login().await.code(),
            Code::Unimplemented,
            "by the script's own word"
        );
    }
    assert_refused(&login().await, "login");
    let register = world.call(Wire::Web1, REGISTER, &RegisterRequest::default());
    assert_refused(&register.send().await, "register");
    // Whoever is signed in already does not notice.
    let call = world.call(Wire::Grpc, GET_ORDER, &order()).signed_in();
    assert_eq!(call.send().await.code(), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_address_counts_for_the_real_one() {
    let login = async |world: &World, client: &str| {
        let call = world.call(Wire::Grpc, LOGIN, &LoginRequest::default());
        call.header("x-forwarded-for", client)
            .header("forwarded", &format!("for={client}"))
            .header("x-real-ip", client)
            .send()
            .await
            .code()
    };
    let world = limited(|limits| limits.sign_ins = "3/m".parse().unwrap()).await;
    for n in 0..3 {
        assert_eq!(
            login(&world, &format!("192.0.2.{n}")).await,
            Code::Unimplemented
        );
    }
    assert_eq!(login(&world, "192.0.2.9").await, Code::ResourceExhausted);

    // From a proxy that is trusted it is the client's own.
    let world = limited(|limits| {
        limits.sign_ins = "1/m".parse().unwrap();
        limits.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await;
    for n in 0..4 {
        let client = format!("203.0.113.7, 192.0.2.{n}");
        assert_eq!(
            login(&world, &client).await,
            Code::Unimplemented,
            "{client}"
        );
        assert_eq!(
            login(&world, &client).await,
            Code::ResourceExhausted,
            "{client}"
        );
    }
}
