//! How much may be sent in.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use orderflow_contract::status;
use tonic::{Code, Status};

/// The largest message that comes in.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A request body that ends with an error where a message is too large, or the body breaks off. It looks at the lengths in
/// front of the messages and nothing else, so that what is too large is refused before any of it is sent on, and nothing
/// has to be collected.
pub(crate) struct Limited {
    body: Body,
    position: Position,
}

impl Limited {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body,
            position: Position::default(),
        }
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => match self.position.advance(frame.data_ref()) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(TooLarge) => Poll::Ready(Some(Err(too_large()))),
            },
            Some(Err(error)) => {
                tracing::debug!(cause = status::chain(&error), "broken request");
                Poll::Ready(Some(Err(broken())))
            }
            None if self.position.is_between_messages() => Poll::Ready(None),
            None => Poll::Ready(Some(Err(broken()))),
        }
    }

    /// A body that ends within a message has not ended: it has an error to tell.
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.position.is_between_messages()
    }
}

/// Where in a sequence of messages a body stands, each a flag, its length in four bytes, and so many bytes.
#[derive(Default)]
struct Position {
    prefix: [u8; 5],
    prefix_read: usize,
    message_left: usize,
}

#[derive(Debug, PartialEq)]
struct TooLarge;

impl Position {
    fn advance(&mut self, data: Option<&Bytes>) -> Result<(), TooLarge> {
        let mut data: &[u8] = data.map_or(&[], |data| data);
        while let Some((&byte, rest)) = data.split_first() {
            if self.message_left > 0 {
                let read = self.message_left.min(data.len());
                self.message_left -= read;
                data = &data[read..];
                continue;
            }
            self.prefix[self.prefix_read] = byte;
            self.prefix_read += 1;
            data = rest;
            if let (5, [_, length @ ..]) = (self.prefix_read, self.prefix) {
                self.prefix_read = 0;
                self.message_left = u32::from_be_bytes(length) as usize;
                if self.message_left > MAX_MESSAGE_BYTES {
                    return Err(TooLarge);
                }
            }
        }
        Ok(())
    }

    fn is_between_messages(&self) -> bool {
        self.prefix_read == 0 && self.message_left == 0
    }
}

pub(crate) fn too_large() -> Status {
    status::error(
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
        format!("a message may have {MAX_MESSAGE_BYTES} bytes"),
    )
}

fn broken() -> Status {
    status::error(
        Code::InvalidArgument,
        "BROKEN_BODY",
        "the body is not a sequence of whole messages",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0][..], &prefix, &vec![7; length]].concat()
    }

    /// The same however the bytes are cut.
    fn advance(bytes: &[u8]) -> Result<bool, TooLarge> {
        let pieces = |size: usize| {
            let mut position = Position::default();
            for piece in bytes.chunks(size) {
                position.advance(Some(&Bytes::copy_from_slice(piece)))?;
            }
            Ok(position.is_between_messages())
        };
        let whole = pieces(bytes.len().max(1));
        for size in [1, 3, 4096] {
            assert_eq!(pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn messages_up_to_the_limit_pass() {
        assert_eq!(advance(&[]), Ok(true));
        assert_eq!(advance(&message(0)), Ok(true));
        assert_eq!(
            advance(&[message(3), message(0), message(9)].concat()),
            Ok(true)
        );
        assert_eq!(advance(&message(MAX_MESSAGE_BYTES)), Ok(true));
    }

    #[test]
    fn one_byte_more_is_refused_by_its_prefix_alone() {
        let large = message(MAX_MESSAGE_BYTES + 1);
        assert_eq!(advance(&large[..5]), Err(TooLarge));
        assert_eq!(advance(&[message(3), large].concat()), Err(TooLarge));
        assert_eq!(advance(b"\0\xff\xff\xff\xff"), Err(TooLarge));
    }

    #[test]
    fn a_cut_is_seen() {
        let messages = [message(3), message(4)].concat();
        for length in 0..=messages.len() {
            let whole = [0, 8, messages.len()].contains(&length);
            assert_eq!(advance(&messages[..length]), Ok(whole), "{length}");
        }
    }
}
