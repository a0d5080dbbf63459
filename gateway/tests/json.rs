//! HTTP/JSON at the edge: real HTTP clients, the whole gateway, scripted servers behind it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "another test uses the rest")]
mod world;

use axum::body::Body;
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use world::{PATIENCE, World, bearer, client, start};

/// A call as `curl` would make it.
struct Call {
    request: http::request::Builder,
    body: Vec<u8>,
    http2: bool,
}

struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn call(world: &World, method: Method, path: &str) -> Call {
    let uri = format!("http://{}{path}", world.gateway);
    Call {
        request: Request::builder().method(method).uri(uri),
        body: Vec::new(),
        http2: false,
    }
}

fn get(world: &World, path: &str) -> Call {
    call(world, Method::GET, path).signed_in()
}

impl Call {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn signed_in(self) -> Self {
        self.header("authorization", &bearer())
    }

    fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    async fn send(self) -> Answer {
        let request = self.request.body(Full::from(self.body)).unwrap();
        let sent = async {
            let response = client::http(self.http2, request).await;
            let (head, body) = response.into_parts();
            Answer {
                http: head.status,
                headers: head.headers,
                body: Body::collect(body).await.unwrap().to_bytes().to_vec(),
            }
        };
        tokio::time::timeout(PATIENCE, sent).await.expect("in time")
    }
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        assert_eq!(self.headers[CACHE_CONTROL], "no-store");
        assert!(self.headers.contains_key("trace-id"));
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of HTTP, that of gRPC, and the reason.
    fn error(&self) -> (u16, i64, String) {
        let json = self.json();
        let reason = json["details"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|detail| {
                let is_info = detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo";
                is_info.then(|| detail["reason"].as_str().unwrap().to_owned())
            });
        let code = json["code"].as_i64().unwrap();
        (self.http.as_u16(), code, reason.expect("a reason"))
    }

    /// The fields that it calls wrong.
    fn wrong_fields(&self) -> Vec<String> {
        assert_eq!(self.http, 400, "{}", String::from_utf8_lossy(&self.body));
        let json = self.json();
        let details = json["details"].as_array().unwrap().iter();
        let violations = details.filter_map(|detail| detail["fieldViolations"].as_array());
        let field = |violation: &Value| violation["field"].as_str().unwrap_or_default().to_owned();
        violations.flatten().map(field).collect()
    }
}

