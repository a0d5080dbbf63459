//! `/`: what this is, for people.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap,
    header::{ACCEPT, VARY},
};

use super::fresh;

const HTML: &str = include_str!("home.html");

const TEXT: &str = "\
OrderFlow: accounts, a catalog with stock, and orders.

  /shop                   the shop in a browser, if it has been built
  /docs                   the API to read and to try, in a browser
  /openapi.json           the same for programs: OpenAPI 3.1
  /.well-known/jwks.json  the public keys that tokens are signed with
  /livez, /readyz         whether this runs, and whether it can serve

gRPC, gRPC-Web and HTTP with JSON are spoken on this same port; gRPC reflection lists the methods
(grpcurl -plaintext <host>:<port> list), and grpc.health.v1.Health tells how each service is.
";

/// A page for browsers, text for everything else.
pub(super) fn answer(headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let page = if accept.is_some_and(|accept| accept.contains("text/html")) {
        fresh(http::StatusCode::OK, "text/html; charset=utf-8", HTML)
    } else {
        fresh(http::StatusCode::OK, "text/plain; charset=utf-8", TEXT)
    };
    ([(VARY, "accept")], page).into_response()
}
