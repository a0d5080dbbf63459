//! Calls end when their callers stop waiting.

use axum::{extract::Request, middleware::Next, response::Response};
use orderflow_contract::deadline::{self, Deadline, GRPC_TIMEOUT};

/// A service's outermost layer: a call with a `grpc-timeout` gets DEADLINE_EXCEEDED when that is over, and what serves it knows
/// how much is left ([`Deadline::current`]). Of a stream this covers the time until it begins.
///
/// What serves the call is then dropped: reads may be, and writes go on in tasks of their own.
pub async fn honour(request: Request, next: Next) -> Response {
    let Some(header) = request.headers().get(GRPC_TIMEOUT) else {
        return next.run(request).await;
    };
    let answer = match deadline::read(header.as_bytes()).map(Deadline::for_caller) {
        Ok(deadline) => deadline.limit(deadline.scope(next.run(request))).await,
        Err(status) => Err(status),
    };
    answer.unwrap_or_else(|status| status.into_http())
}
