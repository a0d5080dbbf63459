//! A gRPC server with bounds.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use orderflow_contract::trace::TraceId;
use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tracing::Instrument;

use crate::Shutdown;

/// How long calls in flight may go on after shutdown.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Where a caller finds the trace id of its call.
pub const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Serves until shutdown, then lets the calls in flight finish, for [`DRAIN`] at most: one silent connection must not keep a
/// process alive.
pub async fn serve(
    name: &'static str,
    server: Server,
    listener: TcpListener,
    routes: Routes,
    shutdown: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let routes =
        routes
            .into_axum_router()
            .layer(axum::middleware::from_fn(move |request, next| {
                traced(name, request, next)
            }));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = bounded(server)
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = served => result,
        () = drained => {
            tracing::warn!(server = name, "calls were still in flight when the time to drain was over");
            Ok(())
        }
    }
}

/// tonic leaves these without limits.
fn bounded(server: Server) -> Server {
    server
        .max_concurrent_streams(1024)
        .http2_max_header_list_size(16 * 1024)
        .http2_max_pending_accept_reset_streams(Some(32))
        .http2_max_local_error_reset_streams(Some(64))
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

/// Runs a call under its trace: the caller's, if it sent one, else a new one.
async fn traced(
    name: &'static str,
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let header = request
        .headers()
        .get(TRACEPARENT)
        .and_then(|header| header.to_str().ok());
    let trace_id = header
        .and_then(TraceId::from_traceparent)
        .unwrap_or_else(TraceId::random);
    let value = |text: String| HeaderValue::try_from(text).expect("hexadecimal digits");
    request
        .headers_mut()
        .insert(TRACEPARENT, value(trace_id.to_traceparent()));

    let span = tracing::info_span!("call", server = name, path = request.uri().path(), %trace_id);
    let mut response = trace_id.scope(next.run(request)).instrument(span).await;
    response
        .headers_mut()
        .insert(TRACE_ID, value(trace_id.to_string()));
    response
}
