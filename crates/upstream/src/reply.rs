use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame};

/// The body of an answer, as it comes.
pub struct Reply {
    stream: RecvStream,
    data_ended: bool,
}

impl Reply {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            data_ended: false,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(failed(error)),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => failed(error),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// None where the other side has said all that it will, before it had read the whole request.
fn failed<T>(error: h2::Error) -> Option<Result<T, h2::Error>> {
    let is_early_end = error.is_reset() && error.reason() == Some(Reason::NO_ERROR);
    (!is_early_end).then_some(Err(error))
}
