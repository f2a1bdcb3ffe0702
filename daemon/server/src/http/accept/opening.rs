//! The first bytes of a connection, and every unread byte of its answers, under a deadline.
//!
//! Before the HTTP version is known, no timeout of hyper runs: a client that sends nothing, or a part
//! of the HTTP/2 preface, would hold its connection for ever. Nor does one run while an answer is
//! written: a client that does not read would hold its connection and the answer's memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Source: RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that fails when it does not say in time which version it speaks, or when its other end
/// stops reading.
pub struct Opening<S> {
    stream: S,
    /// Ends with the last undecided byte.
    deadline: Option<Pin<Box<Sleep>>>,
    seen: usize,
    stall_max: Duration,
    /// Runs while the other end takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Opening<S> {
    /// Starts the clock.
    pub fn new(stream: S, timeout: Duration, stall_max: Duration) -> Self {
        Self { stream, deadline: Some(Box::pin(sleep(timeout))), seen: 0, stall_max, stalled: None }
    }

    /// Passes on how a write went, unless there has been no progress for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn take_note(&mut self, bytes: &[u8]) {
        let rest = &PREFACE[self.seen..];
        self.seen += bytes.len().min(rest.len());
        if self.seen == PREFACE.len() || !rest.starts_with(&bytes[..bytes.len().min(rest.len())]) {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.deadline.is_some() {
            self.take_note(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_stalled(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::Opening;

    #[tokio::test]
    async fn undecided_connections_end() {
        let check = async |sent: &[u8], ends: bool| {
            let (mut client, server) = duplex(64);
            client.write_all(sent).await.unwrap();
            let mut opening = Opening::new(server, Duration::from_millis(20), Duration::from_secs(60));
            let mut buffer = vec![0; sent.len()];
            if !sent.is_empty() {
                opening.read_exact(&mut buffer).await.unwrap();
            }
            let next = tokio::time::timeout(Duration::from_millis(200), opening.read_u8()).await;
            assert_eq!(next.is_ok(), ends, "{sent:?}");
        };
        check(b"", true).await;
        check(b"PRI * HT", true).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false).await;
        check(b"P", true).await;
        check(b"G", false).await;
        check(b"POST", false).await;
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_end() {
        let stall_max = Duration::from_secs(1);
        let (mut client, server) = duplex(64);
        let mut opening = Opening::new(server, stall_max, stall_max);
        let writer = tokio::spawn(async move { opening.write_all(&[0; 256]).await });
        // Whoever takes a little now and then is slow, not gone.
        for _ in 0..4 {
            tokio::time::sleep(stall_max / 3).await;
            client.read_exact(&mut [0; 16]).await.unwrap();
        }
        assert!(!writer.is_finished());
        let written = writer.await.unwrap();
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }
}
