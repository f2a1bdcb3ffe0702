//! One connection, from its first byte to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::{Gate, REFUSED, Refusal, Refused};
use super::stall::Stall;
use super::{Doors, Place};
use crate::http::address::{Peer, Scheme};
use crate::http::answer::{Arrival, answer};
use crate::http::unread::Unread;
use crate::limits;

/// What a connection needs to be served.
pub struct Connection {
    pub doors: Arc<Doors>,
    pub peer: Peer,
    pub scheme: Scheme,
    /// Every request on it is refused with this.
    pub refusal: Option<Refusal>,
    pub unread: Unread,
    /// Room for requests, of all connections.
    pub requests: Arc<Semaphore>,
    pub watcher: Watcher,
    pub slot: OwnedSemaphorePermit,
    pub place: Option<Place>,
}

impl Connection {
    /// Serves it until it ends.
    pub async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { doors, peer, scheme, refusal: always, unread, requests, watcher, slot, place } = self;
        let timeout = doors.config.server.header_timeout;
        let (refused, busy) = (Refused::default(), Arc::new(Busy::default()));
        // A WebSocket outlives what is served here, and counts as a connection until its end.
        let stream = Stall::new(stream, limits::WRITE_STALL_MAX).holding((slot, place));
        let io = Gate::new(stream, Arc::clone(&refused), timeout);
        let (own, counted) = (unread.clone(), Arc::clone(&busy));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (doors, unread) = (Arc::clone(&doors), unread.clone());
            let work = counted.enter();
            let room = Arc::clone(&requests).try_acquire_owned();
            let stand_in = request.method().as_str() == REFUSED;
            let refusal = refused.get().copied().filter(|_| stand_in);
            let refusal = refusal.or(always).or(room.is_err().then_some(Refusal::Overloaded));
            async move {
                let arrival = Arrival { peer, scheme, refusal };
                let answered = answer(&doors, arrival, &unread, request.map(Body::new)).await;
                drop(room);
                Ok::<_, std::convert::Infallible>(answered.map(|body| Worked { body, _work: work }))
            }
        });
        let served = builder(timeout).serve_connection_with_upgrades(TokioIo::new(io), service).into_owned();
        tokio::select! {
            served = watcher.watch(served) => {
                if let Err(error) = served {
                    tracing::debug!(%error, "connection ended: {error}");
                }
            }
            () = own.stuck() => tracing::debug!("cut off a client that does not read its answers"),
            () = busy.idle() => tracing::debug!("closed a connection that asked for nothing"),
        }
    }
}

/// Bounds for both versions. An HTTP/2 client that resets streams as fast as it opens them, or makes us
/// reset them, is cut off by the library (CVE-2023-44487, CVE-2025-8671).
fn builder(timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEAD_MAX_BYTES + 16 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::HTTP2_PING_PERIOD)
        .keep_alive_timeout(limits::HTTP2_PING_MAX)
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(limits::HTTP2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::HTTP2_OWN_RESETS_MAX)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(limits::HEAD_MAX_BYTES).unwrap_or(u32::MAX));
    builder
}

/// What a connection is doing: how many requests are being answered, and how many there were.
#[derive(Debug, Default)]
struct Busy {
    open: AtomicU64,
    all: AtomicU64,
}

/// A request that is being answered, until its last byte was taken.
struct Work(Arc<Busy>);

/// The body of an answer, which is work until its end.
struct Worked {
    body: Body,
    _work: Work,
}

impl Busy {
    fn enter(self: &Arc<Self>) -> Work {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        Work(Arc::clone(self))
    }

    /// Resolves when nothing was asked for [`limits::IDLE_MAX`] and nothing is being answered. HTTP/1
    /// has its own, shorter limit; HTTP/2 would go on for ever by answering pings.
    async fn idle(&self) {
        loop {
            let before = self.all.load(Ordering::Relaxed);
            tokio::time::sleep(limits::IDLE_MAX).await;
            if self.all.load(Ordering::Relaxed) == before && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

impl HttpBody for Worked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
