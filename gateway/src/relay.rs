//! Passes a call on as it is, and its answer back: messages are not decoded, whatever their number. Calls that the contract says
//! so of may go on together with others instead.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TE, USER_AGENT},
    request::Parts,
};
use http_body::{Body as _, Frame};
use orderflow_contract::{
    deadline::{self, Deadline, GRPC_TIMEOUT},
    status,
    trace::TraceId,
};
use orderflow_identity::Denied;
use orderflow_upstream::{Reply, backoff};
use tokio::time::{Sleep, sleep, sleep_until};
use tonic::{Code, Status};

use crate::{
    message::Room,
    upstream::{Method, Methods},
};

/// The headers that are passed on: what gRPC itself needs (of the time what is left of it), the caller's token, the trace. Services read no others, so no
/// caller loses anything; and whatever a client makes up (`x-user-id`, `x-forwarded-user`, what is for one connection only)
/// goes no further than here, without a list of all that would have to be kept out.
static FORWARDED: [HeaderName; 7] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    USER_AGENT,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// How often a call may be made, where the contract says that it may be made again.
const ATTEMPTS: u32 = 3;

/// Makes calls on the services behind.
pub(crate) struct Relay {
    methods: Methods,
    room: Room,
}

impl Relay {
    pub(crate) fn new(methods: Methods) -> Self {
        Self {
            methods,
            room: Room::new(),
        }
    }

    /// Makes the call on the upstream that its path names.
    pub(crate) async fn call(&self, request: Request) -> Response {
        self.forward(request)
            .await
            .unwrap_or_else(Status::into_http)
    }

    async fn forward(&self, request: Request) -> Result<Response, Status> {
        let (head, body) = request.into_parts();
        let method = self.methods.get(head.uri.path()).ok_or(Denied::Unknown)?;
        let deadline = crate::deadline::read(&head.headers, method.streams_answers)?;
        let answer = pin!(async {
            // Who sends its request slowly, or never, takes nothing of a service's room.
            let message = self.room.read(body).await?;
            if let Some(batched) = &method.batched
                && let Some(response) = batched
                    .answer(&head.headers, &message.bytes, deadline)
                    .await
            {
                return Ok(response);
            }
            let answer = attempts(method, &head, &message.bytes, deadline).await?;
            Ok(passed_on(answer, method.upstream.name(), deadline))
        });
        match deadline {
            Some(deadline) => deadline.limit(answer).await?,
            None => answer.await,
        }
    }
}

fn passed_on(
    mut answer: http::Response<Reply>,
    upstream: &'static str,
    deadline: Option<Deadline>,
) -> Response {
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.map(|body| {
        // An error without messages comes as headers alone. It must stay so: built-in retries of gRPC clients depend on it.
        if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Answer::new(body, upstream, deadline))
        }
    })
}

/// Makes a call once; again, on another replica if there is one, where it failed on its way or got UNAVAILABLE before any message,
/// the contract says that it may be made again, and not too many are. Otherwise that is for the caller to decide.
pub(crate) async fn attempts(
    method: &Method,
    head: &Parts,
    message: &Bytes,
    deadline: Option<Deadline>,
) -> Result<http::Response<Reply>, Status> {
    let upstream = &method.upstream;
    upstream.budget().offered();
    let mut tried = Vec::new();
    let mut last = None;
    for attempt in 1.. {
        // Refused before anything is sent: that is what makes the error definite, and only the first time. The room is free
        // again when the answer begins: the service has done its part, and how long the caller takes to read must be nobody
        // else's concern.
        let replica = match (upstream.pick(&tried), last.take()) {
            (Ok(replica), _) => replica,
            (Err(_), Some(last)) => return last,
            (Err(refused), None) => return Err(refused.into()),
        };
        let answer = replica.call(|| outgoing(head, deadline), message).await;
        let is_lost = match &answer {
            Ok(answer) => says_unavailable(answer),
            Err(_) => true,
        };
        let answer = answer.map_err(|e| unavailable(upstream.name(), TraceId::current(), &e));
        let is_repeatable = is_lost && method.is_idempotent && attempt < ATTEMPTS;
        if !is_repeatable || !upstream.budget().may_repeat() {
            return answer;
        }
        tried.push(replica.address());
        last = Some(answer);
        drop(replica);
        sleep(backoff(attempt)).await;
    }
    unreachable!("the last attempt returns")
}

fn outgoing(head: &Parts, deadline: Option<Deadline>) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = forwarded(&head.headers);
    if let Some(deadline) = deadline {
        let left = deadline::format(deadline.left());
        let mut left = HeaderValue::try_from(left).expect("digits and a letter");
        left.set_sensitive(true);
        request.headers_mut().insert(GRPC_TIMEOUT, left);
    }
    request
}

/// An answer that is UNAVAILABLE and nothing else.
fn says_unavailable(answer: &http::Response<Reply>) -> bool {
    let code = answer.headers().get("grpc-status");
    code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unavailable)
}

fn forwarded(received: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(FORWARDED.len() + 1);
    for name in &FORWARDED {
        for value in received.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    // Not to be kept in the tables that headers are compressed by, like all that is of one call or one caller: it would drive
    // everything else out.
    if let Some(token) = headers.get_mut(AUTHORIZATION) {
        token.set_sensitive(true);
    }
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

/// UNAVAILABLE. Whether the call took effect is unknown.
pub(crate) fn unavailable(
    upstream: &str,
    trace_id: Option<TraceId>,
    cause: &dyn std::error::Error,
) -> Status {
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
    /// None once it has ended early.
    body: Option<Reply>,
    upstream: &'static str,
    trace_id: Option<TraceId>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    fn new(body: Reply, upstream: &'static str, deadline: Option<Deadline>) -> Self {
        Self {
            body: Some(body),
            upstream,
            trace_id: TraceId::current(),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline.instant()))),
        }
    }

    fn end_with(&mut self, status: &Status) -> Frame<Bytes> {
        // Dropped, so that the upstream learns that nobody listens any more.
        self.body = None;
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
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                let status = unavailable(self.upstream, self.trace_id, &error);
                Poll::Ready(Some(Ok(self.end_with(&status))))
            }
            Poll::Pending => {
                let deadline = self.deadline.as_mut();
                if deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                    Poll::Ready(Some(Ok(self.end_with(&deadline::exceeded()))))
                } else {
                    Poll::Pending
                }
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Reply::is_end_stream)
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
                "te",
                "traceparent",
            ]
        );
        assert_eq!(headers[TE], "trailers");
    }
}
