//! Fewer and larger writes.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// What goes out together at the most: two of the frames that most peers take, with their heads.
const CAPACITY: usize = 2 * (16 * 1024 + 9);

/// The bytes of an HTTP/2 connection, whose calls are tasks of their own: before anything is sent, everybody who is ready gets a
/// turn, and what they have to say goes along. Without it each of many calls that are answered at once would be a write of
/// its own, which costs more than all else that is done for a small answer. Nothing waits for time to pass.
pub struct Gathering<T> {
    io: BufWriter<T>,
    /// Once is enough: asked again, it is sent. HTTP/2 may ask again in the same turn, when it has taken a call meanwhile.
    gave_way: bool,
}

impl<T: AsyncWrite> Gathering<T> {
    /// Nothing is held back yet.
    pub fn new(io: T) -> Self {
        Self {
            io: BufWriter::with_capacity(CAPACITY, io),
            gave_way: false,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

/// Not vectored: a frame's head and what is in it are gathered too.
impl<T: AsyncWrite + Unpin> AsyncWrite for Gathering<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.io.buffer().is_empty() && !mem::replace(&mut self.gave_way, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.gave_way = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{Arc, Mutex},
    };

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Remembers what each write was.
    #[derive(Clone, Default)]
    struct Remembers(Arc<Mutex<Vec<Vec<u8>>>>);

    impl AsyncWrite for Remembers {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_others_have_to_say_goes_along() {
        let written = Remembers::default();
        let wire = Arc::new(Mutex::new(Gathering::new(written.clone())));
        let say = |word: &'static [u8]| {
            let wire = wire.clone();
            tokio::spawn(async move {
                poll_fn(|cx| Pin::new(&mut *wire.lock().unwrap()).poll_write(cx, word)).await?;
                poll_fn(|cx| Pin::new(&mut *wire.lock().unwrap()).poll_flush(cx)).await
            })
        };
        let (first, second) = (say(b"one, "), say(b"two"));
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(*written.0.lock().unwrap(), [b"one, two"]);
    }

    #[tokio::test]
    async fn what_is_large_need_not_wait_and_keeps_its_place() {
        let written = Remembers::default();
        let mut wire = Gathering::new(written.clone());
        wire.write_all(b"first").await.unwrap();
        wire.write_all(&[7; CAPACITY]).await.unwrap();
        let sizes: Vec<_> = written.0.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [5, CAPACITY]);
        wire.write_all(b"last").await.unwrap();
        wire.shutdown().await.unwrap();
        assert_eq!(written.0.lock().unwrap().last().unwrap(), b"last");
    }
}
