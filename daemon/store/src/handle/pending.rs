//! The answer to come. A future that needs no particular runtime, and that can also be waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_channel::oneshot;

use crate::Error;

/// The answer to come. The request is already on its way when this is returned.
///
/// Dropping it is safe: a read is interrupted, a write is done or not done as a whole, as if the
/// caller had not listened.
#[must_use = "nobody would learn whether it failed"]
#[derive(Debug)]
pub struct Pending<T> {
    receiver: oneshot::Receiver<Result<T, Error>>,
    abandoned: Arc<AtomicBool>,
}

/// The other end of a [`Pending`].
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<Result<T, Error>>);

impl<T> Pending<T> {
    /// A pair, and the flag that tells whether anybody still waits.
    pub(crate) fn new() -> (Reply<T>, Self, Arc<AtomicBool>) {
        let (sender, receiver) = oneshot::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        (Reply(sender), Self { receiver, abandoned: Arc::clone(&abandoned) }, abandoned)
    }

    /// An answer that is known already.
    pub(crate) fn failed(error: Error) -> Self {
        let (reply, pending, _) = Self::new();
        reply.send(Err(error));
        pending
    }

    /// Blocks this thread until the answer is there. Not for async code.
    ///
    /// # Errors
    /// Those of the call that returned this.
    pub fn wait(mut self) -> Result<T, Error> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender dropped without an answer means that its thread is gone.
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

impl<T> Reply<T> {
    pub(crate) fn send(self, answer: Result<T, Error>) {
        // The caller may have gone away, which is its right.
        drop(self.0.send(answer));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
