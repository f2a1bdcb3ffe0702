//! Reads the head of every HTTP/1 request before the HTTP library does, and lets through only what
//! nobody in front can have understood otherwise: strict line ends, names and values, one way to tell
//! where the body ends (RFC 9112 §2.2, §5, §6).
//!
//! In place of a head that is refused, a request of our own is let through, so that the refusal is an
//! answer like every other, after those to earlier requests; then nothing more is read. The library
//! itself thus has nothing to refuse. It relies on two things: a request with a chunked body is the last
//! one of its connection, and so is one that asked for another protocol and did not get it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::head::{self, Body};
use crate::limits::HEAD_MAX_BYTES;

/// Method of the request that stands for a refused one. No client can send it.
pub const REFUSED: &str = "ALYX-REFUSED";

const STAND_IN: &[u8] = b"ALYX-REFUSED / HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n";

/// How a connection begins that speaks HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Empty lines before a request that are passed over (RFC 9112 §2.2).
const EMPTY_LINES_MAX: u8 = 4;

/// What is read and thrown away after a refusal, so that the answer is not lost in a reset.
const DISCARDED_MAX_BYTES: usize = 1024 * 1024;

const CHUNK_BYTES: usize = 16 * 1024;

/// Why a request is answered without being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can be understood in more than one way, or not at all.
    Malformed(&'static str),
    /// Its head is too large.
    TooLarge,
    /// There are too many others.
    Overloaded,
    /// It came over the admin socket from a user who may not use it.
    NotAdministrator {
        /// Who the kernel says it is.
        uid: u32,
    },
}

/// The refusal of a connection, once there is one.
pub type Refused = Arc<OnceLock<Refusal>>;

/// A stream whose requests are read before they are passed on.
pub struct Gate<S> {
    stream: S,
    state: State,
    refused: Refused,
    /// What may be read.
    passed: BytesMut,
    /// What was received and not passed on yet, of a head that is not complete.
    waiting: BytesMut,
    /// How much of it has been looked at.
    seen: usize,
    empty_lines: u8,
    discarded: usize,
    chunk: Box<[u8]>,
    /// For the first head; until then no timeout of the library runs.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum State {
    /// The first head of the connection, or another.
    Head { first: bool },
    /// The rest of a body.
    Body(u64),
    /// Whatever comes: HTTP/2, or the last request of the connection.
    Rest,
    /// Nothing more.
    Refused,
}

impl<S> Gate<S> {
    /// A gate that tells in `refused` what it refused.
    pub fn new(stream: S, refused: Refused, first_head_max: Duration) -> Self {
        Self {
            stream,
            state: State::Head { first: true },
            refused,
            passed: BytesMut::new(),
            waiting: BytesMut::new(),
            seen: 0,
            empty_lines: 0,
            discarded: 0,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            deadline: Some(Box::pin(sleep(first_head_max))),
        }
    }

