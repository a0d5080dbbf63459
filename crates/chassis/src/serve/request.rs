//! The body of a request.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::BoxError;

/// A request body that fails when it does not get on: less than [`PROGRESS`] within the time, and no end.
pub(super) struct Received {
    body: Incoming,
    timeout: Duration,
    /// Runs from when it was first waited for.
    waiting: Option<Pin<Box<Sleep>>>,
    bytes: usize,
}

/// Clients that send a byte now and then do not get on.
const PROGRESS: usize = 4096;

/// The client did not send in time.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request did not come in time")]
struct TooSlow;

impl Received {
    pub(super) fn new(body: Incoming, timeout: Duration) -> Self {
        Self {
            body,
            timeout,
            waiting: None,
            bytes: 0,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(Ok(frame)) = &frame {
                    self.bytes += frame.data_ref().map_or(0, Bytes::len);
                    if self.bytes >= PROGRESS {
                        self.bytes = 0;
                        self.waiting = None;
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let timeout = self.timeout;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
                let waited = waiting.as_mut().poll(cx);
                waited.map(|()| Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
