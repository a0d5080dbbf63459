//! The body of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use orderflow_contract::status;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::activity::{Call, Waiting};
use crate::Shutdown;

/// An answer that notes whether its client reads, and that ends early where it would not end by itself and its server must.
pub(super) struct Answer<B> {
    /// None once it has ended early.
    body: Option<B>,
    protocol: Protocol,
    call: Call,
    waiting: Option<Waiting>,
    ending: Shutdown,
    /// Made when it is first waited for.
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// What is sent: until it is with the bytes of the connection, the client is waited for; who does not take those is `Wire`'s to notice.
pub(super) struct Sent {
    data: Bytes,
    _waiting: Waiting,
}

/// In which form an answer says how it ends.
#[derive(Clone, Copy)]
enum Protocol {
    Grpc,
    Web,
    WebText,
    /// It has none.
    Http,
}

impl<B> Answer<B> {
    /// `ending` is when streams end early.
    pub(super) fn new(response: Response<B>, call: Call, ending: Shutdown) -> Response<Self> {
        let protocol = Protocol::of(response.headers());
        response.map(|body| Self {
            body: Some(body),
            protocol,
            waiting: Some(call.wait()),
            call,
            ending,
            ended: None,
        })
    }

    fn sent(&self, frame: Frame<Bytes>) -> Frame<Sent> {
        frame.map_data(|data| Sent {
            data,
            _waiting: self.call.wait(),
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Sent;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Sent>, B::Error>>> {
        self.waiting = None;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = Some(self.call.wait());
                Poll::Ready(Some(Ok(self.sent(frame))))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|error| error.map(|frame| self.sent(frame)))),
            Poll::Pending => {
                let this = &mut *self;
                let ending = || Box::pin(this.ending.clone().cancelled_owned());
                let ended = this.ended.get_or_insert_with(ending);
                ready!(ended.as_mut().poll(cx));
                // Dropped, so that whoever makes it learns that it is over.
                self.body = None;
                let last = self.protocol.unavailable();
                Poll::Ready(last.map(|frame| Ok(self.sent(frame))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(SizeHint::default, B::size_hint)
    }
}

impl Protocol {
    fn of(headers: &HeaderMap) -> Self {
        let name = headers
            .get(CONTENT_TYPE)
            .map_or(&[][..], |name| name.as_bytes());
        if name.starts_with(b"application/grpc-web-text") {
            Self::WebText
        } else if name.starts_with(b"application/grpc-web") {
            Self::Web
        } else if name.starts_with(b"application/grpc") {
            Self::Grpc
        } else {
            Self::Http
        }
    }

    /// The end of a stream that its client should ask for again, elsewhere.
    fn unavailable(self) -> Option<Frame<Bytes>> {
        let status = status::unavailable("ENDING", "this server is ending, or this connection");
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        added.expect("our own messages can be headers");
        match self {
            Self::Grpc => Some(Frame::trailers(trailers)),
            Self::Web => Some(Frame::data(web_frame(&trailers).into())),
            Self::WebText => {
                let text = BASE64_STANDARD.encode(web_frame(&trailers));
                Some(Frame::data(text.into()))
            }
            Self::Http => None,
        }
    }
}

/// As gRPC-Web has it: trailers in the body.
fn web_frame(trailers: &HeaderMap) -> Vec<u8> {
    const TRAILERS: u8 = 0x80;
    let mut block = Vec::new();
    for (name, value) in trailers {
        block.extend([name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"].concat());
    }
    let length = u32::try_from(block.len()).expect("a few short lines");
    [&[TRAILERS][..], &length.to_be_bytes(), &block].concat()
}

impl Buf for Sent {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
