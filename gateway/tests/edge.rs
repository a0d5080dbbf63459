//! The gateway between real clients and real servers. What a call looks like on one wire it must look like on all of them.

#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod world;

#[cfg(test)]
#[path = "edge/batched.rs"]
mod batched;
#[cfg(test)]
#[path = "edge/cors.rs"]
mod cors;
#[cfg(test)]
#[path = "edge/rates.rs"]
mod rates;

use std::time::{Duration, Instant};

use futures::StreamExt;
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use orderflow_contract::deadline;
use orderflow_proto::{
    catalog::v1::GetProductRequest,
    order::v1::{GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse},
};
use prost::Message;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use world::{
    PATIENCE, bearer,
    client::{Answer, GET_ORDER, GET_PRODUCT, LIST_ORDERS, Wire, framed, http},
    frames::{self, DATA, Frame, HEADERS},
    service_bearer, start, start_with,
    upstream::Upstream,
};

const ORDER: &str = "orderflow.order.v1.OrderService";
const USER: &str = "orderflow.user.v1.UserService";

fn order(id: &str) -> GetOrderRequest {
    GetOrderRequest { id: id.to_owned() }
}

fn pages(page_token: &str, page_size: i32) -> ListOrdersRequest {
    ListOrdersRequest {
        page_token: page_token.to_owned(),
        page_size,
        ..ListOrdersRequest::default()
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_answer_pass_unchanged() {
    let world = start().await;
    for wire in Wire::ALL {
        let answer = world
            .call(wire, GET_ORDER, &order("o-1"))
            .signed_in()
            .send()
            .await;
        assert_eq!(answer.code(), Code::Ok, "{wire:?}");
        let message: GetOrderResponse = answer.message();
        assert_eq!(message.order.unwrap().id, "o-1", "{wire:?}");
        assert_eq!(answer.headers["x-upstream"], "order", "{wire:?}");
        assert!(answer.headers.contains_key("trace-id"), "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_message_by_message() {
    let world = start().await;
    for wire in Wire::ALL {
        let answer = world
            .call(wire, LIST_ORDERS, &pages("", 300))
            .signed_in()
            .send()
            .await;
        assert_eq!(answer.code(), Code::Ok, "{wire:?}");
        let last = answer.messages.last().unwrap().as_slice();
        assert_eq!(answer.messages.len(), 300, "{wire:?}");
        assert_eq!(
            ListOrdersResponse::decode(last).unwrap().next_page_token,
            "300"
        );

        // The first message is here while the server has not made the second.
        let call = world.call(wire, LIST_ORDERS, &pages("wait", 0)).signed_in();
        let mut body = in_time(call.open()).await.into_body();
        let first = in_time(body.frame()).await.unwrap().unwrap();
        assert!(!first.into_data().unwrap().is_empty(), "{wire:?}");
        world.order.seen.go_on.notify_one();
        let rest = in_time(body.collect()).await.unwrap();
        assert!(!rest.to_bytes().is_empty(), "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_arrives_with_its_details_wherever_it_comes_from() {
    let world = start().await;
    for wire in Wire::ALL {
        let from_service = world.call(wire, GET_ORDER, &order("missing")).signed_in();
        let within_a_stream = world.call(wire, LIST_ORDERS, &pages("fail", 0)).signed_in();
        for (call, messages) in [(from_service, 0), (within_a_stream, 1)] {
            let answer = call.send().await;
            let status = answer.status();
            assert_eq!(status.code(), Code::NotFound, "{wire:?}");
            assert_eq!(status.message(), "no such order: ça n’existe pas");
            let details = status.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "ORDER_NOT_FOUND");
            assert_eq!(answer.messages.len(), messages, "{wire:?}");
        }
        let from_the_edge = world.call(wire, GET_ORDER, &order("o")).send().await;
        let status = from_the_edge.status();
        assert_eq!(status.code(), Code::Unauthenticated, "{wire:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOKEN_REQUIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_without_messages_is_one_frame() {
    let mut world = start().await;
    let token = bearer();
    let signed_in: &[_] = &[("authorization", token.as_str())];
    let frames = async |headers, id| {
        let body = framed(&order(id).encode_to_vec());
        in_time(frames::of_call(world.gateway, GET_ORDER, headers, &body)).await
    };
    let frame = |kind, ends_stream| Frame { kind, ends_stream };
    let answered = [
        frame(HEADERS, false),
        frame(DATA, false),
        frame(HEADERS, true),
    ];
    let refused = [frame(HEADERS, true)];

    assert_eq!(frames(signed_in, "o-1").await, answered);
    assert_eq!(
        frames(signed_in, "missing").await,
        refused,
        "from the service"
    );
    assert_eq!(frames(&[], "o-1").await, refused, "from the edge");
    world.order.kill().await;
    let body = framed(&order("o-1").encode_to_vec());
    let lost = in_time(frames::of_call(world.gateway, GET_ORDER, signed_in, &body)).await;
    assert_eq!(lost, refused, "from the relay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_error_without_messages_has_no_body() {
    let world = start().await;
    for wire in Wire::WEB {
        for id in ["missing", "no token"] {
            let mut call = world.call(wire, GET_ORDER, &order(id));
            if id == "missing" {
                call = call.signed_in();
            }
            let answer = call.send().await;
            assert!(answer.headers.contains_key("grpc-status"), "{wire:?} {id}");
            assert_eq!(answer.body, b"", "{wire:?} {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_client_chooses_how_the_answer_comes() {
    let world = start().await;
    let kind = async |wire, accept| {
        let call = world.call(wire, GET_ORDER, &order("o")).signed_in();
        let response = call.header("accept", accept).open().await;
        response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let text = "application/grpc-web-text+proto";
    let binary = "application/grpc-web+proto";
    assert_eq!(kind(Wire::Web1, "*/*").await, binary);
    assert_eq!(kind(Wire::Text1, "*/*").await, text);
    assert_eq!(kind(Wire::Web1, "application/grpc-web-text").await, text);
    assert_eq!(
        kind(Wire::Text1, "application/grpc-web+proto").await,
        binary
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_users_get_in() {
    let world = start().await;
    let whole = bearer();
    let unsigned = whole.rsplit_once('.').unwrap().0;
    for wire in Wire::ALL {
        for token in [
            "",
            "Bearer",
            "Bearer x.y.z",
            "Basic eDp5",
            unsigned,
            &service_bearer(),
        ] {
            let call = world.call(wire, GET_ORDER, &order("o"));
            let answer = call.header("authorization", token).send().await;
            assert_eq!(answer.code(), Code::Unauthenticated, "{wire:?} {token}");
        }
        let twice = world
            .call(wire, GET_ORDER, &order("o"))
            .signed_in()
            .signed_in();
        assert_eq!(twice.send().await.code(), Code::Unauthenticated, "{wire:?}");
    }
    assert_eq!(world.order.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_public_does_not_exist() {
    let world = start().await;
    for wire in Wire::ALL {
        for path in [
            "/orderflow.user.v1.IdentityService/GetKeys",
            "/orderflow.catalog.v1.InventoryService/Reserve",
            "/orderflow.order.v1.OrderService/Nothing",
            "/orderflow.order.v1.OrderService/GetOrder/",
            "//orderflow.order.v1.OrderService/GetOrder",
            "/orderflow.order.v1.OrderService/%47etOrder",
            "/grpc.health.v1.Health/Nothing",
        ] {
            for token in [bearer(), service_bearer()] {
                let call = world
                    .call(wire, path, &order("o"))
                    .header("authorization", &token);
                assert_eq!(
                    call.send().await.code(),
                    Code::Unimplemented,
                    "{wire:?} {path}"
                );
            }
        }
    }
    assert_eq!(world.order.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_see_the_token_and_the_trace_and_nothing_made_up() {
    let world = start().await;
    let token = bearer();
    let trace_id = "0123456789abcdef0123456789abcdef";
    for wire in Wire::ALL {
        let answer = world
            .call(wire, GET_ORDER, &order("o"))
            .header("authorization", &token)
            .header("traceparent", &format!("00-{trace_id}-0123456789abcdef-01"))
            .header("grpc-timeout", "9S")
            .header("x-user-id", "somebody else")
            .header("x-user-roles", "admin")
            .header("x-forwarded-user", "admin")
            .header("x-orderflow-caller", "admin")
            .send()
            .await;
        assert_eq!(answer.code(), Code::Ok, "{wire:?}");
        assert_eq!(answer.headers["trace-id"], trace_id, "{wire:?}");
        let headers = world.order.seen.headers();
        assert_eq!(headers["authorization"], token, "{wire:?}");
        let left = deadline::read(headers["grpc-timeout"].as_bytes()).unwrap();
        assert!(left < Duration::from_secs(9), "{wire:?} {left:?}");
        assert!(left > Duration::from_secs(8), "{wire:?} {left:?}");
        assert_eq!(headers["content-type"], "application/grpc", "{wire:?}");
        assert!(headers["traceparent"].to_str().unwrap().contains(trace_id));
        let made_up = |name: &str| name.starts_with("x-");
        assert!(
            !headers.keys().any(|name| made_up(name.as_str())),
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_asks_for_goes_no_further() {
    let world = start().await;
    for wire in Wire::ALL {
        let request = GetProductRequest::default();
        let answer = world.call(wire, GET_PRODUCT, &request).signed_in();
        assert_eq!(answer.send().await.code(), Code::Ok, "{wire:?}");
        let headers = world.catalog.seen.headers();
        assert!(!headers.contains_key("authorization"), "{wire:?}");
        assert!(headers.contains_key("traceparent"), "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_whole_and_of_a_mebibyte_at_most() {
    let world = start().await;
    // A string of this length, with its key and length in front, makes a message of a mebibyte.
    let largest = order(&"x".repeat(1024 * 1024 - 4));
    assert_eq!(largest.encoded_len(), 1024 * 1024);
    for wire in Wire::ALL {
        let send = async |body: Vec<u8>| {
            let call = world.call(wire, GET_ORDER, &order("o")).signed_in();
            call.body(body).send().await.code()
        };
        assert_eq!(
            send(framed(&largest.encode_to_vec())).await,
            Code::Ok,
            "{wire:?}"
        );
        let mut larger = largest.encode_to_vec();
        larger.extend([24, 1]);
        assert_eq!(
            send(framed(&larger)).await,
            Code::ResourceExhausted,
            "{wire:?}"
        );

        let whole = framed(&order("o-1").encode_to_vec());
        let cut = whole[..whole.len() - 1].to_vec();
        assert_eq!(send(cut).await, Code::InvalidArgument, "{wire:?}");
    }
    for wire in Wire::ALL {
        let whole = framed(&order("o-1").encode_to_vec());
        let mut longer = whole.clone();
        longer[4] += 1;
        let mut shorter = whole.clone();
        shorter[4] -= 1;
        for (what, body) in [
            ("half a prefix", whole[..3].to_vec()),
            ("a prefix alone", whole[..5].to_vec()),
            ("a length too long", longer),
            ("a length too short", shorter),
            ("an enormous length", [&[0][..], &[255; 4], &whole].concat()),
        ] {
            let call = world.call(wire, GET_ORDER, &order("o")).signed_in();
            let code = call.body(body).send().await.code();
            let refused = [Code::InvalidArgument, Code::ResourceExhausted];
            assert!(refused.contains(&code), "{wire:?} {what}: {code:?}");
        }
    }
    for wire in [Wire::Text1, Wire::Text2] {
        for text in [
            "AAAA=AAA",
            "AAAAAA==AAAA",
            "AAAAAA==AAAAAA==",
            "!!!!",
            "AAAAA",
            "AAA\0",
        ] {
            let call = world.call(wire, GET_ORDER, &order("o")).signed_in();
            let answer = call.body(text.into()).send().await;
            assert_eq!(answer.code(), Code::InvalidArgument, "{wire:?} {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_gets_an_answer_in_http() {
    let world = start().await;
    for http2 in [false, true] {
        let ask = async |method: Method, path: &str, kind: Option<&str>| {
            let mut request = Request::builder()
                .method(method)
                .uri(format!("http://{}{path}", world.gateway));
            if let Some(kind) = kind {
                request = request.header(CONTENT_TYPE, kind);
            }
            http(http2, request.body(Full::default()).unwrap()).await
        };
        for kind in [None, Some("application/grpc"), Some("application/grpc-web")] {
            let get = ask(Method::GET, GET_ORDER, kind).await;
            assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED, "{kind:?}");
            assert_eq!(get.headers()["allow"], "POST");
        }
        for kind in [
            None,
            Some("application/json"),
            Some("application/grpc+json"),
        ] {
            let post = ask(Method::POST, GET_ORDER, kind).await;
            assert_eq!(
                post.status(),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{kind:?}"
            );
        }
    }
    let grpc = Request::post(format!("http://{}{GET_ORDER}", world.gateway))
        .header(CONTENT_TYPE, "application/grpc")
        .body(Full::default())
        .unwrap();
    let answer = http(false, grpc).await;
    assert_eq!(answer.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_the_services_say() {
    let mut world = start().await;
    for service in [ORDER, USER, "orderflow.catalog.v1.CatalogService"] {
        assert_eq!(world.health(service).await, ServingStatus::Serving);
    }
    world.order.kill().await;
    let killed = Instant::now();
    world.wait_until(ORDER, false).await;
    world.wait_until("", false).await;
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(world.health(USER).await, ServingStatus::Serving);

    world.order.restart().await;
    world.wait_until(ORDER, true).await;
    world.wait_until("", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_says_so_and_finishes_what_it_began() {
    let world = start().await;
    let mut statuses = world.watch("").await;
    let call = world
        .call(Wire::Grpc, LIST_ORDERS, &pages("wait", 0))
        .signed_in();
    let begun = in_time(call.open()).await;

    world.shut_down();
    while in_time(statuses.next()).await != Some(ServingStatus::NotServing) {}
    drop(statuses);
    world.order.seen.go_on.notify_one();
    let answer = in_time(Answer::read(Wire::Grpc, begun)).await;
    assert_eq!((answer.messages.len(), answer.code()), (2, Code::Ok));
    world.end().await.unwrap();
}

/// The same for both versions of the protocol, which differ only in their name.
macro_rules! reflect {
    ($world:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = async |question| {
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(question),
            };
            let mut client = ServerReflectionClient::new($world.channel());
            let asked = client
                .server_reflection_info(tokio_stream::once(request))
                .await?;
            let answer = asked.into_inner().message().await?;
            Ok::<_, Status>(answer.unwrap().message_response.unwrap())
        };
        let listed = ask(MessageRequest::ListServices(String::new())).await;
        let Ok(MessageResponse::ListServicesResponse(list)) = listed else {
            panic!("{listed:?}");
        };
        let names: Vec<_> = list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect();
        let file =
            async |symbol: &str| match ask(MessageRequest::FileContainingSymbol(symbol.to_owned()))
                .await?
            {
                MessageResponse::FileDescriptorResponse(files) => {
                    Ok::<_, Status>(files.file_descriptor_proto)
                }
                other => panic!("{other:?}"),
            };
        (
            names,
            file("orderflow.order.v1.OrderService.CreateOrder").await,
            file("google.rpc.ErrorInfo").await,
            file("orderflow.catalog.v1.InventoryService").await,
        )
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_what_is_public_with_its_options() {
    let world = start().await;
    for (names, order, details, internal) in [reflect!(world, v1), reflect!(world, v1alpha)] {
        let listed = |name: &str| names.iter().any(|listed| listed == name);
        for name in [
            "user.v1.UserService",
            "catalog.v1.CatalogService",
            "order.v1.OrderService",
        ] {
            assert!(listed(&format!("orderflow.{name}")), "{names:?}");
        }
        assert!(listed("grpc.health.v1.Health"), "{names:?}");
        assert!(
            !listed("orderflow.catalog.v1.InventoryService"),
            "{names:?}"
        );
        assert!(!listed("orderflow.user.v1.IdentityService"), "{names:?}");

        // To the byte what was compiled, or the custom options would be gone.
        let compiled = orderflow_proto::descriptors()
            .get_file_by_name("orderflow/order/v1/order_service.proto")
            .unwrap();
        assert_eq!(order.unwrap(), [compiled.encode_to_vec()]);
        assert!(details.is_ok());
        assert_eq!(internal.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_gateway_is_not_ready_and_blames_no_token() {
    let without_keys = Upstream::start("keyless").await;
    let world = start_with(without_keys).await;
    world.wait_until(ORDER, true).await;
    world.wait_until(USER, true).await;
    let call = world.call(Wire::Grpc, GET_ORDER, &order("o"));
    assert_eq!(call.signed_in().send().await.code(), Code::Unavailable);
    assert_eq!(world.health("").await, ServingStatus::NotServing);
}
