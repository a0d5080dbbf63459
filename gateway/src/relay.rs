//! Passes a call on as it is, and its answer back: messages are never decoded, whatever their number.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::Request;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TE, USER_AGENT},
};
use http_body::{Body as _, Frame, SizeHint};
use orderflow_contract::{status, trace::TraceId};
use orderflow_identity::Denied;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tonic::{Code, Status, body::Body};
use tower::{Service, ServiceExt};

use crate::{deadline, limit::Limited, upstream::Upstreams};

/// The headers that are passed on: what gRPC itself needs, the caller's token, the trace. Services read no others, so no
/// caller loses anything; and whatever a client makes up (`x-user-id`, `x-forwarded-user`, what is for one connection only)
/// goes no further than here, without a list of all that would have to be kept out.
static FORWARDED: [HeaderName; 8] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    USER_AGENT,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Makes the call on the upstream that its path names. Once: whether to try again is for the caller to decide, who knows
/// whether the call may be made twice.
pub(crate) async fn relay(upstreams: Arc<Upstreams>, request: Request) -> Response<Body> {
    forward(&upstreams, request)
        .await
        .unwrap_or_else(Status::into_http)
}

async fn forward(upstreams: &Upstreams, request: Request) -> Result<Response<Body>, Status> {
    let (received, body) = request.into_parts();
    let deadline = deadline::read(&received.headers)?;
    let upstream = upstreams
        .of_path(received.uri.path())
        .ok_or(Denied::Unknown)?;

    // Before anything is sent: this is what makes the error definite. The room is free again when the answer begins: the
    // service has done its part, and how long the caller takes to read must be nobody else's concern.
    let (body, refusal) = Limited::new(body);
    let Ok(_room) = upstream.room.try_acquire() else {
        read_to_the_end(body).await;
        return Err(busy(upstream.name));
    };

    let mut request = http::Request::new(Body::new(body));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = received.uri;
    *request.headers_mut() = forwarded(&received.headers);

    let mut channel = upstream.channel.clone();
    let call = async { channel.ready().await?.call(request).await };
    let answer = tokio::select! {
        // The time first: errors that come after it come because of it, and are of other kinds.
        biased;
        () = sleep_until(deadline) => return Err(deadline::exceeded()),
        answer = call => answer,
    };
    let mut response = answer.map_err(|error| {
        // A service starts on a request when it has ended, and one that was refused never does: that is why this error may
        // say for certain that nothing was done.
        refusal
            .status()
            .unwrap_or_else(|| unavailable(upstream.name, TraceId::current(), &error))
    })?;

    response.headers_mut().remove(CONTENT_LENGTH);
    Ok(response.map(|body| {
        // An error without messages comes as headers alone. It must stay so: built-in retries of gRPC clients depend on it.
        if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Answer::new(body, upstream.name, deadline))
        }
    }))
}

fn forwarded(received: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(FORWARDED.len() + 1);
    for name in &FORWARDED {
        for value in received.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

/// Reads a request that nobody wants. An answer to one that was not read resets its stream, and a caller who sees the reset
/// first has no definite answer.
async fn read_to_the_end(mut body: Limited) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let read =
        async { while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {} };
    // Who does not send it in time gets the reset.
    let _ = timeout(PATIENCE, read).await;
}

/// RESOURCE_EXHAUSTED. Nothing was sent.
fn busy(upstream: &str) -> Status {
    status::retry_later(
        Code::ResourceExhausted,
        "BUSY",
        format!("the {upstream} service has too much to do"),
        Duration::from_millis(100),
    )
}

/// UNAVAILABLE. Whether the call took effect is unknown.
fn unavailable(upstream: &str, trace_id: Option<TraceId>, cause: &dyn std::error::Error) -> Status {
    let trace_id = trace_id.map(|id| id.to_string());
    let cause = status::chain(cause);
    tracing::warn!(upstream, trace_id, cause, "an upstream did not answer");
    status::unavailable(
        "UPSTREAM_UNAVAILABLE",
        format!("the {upstream} service did not answer"),
    )
}

/// The body of an answer. Where the upstream is lost, or the time is over, half-way through it, it still ends as gRPC must:
/// with a status in the trailers.
struct Answer {
    body: Body,
    upstream: &'static str,
    trace_id: Option<TraceId>,
    deadline: Pin<Box<Sleep>>,
}

impl Answer {
    fn new(body: Body, upstream: &'static str, deadline: Instant) -> Self {
        Self {
            body,
            upstream,
            trace_id: TraceId::current(),
            deadline: Box::pin(sleep_until(deadline)),
        }
    }

    fn end_with(&mut self, status: &Status) -> Frame<Bytes> {
        // Dropped, so that the upstream learns that nobody listens any more.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        status
            .add_header(&mut trailers)
            .expect("our own messages can be headers");
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                let status = unavailable(self.upstream, self.trace_id, &error);
                Poll::Ready(Some(Ok(self.end_with(&status))))
            }
            Poll::Pending => {
                if self.deadline.as_mut().poll(cx).is_ready() {
                    Poll::Ready(Some(Ok(self.end_with(&deadline::exceeded()))))
                } else {
                    Poll::Pending
                }
            }
            frame_or_end => frame_or_end,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_makes_up_is_passed_on() {
        let received = [
            ("authorization", "Bearer t"),
            ("authorization", "Bearer u"),
            ("grpc-timeout", "1S"),
            ("traceparent", "00-1-1-01"),
            ("content-type", "application/grpc"),
            ("x-user-id", "somebody else"),
            ("x-user-roles", "admin"),
            ("x-orderflow-caller", "admin"),
            ("x-forwarded-user", "admin"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("host", "example.com"),
            ("te", "gzip"),
            ("cookie", "session=1"),
        ];
        let received = received.map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let headers = forwarded(&received.into_iter().collect());
        let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "authorization",
                "authorization",
                "content-type",
                "grpc-timeout",
                "te",
                "traceparent",
            ]
        );
        assert_eq!(headers[TE], "trailers");
    }
}
