//! A bounded queue between many callers and a few threads. `std::sync::mpsc` has a single receiver
//! and cannot be closed from the sender's side while senders are still cloned around; this can.
//!
//! It never waits when full and never loses what was accepted: after `close` receivers still get
//! everything that is in it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why an item was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// What a receiver finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped<T> {
    Items(T),
    /// Nothing came in time.
    Quiet,
    /// Closed and empty.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            filled: Condvar::new(),
            capacity,
        }
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, or drops it.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= self.capacity {
            return Err(Refused::Full);
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for the first item, up to `patience` if given, and takes up to `max`.
    pub(crate) fn drain(&self, max: usize, patience: Option<Duration>) -> Popped<Vec<T>> {
        let waiting = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let mut state = match patience {
            None => self.filled.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                self.filled
                    .wait_timeout_while(self.lock(), patience, waiting)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        match (state.items.len(), state.closed) {
            (0, true) => Popped::Closed,
            (0, false) => Popped::Quiet,
            (count, _) => Popped::Items(state.items.drain(..count.min(max)).collect()),
        }
    }

    /// Accepts nothing more and wakes every receiver.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Popped, Queue, Refused};

    #[test]
    fn is_bounded_and_keeps_what_it_accepted() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(Refused::Full));
        queue.close();
        assert_eq!(queue.push(4), Err(Refused::Closed));
        assert_eq!(queue.drain(1, None), Popped::Items(vec![1]));
        assert_eq!(queue.drain(9, None), Popped::Items(vec![2]));
        assert_eq!(queue.drain(9, None), Popped::Closed);
    }

    #[test]
    fn a_receiver_with_patience_comes_back() {
        let queue = Queue::<u8>::new(1);
        assert_eq!(queue.drain(1, Some(Duration::ZERO)), Popped::Quiet);
    }
}
