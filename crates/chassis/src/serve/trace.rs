//! The trace of a call.

use http::{HeaderName, HeaderValue, Request, Response};
use orderflow_contract::trace::TraceId;
use tracing::Instrument;

/// Where a caller finds the trace id of its call.
pub const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of a server, in a type without a lifetime: the compiler does not see that a future with a `&'static str` in it may
/// go to another thread whatever the lifetime.
#[derive(Clone, Copy)]
pub(super) struct Name(pub(super) &'static str);

/// Runs a call under its trace: the caller's, if it sent one, else a new one.
pub(super) async fn traced<A, B, F, E>(
    Name(server): Name,
    mut request: Request<A>,
    call: impl FnOnce(Request<A>) -> F,
) -> Result<Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let header = request.headers().get(TRACEPARENT);
    let header = header.and_then(|header| header.to_str().ok());
    let trace_id = header
        .and_then(TraceId::from_traceparent)
        .unwrap_or_else(TraceId::random);
    let value = |text: String| {
        let mut value = HeaderValue::try_from(text).expect("hexadecimal digits");
        // It never comes again: no table of compressed headers is to remember it, and to forget another for it.
        value.set_sensitive(true);
        value
    };
    request
        .headers_mut()
        .insert(TRACEPARENT, value(trace_id.to_traceparent()));

    let span = tracing::info_span!("call", server, path = request.uri().path(), %trace_id);
    let call = call(request);
    let mut response = trace_id.scope(call).instrument(span).await?;
    response
        .headers_mut()
        .insert(TRACE_ID, value(trace_id.to_string()));
    Ok(response)
}
