//! The bytes of a connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{activity::Activity, frames::Frames};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that fails when its client does not read, or sends a flood of frames that make work for nothing.
pub(super) struct Wire<T> {
    io: T,
    /// What was read to see which protocol it is.
    beginning: Bytes,
    /// Of HTTP/2.
    frames: Option<Frames>,
    activity: Arc<Activity>,
    write_timeout: Duration,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// Waits for the first bytes. They, and not what was agreed on in a TLS handshake, decide on the protocol.
    pub(super) async fn open(
        mut io: T,
        activity: Arc<Activity>,
        max_streams: usize,
        write_timeout: Duration,
    ) -> io::Result<Self> {
        let mut beginning = Vec::with_capacity(PREFACE.len());
        while beginning.len() < PREFACE.len() && PREFACE.starts_with(&beginning) {
            let mut more = (&mut io).take((PREFACE.len() - beginning.len()) as u64);
            if more.read_buf(&mut beginning).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let frames = (beginning == PREFACE).then(|| Frames::new(max_streams));
        Ok(Self {
            io,
            beginning: beginning.into(),
            frames,
            activity,
            write_timeout,
            stalled: None,
        })
    }

    pub(super) fn is_http2(&self) -> bool {
        self.frames.is_some()
    }

    /// What came of sending: it may fail only for lack of time.
    fn sending<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn sent(&mut self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = poll {
            self.activity.moved(bytes);
            if let Some(frames) = &mut self.frames {
                frames.sent(bytes);
            }
        }
        poll
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.beginning.is_empty() {
            let length = self.beginning.len().min(buf.remaining());
            buf.put_slice(&self.beginning[..length]);
            self.beginning.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        self.activity.moved(read.len());
        let this = &mut *self;
        if let Some(frames) = &mut this.frames {
            frames.read(read).map_err(|flood| {
                this.activity.note_flood();
                io::Error::other(flood)
            })?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        let poll = self.sent(poll);
        self.sending(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        let poll = self.sent(poll);
        self.sending(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.sending(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(cx);
        self.sending(cx, poll)
    }
}
