//! The gateway's own pages, as browsers and programs meet them.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests use the rest")]
mod world;

use std::fs;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use world::{World, client::http, start, start_told, start_with, upstream::Upstream};

const USER: &str = "orderflow.user.v1.UserService";
const PAGES: [&str; 9] = [
    "/",
    "/docs",
    "/docs/page.css",
    "/docs/start.js",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/openapi.json",
    "/livez",
    "/readyz",
];

/// Asks for a page and gives its head and its body.
async fn ask(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, Bytes) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", world.gateway));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = http(false, request.body(Full::default()).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_there_to_be_read_and_load_nothing_from_elsewhere() {
    let world = start().await;
    for path in PAGES.into_iter().chain(["/.well-known/jwks.json"]) {
        let (get, body) = ask(&world, Method::GET, path, &[]).await;
        assert_eq!(get.status(), StatusCode::OK, "{path}");
        assert!(!body.is_empty(), "{path}");
        let policy = get.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(get.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(get.headers().contains_key("cache-control"), "{path}");
        assert!(get.headers().contains_key("trace-id"), "{path}");

        let (head, body) = ask(&world, Method::HEAD, path, &[]).await;
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert!(body.is_empty(), "{path}");

        let (post, _) = ask(&world, Method::POST, path, &[]).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(post.headers()["allow"], "GET, HEAD", "{path}");
    }
    let (docs, _) = ask(&world, Method::GET, "/docs/", &[]).await;
    assert_eq!(docs.headers()["location"], "/docs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_has_it_need_not_load_again() {
    let world = start().await;
    for path in ["/docs", "/docs/swagger-ui-bundle.js", "/openapi.json"] {
        let (first, _) = ask(&world, Method::GET, path, &[]).await;
        let etag = first.headers()["etag"].to_str().unwrap();
        let (again, body) = ask(&world, Method::GET, path, &[("if-none-match", etag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert!(body.is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_speaks_to_people_and_to_terminals() {
    let world = start().await;
    let accept = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let (_, page) = ask(&world, Method::GET, "/", &accept).await;
    let (_, text) = ask(&world, Method::GET, "/", &[("accept", "*/*")]).await;
    let (page, text) = (
        String::from_utf8_lossy(&page),
        String::from_utf8_lossy(&text),
    );
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(text.starts_with("OrderFlow"), "{text}");
    for path in ["/shop", "/docs", "/openapi.json", "/.well-known/jwks.json"] {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
        assert!(text.contains(path), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_in_force_are_public() {
    let world = start().await;
    let (ready, _) = ask(&world, Method::GET, "/readyz", &[]).await;
    assert_eq!(ready.status(), StatusCode::OK);
    let (keys, body) = ask(&world, Method::GET, "/.well-known/jwks.json", &[]).await;
    assert_eq!(keys.headers()["content-type"], "application/jwk-set+json");
    let set: Value = serde_json::from_slice(&body).unwrap();
    let key = &set["keys"][0];
    for (name, value) in [
        ("kty", "OKP"),
        ("crv", "Ed25519"),
        ("alg", "EdDSA"),
        ("use", "sig"),
    ] {
        assert_eq!(key[name], value);
    }
    assert!(key["kid"].is_string() && key["x"].is_string());
    assert!(key["d"].is_null(), "never the private half");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_it_lives_and_is_not_ready() {
    let world = start_with(Upstream::start("keyless").await).await;
    world.wait_until(USER, true).await;
    let (keys, body) = ask(&world, Method::GET, "/.well-known/jwks.json", &[]).await;
    assert_eq!(keys.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(keys.headers()["retry-after"], "1");
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["code"], 14);
    let (ready, _) = ask(&world, Method::GET, "/readyz", &[]).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let (live, _) = ask(&world, Method::GET, "/livez", &[]).await;
    assert_eq!(live.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_there_once_it_is_built_and_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let built = directory.path().join("dist");
    let world = start_told(|config| config.shop_dir = built.clone()).await;
    let (missing, how) = ask(&world, Method::GET, "/shop", &[]).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(&how).contains("npm run build"));

    fs::create_dir_all(built.join("assets")).unwrap();
    fs::write(built.join("index.html"), "<!doctype html>").unwrap();
    fs::write(built.join("assets/index-Bq3x.js"), "start()").unwrap();
    fs::write(directory.path().join("secret"), "a secret").unwrap();

    const KEPT: &str = "public, max-age=31536000, immutable";
    for (path, content_type, caching, content) in [
        ("/shop", "text/html", "no-cache", "<!doctype html>"),
        (
            "/shop/assets/index-Bq3x.js",
            "text/javascript",
            KEPT,
            "start()",
        ),
    ] {
        let (get, body) = ask(&world, Method::GET, path, &[]).await;
        assert_eq!(get.status(), StatusCode::OK, "{path}");
        assert_eq!(body, content, "{path}");
        let headers = get.headers();
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["cache-control"], caching, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("connect-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");

        let since = [(
            "if-modified-since",
            headers["last-modified"].to_str().unwrap(),
        )];
        let (again, body) = ask(&world, Method::GET, path, &since).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.headers()["cache-control"], caching, "{path}");
        assert!(body.is_empty(), "{path}");

        let (head, body) = ask(&world, Method::HEAD, path, &[]).await;
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert!(body.is_empty(), "{path}");
        let (post, _) = ask(&world, Method::POST, path, &[]).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let (slash, _) = ask(&world, Method::GET, "/shop/", &[]).await;
    assert_eq!(slash.headers()["location"], "/shop");

    for path in [
        "/shop/../secret",
        "/shop/%2e%2e/secret",
        "/shop/..%2fsecret",
        "/shop/assets/../../secret",
        "/shop/assets/%2e%2e/%2e%2e/secret",
        "/shop/..%5csecret",
        &format!("/shop/{}/secret", directory.path().display()),
        "/shop/secret%00.js",
        &format!("/shop/{}", "a".repeat(256)),
        "/shop/assets",
        "/shop/assets/",
        "/shop/assets/gone.js",
        "/shopping",
    ] {
        let (answer, body) = ask(&world, Method::GET, path, &[]).await;
        assert!(
            answer.status().is_client_error(),
            "{path}: {}",
            answer.status()
        );
        assert!(
            !String::from_utf8_lossy(&body).contains("a secret"),
            "{path}"
        );
        let caching = answer.headers().get("cache-control");
        assert!(caching.is_none_or(|caching| caching != KEPT), "{path}");
    }
}