fn error(http: u16, code: i64, reason: &str) -> (u16, i64, String) {
    (http, code, reason.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_answer_are_json() {
    let world = start().await;
    for call in [
        get(&world, "/v1/orders/o%2F1"),
        get(&world, "/v1/orders/o%2F1").http2(),
    ] {
        let answer = call.header("x-user-id", "somebody").send().await;
        assert_eq!(answer.http, 200);
        let order = &answer.json()["order"];
        assert_eq!(order["id"], "o/1");
        assert_eq!(order["lines"], json!([]));
        assert_eq!(order["status"], "ORDER_STATUS_UNSPECIFIED");
        // What is between the gateway and its services stays there.
        assert!(!answer.headers.contains_key("x-upstream"));
        assert!(!answer.headers.contains_key("grpc-status"));
        let seen = world.order.seen.headers();
        assert_eq!(seen["content-type"], "application/grpc");
        assert!(!seen.contains_key("x-user-id"));
    }
    let head = call(&world, Method::HEAD, "/v1/orders/o")
        .signed_in()
        .send()
        .await;
    assert_eq!((head.http, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_arrives_with_its_details_wherever_it_comes_from() {
    let mut world = start().await;
    let missing = get(&world, "/v1/orders/missing").send().await;
    assert_eq!(missing.error(), error(404, 5, "ORDER_NOT_FOUND"));
    assert_eq!(missing.json()["message"], "no such order: ça n’existe pas");
    // After a message, in the trailers.
    let late = get(&world, "/v1/orders?pageToken=fail").send().await;
    assert_eq!(late.error(), error(404, 5, "ORDER_NOT_FOUND"));

    let nobody = call(&world, Method::GET, "/v1/orders/o").send().await;
    assert_eq!(nobody.error(), error(401, 16, "TOKEN_REQUIRED"));
    assert_eq!(nobody.headers[WWW_AUTHENTICATE], "Bearer");

    let broken = call(&world, Method::POST, "/v1/orders").signed_in();
    let broken = broken.json(r#"{"requestId": "break"}"#).send().await;
    assert_eq!(broken.error(), error(503, 14, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(broken.headers[RETRY_AFTER], "1");

    let late = call(&world, Method::POST, "/v1/orders")
        .signed_in()
        .json("{}");
    let late = late.header("grpc-timeout", "100m").send().await;
    assert_eq!(late.error(), error(504, 4, "DEADLINE_EXCEEDED"));
    let wrong = get(&world, "/v1/orders/o")
        .header("grpc-timeout", "soon")
        .send()
        .await;
    assert_eq!(wrong.error(), error(400, 3, "MALFORMED_TIMEOUT"));

    world.order.kill().await;
    let lost = get(&world, "/v1/orders/o").send().await;
    assert_eq!(lost.error(), error(503, 14, "UPSTREAM_UNAVAILABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let world = start().await;
    for path in [
        "/v1",
        "/v1/orders/",
        "/v1/orders/o/",
        "/v1//orders",
        "/v1/orders/o:uncancel",
        "/V1/orders",
        "/orderflow.catalog.v1.InventoryService/Reserve",
        "/orderflow.user.v1.IdentityService/GetKeys",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = call(&world, method, path)
                .signed_in()
                .json("{}")
                .send()
                .await;
            assert_eq!(answer.error(), error(404, 5, "UNKNOWN_PATH"), "{path}");
        }
    }
    for (method, path, allow) in [
        (Method::PUT, "/v1/orders", "POST, GET, HEAD"),
        (Method::OPTIONS, "/v1/orders/o", "GET, HEAD"),
        (Method::GET, "/v1/orders/o:cancel", "POST"),
        (Method::GET, client::GET_ORDER, "POST"),
    ] {
        let answer = call(&world, method, path).send().await;
        assert_eq!(
            answer.error(),
            error(405, 12, "METHOD_NOT_ALLOWED"),
            "{path}"
        );
        assert_eq!(answer.headers[ALLOW], allow);
    }
    assert_eq!(world.order.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_none_is_refused() {
    let world = start().await;
    let order = || call(&world, Method::POST, "/v1/orders").signed_in();
    for (call, reason) in [
        (order().body("{}"), "no content type"),
        (
            order().header("content-type", "text/plain").body("{}"),
            "text",
        ),
        (
            order()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("a=1"),
            "a form",
        ),
        (
            order().json("{}").header("content-encoding", "gzip"),
            "gzip",
        ),
        (
            order()
                .json("{}")
                .header("content-encoding", "identity, gzip"),
            "twice",
        ),
        (
            call(&world, Method::POST, client::GET_ORDER).json("{}"),
            "a path of gRPC",
        ),
    ] {
        let answer = call.send().await;
        assert_eq!(
            answer.error(),
            error(415, 3, "UNSUPPORTED_MEDIA_TYPE"),
            "{reason}"
        );
    }
    for http2 in [false, true] {
        let mut large = order().json(vec![b' '; 1024 * 1024 + 1]);
        large.http2 = http2;
        let answer = large.send().await;
        assert_eq!(
            answer.error(),
            error(413, 8, "MESSAGE_TOO_LARGE"),
            "{http2}"
        );
    }
    assert_eq!(world.order.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_of_every_kind_gets_a_400_that_names_the_field() {
    let world = start().await;
    let ask = async |body: &[u8]| {
        let call = call(&world, Method::POST, "/v1/orders").signed_in();
        let kind = "Application/JSON; charset=utf-8";
        call.header("content-type", kind).body(body).send().await
    };
    let nested = |open: &str, close: &str| {
        format!(
            "{{\"lines\":{}1{}}}",
            open.repeat(10_000),
            close.repeat(10_000)
        )
    };
    for (body, field) in [
        (&b""[..], "body"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"{}{}", "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (br#"{"total": 5}"#, "total"),
        (br#"{"requestId": 5}"#, "request_id"),
        (b"{\"requestId\": \"\xff\"}", "request_id"),
        (br#"{"requestId": "\udc00"}"#, "request_id"),
        (br#"{"requestId": "a", "requestId": "a"}"#, "request_id"),
        (br#"{"requestId": "a", "request_id": "a"}"#, "request_id"),
        (br#"{"lines": [{"quantity": 1e400}]}"#, "lines[0].quantity"),
        (
            br#"{"lines": [{"quantity": 2147483648}]}"#,
            "lines[0].quantity",
        ),
        (
            br#"{"lines": [{}, {"quantity": 0.5}]}"#,
            "lines[1].quantity",
        ),
        (
            br#"{"lines": [{"quantity": 1, "quantity": 2}]}"#,
            "lines[0].quantity",
        ),
    ] {
        let answer = ask(body).await;
        assert_eq!(
            answer.wrong_fields(),
            [field],
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    for body in [
        nested("[", "]"),
        nested(r#"{"a":"#, "}"),
        format!("{{\"lines\":{}", "[".repeat(500_000)),
    ] {
        let [field] = &ask(body.as_bytes()).await.wrong_fields()[..] else {
            panic!("more than one");
        };
        assert!(field.starts_with("lines"), "{field}");
    }
    let many = ask(br#"{"lines": [{"quantity": "x"}, 5], "status": 1}"#).await;
    assert_eq!(
        many.wrong_fields(),
        ["lines[0].quantity", "lines[1]", "status"]
    );
    // More than one answer can hold, and names as long as a body may be.
    let all = (0..20_000).map(|n| format!("\"k{n}{}\":0", "k".repeat(20)));
    let all = format!("{{{}}}", all.collect::<Vec<_>>().join(","));
    let long = format!("{{\"{}\": 1}}", "k".repeat(1_000_000));
    for body in [all, long] {
        let answer = ask(body.as_bytes()).await;
        assert!(!answer.wrong_fields().is_empty());
        assert!(answer.body.len() < 20_000, "{}", answer.body.len());
    }
    let query = get(&world, "/v1/orders?page_size=x&nothing=1&status=1&status=2")
        .send()
        .await;
    assert_eq!(query.wrong_fields(), ["page_size", "nothing", "status"]);
    assert_eq!(world.order.seen.calls(), 0);
}
