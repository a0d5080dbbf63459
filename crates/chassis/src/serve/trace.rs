//! The trace of a call.

use http::{HeaderName, HeaderValue, Request, Response, uri::PathAndQuery};
use orderflow_contract::trace::{Call, TraceId};

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
    let value = |digits: &[u8]| {
        let mut value = HeaderValue::from_bytes(digits).expect("hexadecimal digits");
        // It never comes again: no table of compressed headers is to remember it, and to forget another for it.
        value.set_sensitive(true);
        value
    };
    request
        .headers_mut()
        .insert(TRACEPARENT, value(&trace_id.to_traceparent()));

    let path = request.uri().path_and_query().cloned();
    let about = Call {
        trace_id,
        server,
        path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
    };
    let mut response = about.scope(call(request)).await?;
    response
        .headers_mut()
        .insert(TRACE_ID, value(&trace_id.to_digits()));
    Ok(response)
}
