//! What browsers are told about pages of other sites.

use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use orderflow_proto::order::v1::GetOrderRequest;
use tonic::Code;

use crate::world::{
    World,
    client::{GET_ORDER, Wire, http},
    start, start_told,
};

const SHOP: &str = "https://shop.example";

async fn with_a_shop() -> World {
    start_told(|config| config.cors_origins = SHOP.parse().unwrap()).await
}

/// Asks as a browser does before it sends what a page wants to send.
async fn preflight(world: &World, path: &str, method: &str, origin: &str) -> HeaderMap {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(format!("http://{}{path}", world.gateway))
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header(
            "access-control-request-headers",
            "authorization,content-type,x-grpc-web",
        );
    let response = http(false, request.body(Full::default()).unwrap()).await;
    response.headers().clone()
}

fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(','));
    values.map(|value| value.trim().to_lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_known_site_may_call_and_read_the_answer() {
    let world = with_a_shop().await;
    for (path, method) in [
        (GET_ORDER, "POST"),
        ("/v1/orders/o", "GET"),
        ("/v1/me", "PATCH"),
        ("/v1/products/p", "DELETE"),
    ] {
        let headers = preflight(&world, path, method, SHOP).await;
        assert_eq!(headers["access-control-allow-origin"], SHOP, "{path}");
        assert!(list(&headers, "access-control-allow-methods").contains(&method.to_lowercase()));
        let allowed = list(&headers, "access-control-allow-headers");
        for header in [
            "content-type",
            "authorization",
            "x-grpc-web",
            "x-user-agent",
            "grpc-timeout",
            "idempotency-key",
            "traceparent",
        ] {
            assert!(
                allowed.contains(&header.to_owned()),
                "{header}: {allowed:?}"
            );
        }
        assert!(headers.contains_key("access-control-max-age"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert!(list(&headers, "vary").contains(&"origin".to_owned()));
    }
    for wire in Wire::WEB {
        // The answer and the refusal alike: a page must be able to see why.
        for (signed_in, code) in [(true, Code::Ok), (false, Code::Unauthenticated)] {
            let call = world.call(wire, GET_ORDER, &GetOrderRequest { id: "o".to_owned() });
            let call = if signed_in { call.signed_in() } else { call };
            let answer = call.header("origin", SHOP).send().await;
            assert_eq!(answer.code(), code, "{wire:?}");
            let headers = &answer.headers;
            assert_eq!(headers["access-control-allow-origin"], SHOP, "{wire:?}");
            assert!(!headers.contains_key("access-control-allow-credentials"));
            assert!(list(headers, "vary").contains(&"origin".to_owned()));
            let exposed = list(headers, "access-control-expose-headers");
            for header in [
                "grpc-status",
                "grpc-message",
                "grpc-status-details-bin",
                "trace-id",
                "retry-after",
                "www-authenticate",
            ] {
                assert!(
                    exposed.contains(&header.to_owned()),
                    "{header}: {exposed:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_gets_an_allowance() {
    let world = with_a_shop().await;
    for origin in [
        "null",
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://sub.shop.example",
        "https://SHOP.example",
        "https://shop.example/",
        "*",
        "",
    ] {
        let headers = preflight(&world, GET_ORDER, "POST", origin).await;
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
        let call = world.call(
            Wire::Web2,
            GET_ORDER,
            &GetOrderRequest { id: "o".to_owned() },
        );
        let answer = call.signed_in().header("origin", origin).send().await;
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_no_site_is_known() {
    let world = start().await;
    for origin in [SHOP, "null", "http://localhost:3000"] {
        let headers = preflight(&world, GET_ORDER, "POST", origin).await;
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
}
