//! Calls end when their callers stop waiting.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{Request, Response};
use orderflow_contract::deadline::{self, Deadline, GRPC_TIMEOUT};
use tower::{Layer, Service};

/// A service's outermost layer: a call with a `grpc-timeout` gets DEADLINE_EXCEEDED when that is over, and what serves it knows
/// how much is left ([`Deadline::current`]). Of a stream this covers the time until it begins.
///
/// What serves the call is then dropped: reads may be, and writes go on in tasks of their own.
#[derive(Clone, Copy)]
pub struct Honour;

impl<S> Layer<S> for Honour {
    type Service = Honoured<S>;

    fn layer(&self, inner: S) -> Honoured<S> {
        Honoured { inner }
    }
}

/// The service behind [`Honour`].
#[derive(Clone)]
pub struct Honoured<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Honoured<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let header = request.headers().get(GRPC_TIMEOUT);
        let timeout = header.map(|header| deadline::read(header.as_bytes()));
        let call = self.inner.call(request);
        Box::pin(async move {
            let deadline = match timeout {
                None => return call.await,
                Some(timeout) => timeout.map(Deadline::for_caller),
            };
            let answer = match deadline {
                Ok(deadline) => deadline.limit(pin!(deadline.scope(call))).await,
                Err(status) => Err(status),
            };
            answer.unwrap_or_else(|status| Ok(status.into_http()))
        })
    }
}
