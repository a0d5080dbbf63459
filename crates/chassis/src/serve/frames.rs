//! Frames of HTTP/2 that make work for nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Counts the frames of a client that ask for work without being a request: pings, settings, resets, empty data and their
/// like. The HTTP library answers each before it reads on, so none of them takes memory; but a flood of them takes a
/// processor.
///
/// There is an allowance. Time renews it, and so does what is sent to the client, since honest clients return a
/// WINDOW_UPDATE, and some a PING, for what they get.
pub(super) struct Frames {
    head: [u8; HEAD],
    head_read: usize,
    payload_left: usize,
    most: usize,
    allowance: usize,
    renewed: Instant,
    /// Bytes sent that have not renewed anything yet.
    sent: usize,
}

const HEAD: usize = 9;
/// The least that there is.
const LEAST: usize = 2_000;
/// For each request that may be open: all of them may be taken back at once.
const PER_REQUEST: usize = 8;
const PER_SECOND: usize = 1_000;
/// The answer to a ping has 17 bytes: it does not pay for the next one.
const BYTES_SENT_PER_FRAME: usize = 64;

/// There were too many.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("a flood of frames that make work for nothing")]
pub(super) struct Flood;

impl Frames {
    /// For a client that may have so many requests open.
    pub(super) fn new(max_streams: usize) -> Self {
        let most = LEAST.max(PER_REQUEST * max_streams);
        Self {
            head: [0; HEAD],
            head_read: 0,
            payload_left: 0,
            most,
            allowance: most,
            renewed: Instant::now(),
            sent: 0,
        }
    }

    /// Looks at what was read. It begins behind the preface.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];

            let read = (HEAD - self.head_read).min(bytes.len());
            self.head[self.head_read..][..read].copy_from_slice(&bytes[..read]);
            self.head_read += read;
            bytes = &bytes[read..];
            if self.head_read == HEAD {
                self.head_read = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.payload_left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.pay(cost(kind, flags, self.payload_left))?;
            }
        }
        Ok(())
    }

    /// Notes what was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    fn pay(&mut self, cost: usize) -> Result<(), Flood> {
        if self.allowance < cost {
            let elapsed: Duration = self.renewed.elapsed();
            let by_time = elapsed.as_millis() as usize * PER_SECOND / 1000;
            let by_sending = self.sent / BYTES_SENT_PER_FRAME;
            self.allowance = (self.allowance + by_time + by_sending).min(self.most);
            self.renewed = Instant::now();
            self.sent = 0;
        }
        self.allowance = self.allowance.checked_sub(cost).ok_or(Flood)?;
        Ok(())
    }
}

fn cost(kind: u8, flags: u8, length: usize) -> usize {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    match kind {
        DATA if length > 0 || flags & END_STREAM != 0 => 0,
        HEADERS => 0,
        // A call was begun for nothing. A client whose deadlines all pass at once takes all of its calls back.
        RST_STREAM => 5,
        // One is sent at the beginning, and one in answer to the server's; few later.
        SETTINGS => 10,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingping";
    const REQUEST: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01abc";
    const EMPTY: &[u8] = b"\0\0\0\0\0\0\0\0\x01";
    const RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";

    const STREAMS: usize = 250;
    const ALLOWANCE: usize = 2_000;

    /// How many of these in a row, cut into pieces of this size, until it is a flood.
    fn flood(frame: &[u8], piece: usize) -> usize {
        let mut frames = Frames::new(STREAMS);
        let mut is_fine = |piece: &[u8]| frames.read(piece).is_ok();
        (0..100_000)
            .take_while(|_| frame.chunks(piece).all(&mut is_fine))
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_nothing_is_counted_and_requests_are_not() {
        for piece in [1, 7, 1000] {
            assert_eq!(flood(PING, piece), ALLOWANCE);
            assert_eq!(flood(EMPTY, piece), ALLOWANCE);
            assert_eq!(flood(RESET, piece), ALLOWANCE / 5);
            assert_eq!(flood(REQUEST, piece), 100_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_and_what_is_sent_renew_the_allowance() {
        let mut frames = Frames::new(STREAMS);
        let mut spend = |n: usize, sent| {
            frames.sent(sent);
            (0..n).all(|_| frames.read(PING).is_ok())
        };
        assert!(spend(ALLOWANCE, 0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(spend(PER_SECOND, 0));
        assert!(spend(5, 5 * BYTES_SENT_PER_FRAME));
        assert!(!spend(1, 17), "the answer to a ping is no merit");
    }
}