    /// Takes what was received.
    fn receive(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Passes on one head or one piece of a body; tells whether there may be more.
    fn step(&mut self) -> bool {
        match self.state {
            State::Head { first } => return self.read_head(first),
            State::Body(left) => {
                let length = self.waiting.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.passed.extend_from_slice(&self.waiting.split_to(length));
                let left = left - length as u64;
                self.state = if left == 0 { State::Head { first: false } } else { State::Body(left) };
                return left == 0;
            }
            State::Rest => self.passed.extend_from_slice(&self.waiting.split()),
            State::Refused => self.waiting.clear(),
        }
        false
    }

    fn read_head(&mut self, first: bool) -> bool {
        while self.seen == 0 && self.waiting.starts_with(b"\r\n") {
            self.waiting.advance(2);
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES_MAX {
                return self.refuse(Refusal::Malformed("There are too many empty lines before the request."));
            }
        }
        let end = match head::find_end(&self.waiting, self.seen) {
            Err(why) => return self.refuse(why),
            Ok(Some(end)) if end <= HEAD_MAX_BYTES => end,
            Ok(None) if self.waiting.len() <= HEAD_MAX_BYTES => {
                // A lone line end may turn out to be an empty line.
                self.seen = if self.waiting.starts_with(b"\r") { 0 } else { self.waiting.len() };
                return false;
            }
            Ok(_) => return self.refuse(Refusal::TooLarge),
        };
        let body = if !first {
            head::check(&self.waiting[..end])
        } else if self.waiting.starts_with(PREFACE) {
            Ok(Body::Unknown)
        } else if PREFACE.starts_with(&self.waiting) {
            return false;
        } else {
            head::check(&self.waiting[..end])
        };
        self.state = match body {
            Err(why) => return self.refuse(why),
            Ok(Body::Length(0)) => State::Head { first: false },
            Ok(Body::Length(length)) => State::Body(length),
            Ok(Body::Unknown) => State::Rest,
        };
        self.deadline = None;
        self.passed.extend_from_slice(&self.waiting.split_to(end));
        (self.seen, self.empty_lines) = (0, 0);
        true
    }

    fn refuse(&mut self, why: Refusal) -> bool {
        // Only the first is answered, and there is no second.
        self.refused.get_or_init(|| why);
        self.deadline = None;
        self.passed.extend_from_slice(STAND_IN);
        self.state = State::Refused;
        true
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads once, which registers for more when there is nothing.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = ReadBuf::new(&mut self.chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Until the refusal has been written nothing is to be read, not even the end.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.discarded < DISCARDED_MAX_BYTES {
            match ready!(self.poll_chunk(cx))? {
                0 => self.discarded = DISCARDED_MAX_BYTES,
                length => self.discarded += length,
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.passed.is_empty() {
                let length = self.passed.len().min(buffer.remaining());
                buffer.put_slice(&self.passed.split_to(length));
                return Poll::Ready(Ok(()));
            }
            match self.state {
                State::Rest => {
                    // The connection may go on for days without a head to read.
                    (self.chunk, self.passed, self.waiting) =
                        (Box::default(), BytesMut::new(), BytesMut::new());
                    return Pin::new(&mut self.stream).poll_read(cx, buffer);
                }
                State::Refused => return self.poll_discard(cx),
                State::Head { .. } | State::Body(_) => {}
            }
            if let Some(deadline) = &mut self.deadline
                && deadline.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let length = ready!(self.poll_chunk(cx))?;
            if length == 0 {
                let orderly = self.waiting.is_empty();
                return Poll::Ready(if orderly { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
            }
            let chunk = std::mem::take(&mut self.chunk);
            self.receive(&chunk[..length]);
            self.chunk = chunk;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{Gate, PREFACE, Refusal, STAND_IN};

    /// Passes bytes in, in pieces of every size; what comes out must not depend on the size.
    fn pass(received: &[u8]) -> (Vec<u8>, Option<Refusal>) {
        let through = |size: usize| {
            let refused = Arc::default();
            let mut gate = Gate::new((), Arc::clone(&refused), Duration::from_secs(60));
            received.chunks(size).for_each(|piece| gate.receive(piece));
            (gate.passed.to_vec(), refused.get().copied())
        };
        let whole = through(received.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(through(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[tokio::test]
    async fn requests_one_after_the_other_pass() {
        let check = |received: &[u8]| {
            let (passed, refused) = pass(received);
            assert_eq!(refused, None, "{}", String::from_utf8_lossy(received));
            assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(received));
        };
        check(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        check(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n");
        check(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n\n\0\rxGET / HTTP/1.1\r\nhost: a\r\n\r\n");
        check(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n");
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n\x01");
        check(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
    }

    #[tokio::test]
    async fn a_refused_head_is_replaced_and_nothing_follows() {
        let good: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";
        let bad: &[u8] = b"GET / HTTP/1.1\r\nhost : a\r\n\r\n";
        let (passed, refused) = pass(&[good, bad, good].concat());
        assert_eq!(passed, [good, STAND_IN].concat());
        assert!(matches!(refused, Some(Refusal::Malformed(_))));
        let (passed, _) = pass(b"GET / HTTP/1.1\nhost: a\n\n");
        assert_eq!(passed, STAND_IN);
        // The preface is one only at the start.
        let (_, refused) = pass(&[good, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].concat());
        assert!(refused.is_some());
        let (_, refused) = pass(b"PRI * HTTP/2.0\r\n\r\nSMx");
        assert!(refused.is_some());
        let (_, refused) = pass(&b"\r\n".repeat(10));
        assert!(refused.is_some());
    }

    #[tokio::test]
    async fn connections_that_do_not_begin_end() {
        let check = async |sent: &[u8], ends: bool| {
            let (mut client, server) = duplex(64);
            client.write_all(sent).await.unwrap();
            let mut gate = Gate::new(server, Arc::default(), Duration::from_millis(20));
            let mut received = Vec::new();
            let read = gate.read_to_end(&mut received);
            let next = tokio::time::timeout(Duration::from_millis(300), read).await;
            assert_eq!(next.is_ok(), ends, "{}", sent.escape_ascii());
        };
        check(b"", true).await;
        check(b"P", true).await;
        check(b"GET / HTTP/1.1\r\nhost: a\r\n", true).await;
        check(&PREFACE[..18], true).await;
        check(&PREFACE[..23], true).await;
        check(PREFACE, false).await;
        check(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", false).await;
    }
}
