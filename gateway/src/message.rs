//! A request, read whole: only then is a service bothered with it, and it can be sent again.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http_body::Body as _;
use orderflow_contract::status;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tonic::{Code, Status};

use crate::limit::{Limited, MAX_MESSAGE_BYTES, too_large};

/// How long a request may take to come. It holds nothing but its own memory meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// What all requests that are being read or on their way may have together.
const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// A flag, and the length of the message.
const PREFIX_BYTES: usize = 5;

/// Memory for requests.
pub(crate) struct Room(Semaphore);

/// A request as it came: one message with its prefix, or what a client sends in its place.
pub(crate) struct Message<'a> {
    pub(crate) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(ROOM_BYTES))
    }

    /// Reads a request to its end.
    pub(crate) async fn read(&self, body: Body) -> Result<Message<'_>, Status> {
        in_time(pin!(self.collect(Limited::new(body)))).await?
    }

    async fn collect(&self, mut body: Limited) -> Result<Message<'_>, Status> {
        let mut bytes = Bytes::new();
        let mut room: Option<SemaphorePermit> = None;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let total = bytes.len() + data.len();
            if total > PREFIX_BYTES + MAX_MESSAGE_BYTES {
                return Err(too_large());
            }
            let more = u32::try_from(data.len()).map_err(|_| too_large())?;
            let more = self.0.try_acquire_many(more).map_err(|_| full())?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes = if bytes.is_empty() {
                data
            } else {
                // The same buffer again where it was ours.
                let mut joined = bytes
                    .try_into_mut()
                    .unwrap_or_else(|b| BytesMut::from(&b[..]));
                joined.extend_from_slice(&data);
                joined.freeze()
            };
        }
        Ok(Message { bytes, _room: room })
    }
}

/// A message with its prefix, not compressed.
pub(crate) fn framed(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(length.try_into().unwrap_or(u32::MAX));
    message.encode(&mut bytes).expect("it has room");
    bytes.freeze()
}

/// The message, where there is one and it is not compressed.
pub(crate) fn unframed(bytes: &Bytes) -> Option<Bytes> {
    let [0, a, b, c, d, message @ ..] = &bytes[..] else {
        return None;
    };
    let is_whole = u32::from_be_bytes([*a, *b, *c, *d]) as usize == message.len();
    is_whole.then(|| bytes.slice_ref(message))
}

/// What reading a request gives, if it comes in time.
pub(crate) async fn in_time<F: Future>(reading: Pin<&mut F>) -> Result<F::Output, Status> {
    timeout(PATIENCE, reading).await.map_err(|_| {
        status::error(
            Code::DeadlineExceeded,
            "REQUEST_TOO_SLOW",
            format!("the request has not come within {PATIENCE:?}"),
        )
    })
}

/// RESOURCE_EXHAUSTED. Nothing was sent.
fn full() -> Status {
    status::retry_later(
        Code::ResourceExhausted,
        "BUSY",
        "too many requests are being read",
        Duration::from_millis(100),
    )
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0][..], &prefix, &vec![7; length]].concat()
    }

    fn in_pieces(bytes: &[u8], size: usize) -> Body {
        let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Status>)))
    }

    #[tokio::test]
    async fn a_message_is_the_same_however_it_comes_and_gives_its_room_back() {
        let room = Room::new();
        let whole = message(10_000);
        for size in [1, 1_000, 20_000] {
            let read = room.read(in_pieces(&whole, size)).await.unwrap();
            assert_eq!(read.bytes, whole);
            assert_eq!(room.0.available_permits(), ROOM_BYTES - whole.len());
        }
        assert_eq!(room.0.available_permits(), ROOM_BYTES);
        assert!(room.read(Body::empty()).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_refused() {
        let room = Room::new();
        let large = message(MAX_MESSAGE_BYTES);
        let mut held = Vec::new();
        let refused = loop {
            match room.read(in_pieces(&large, 64 * 1024)).await {
                Ok(message) => held.push(message),
                Err(status) => break status,
            }
        };
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(held.len(), 63);
        held.clear();
        room.read(in_pieces(&large, 64 * 1024)).await.unwrap();
    }

    #[tokio::test]
    async fn more_than_a_message_may_have_is_refused_in_several_too() {
        let several = [message(MAX_MESSAGE_BYTES), message(1)].concat();
        let room = Room::new();
        let refused = room.read(in_pieces(&several, 64 * 1024)).await;
        assert_eq!(refused.err().unwrap().code(), Code::ResourceExhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_not_waited_for() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Status>>());
        let room = Room::new();
        let refused = room.read(never).await.err().unwrap();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
    }
}
