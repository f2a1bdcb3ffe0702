//! What waits to be sent to one client: bounded, and never silently less than what was put in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::message::Reason;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Message {
    /// What is of this client alone.
    head: Bytes,
    /// What it shares with others.
    tail: Bytes,
}

impl Message {
    /// A message of one client.
    pub fn own(text: String) -> Self {
        Self { head: Bytes::from(text), tail: Bytes::new() }
    }

    /// A message of which the end goes to others, too.
    pub const fn shared(head: Bytes, tail: Bytes) -> Self {
        Self { head, tail }
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Its text.
    pub fn text(&self) -> String {
        let bytes = [&*self.head, &*self.tail].concat();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// What the one who sends is to do next.
#[derive(Debug)]
pub enum Next {
    Send(Message),
    /// Everything was sent.
    End(Reason),
}

/// The queue.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// Since when there was no room for something.
    full_since: Option<Instant>,
    ended: Option<Reason>,
}

impl Outbox {
    pub fn new(limit_bytes: usize) -> Self {
        Self { queue: Mutex::default(), filled: Notify::new(), limit_bytes }
    }

    /// Puts in a message; answers whether there was room. One message always has room.
    pub fn offer(&self, message: Message) -> bool {
        let mut queue = self.lock();
        if queue.ended.is_some() {
            return false;
        }
        if !queue.waiting.is_empty() && queue.bytes + message.len() > self.limit_bytes {
            queue.full_since.get_or_insert_with(Instant::now);
            return false;
        }
        queue.put(message);
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Puts in what answers a message of the client, which are limited themselves.
    pub fn put(&self, message: Message) {
        let mut queue = self.lock();
        if queue.ended.is_none() {
            queue.put(message);
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Puts in the last message. Nothing comes after it.
    pub fn end(&self, reason: Reason, last: Message) {
        let mut queue = self.lock();
        if queue.ended.is_none() {
            queue.put(last);
            queue.ended = Some(reason);
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Whether the last message was put in.
    pub fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Since when something waits for room.
    pub fn full_since(&self) -> Option<Instant> {
        self.lock().full_since
    }

    /// The next message, once there is one. `true`: there is room again for what was turned away.
    pub async fn next(&self) -> (Next, bool) {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<(Next, bool)> {
        let mut queue = self.lock();
        let Some(message) = queue.waiting.pop_front() else {
            return queue.ended.map(|reason| (Next::End(reason), false));
        };
        queue.bytes -= message.len();
        if queue.waiting.is_empty() {
            // Most of the time nothing waits; memory is for those who are behind.
            queue.waiting.shrink_to(4);
        }
        let roomy = queue.bytes <= self.limit_bytes / 2 && queue.full_since.take().is_some();
        Some((Next::Send(message), roomy))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, message: Message) {
        self.bytes += message.len();
        self.waiting.push_back(message);
    }
}
