//! Health for those who ask over HTTP: orchestrators and load balancers.

use axum::response::Response;
use http::StatusCode;
use orderflow_chassis::health::Health;

use super::fresh;

const TEXT: &str = "text/plain; charset=utf-8";

/// That this answers is the answer.
pub(super) fn live() -> Response {
    fresh(StatusCode::OK, TEXT, "live\n")
}

/// Whether all services are ready and there are keys, as gRPC's health says of "".
pub(super) fn ready(health: &Health) -> Response {
    if health.is_ready() {
        fresh(StatusCode::OK, TEXT, "ready\n")
    } else {
        fresh(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n")
    }
}
