//! One client that is told of changes, whichever way it is connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_core::identity::{Identity, RequestFacts};
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::channels::Handle;
use super::group::Group;
use super::message::Wanted;
use super::outbox::Outbox;
use super::places::Place;
use crate::auth::{Credential, Lasting};
use crate::clock;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Nobody else can guess it.
    pub id: String,
    pub outbox: Outbox,
    /// What rules know of the request that opened it.
    pub facts: RequestFacts,
    /// What the client says is taken one by one.
    pub turn: Turn<()>,
    /// Whether it waits to be looked at.
    pub queued: AtomicBool,
    /// How often it was doubted, and up to which of those it was looked at.
    doubts: AtomicU64,
    settled: AtomicU64,
    /// When its token ends, in seconds since 1970.
    expires_at: AtomicU64,
    /// Whether it was told that its token has ended.
    told_expired: AtomicBool,
    state: Mutex<State>,
}

/// What changes while it is open.
#[derive(Debug)]
pub struct State {
    pub identity: Identity,
    pub credential: Credential,
    /// The last token that was shown is not valid: nothing is done for whoever the client is not.
    pub refused: bool,
    pub subscriptions: HashMap<String, Subscription>,
    /// Channels that it is in, by name.
    pub present: HashMap<String, Handle>,
    /// For which limits it counts.
    pub places: Vec<Place>,
    numbers: u64,
    /// Messages that the client may still send, and since when.
    allowance: (f64, Instant),
}

/// A subscription of a connection.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub number: u64,
    pub to: To,
}

/// What is subscribed to.
#[derive(Clone, Debug)]
pub enum To {
    Documents { wanted: Wanted, group: Arc<Group> },
    Channel(Handle),
}

impl Subscription {
    /// Ends it. Once this returns, nothing more is told of it. Answers up to where it was told.
    pub fn leave(&self, connection: &Connection) -> Option<String> {
        match &self.to {
            To::Documents { group, .. } => group.leave(connection, self.number),
            To::Channel(channel) => {
                channel.leave(connection, self.number);
                None
            }
        }
    }
}

impl Connection {
    pub fn new(who: Lasting, facts: RequestFacts, places: Vec<Place>, queue_bytes: usize) -> Self {
        Self {
            id: clock::random_hex::<16>(),
            outbox: Outbox::new(queue_bytes),
            facts,
            turn: Turn::new(()),
            queued: AtomicBool::new(false),
            doubts: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            expires_at: AtomicU64::new(who.expires_at.unwrap_or(u64::MAX)),
            told_expired: AtomicBool::new(false),
            state: Mutex::new(State {
                identity: who.identity,
                refused: false,
                credential: who.credential,
                subscriptions: HashMap::new(),
                present: HashMap::new(),
                places,
                numbers: 0,
                allowance: (f64::INFINITY, Instant::now()),
            }),
        }
    }

    /// Whether nothing may be told to it for now: who it is is not certain, or its token has ended.
    pub fn is_stale(&self) -> bool {
        self.doubts.load(Ordering::Acquire) != self.settled.load(Ordering::Acquire) || self.has_expired()
    }

    /// Whether its token has ended.
    pub fn has_expired(&self) -> bool {
        clock::now_seconds() >= self.expires_at()
    }

    pub fn expires_at(&self) -> u64 {
        self.expires_at.load(Ordering::Acquire)
    }

    pub fn set_expires_at(&self, at: Option<u64>) {
        self.expires_at.store(at.unwrap_or(u64::MAX), Ordering::Release);
        self.told_expired.store(false, Ordering::Release);
    }

    /// Whether it is to be told now that its token has ended, which is once.
    pub fn tell_expired(&self) -> bool {
        !self.told_expired.swap(true, Ordering::AcqRel)
    }

    /// Something about its account, key or session is different. Nothing is told to it until that was
    /// looked at.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// The doubts so far; give them to [`Connection::settle`] once it is certain again.
    pub fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    pub fn settle(&self, doubts: u64) {
        self.settled.store(doubts, Ordering::Release);
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.lock().identity.clone()
    }

    /// Whether a subscription has not ended.
    pub fn has_subscription(&self, id: &str, number: u64) -> bool {
        self.lock().subscriptions.get(id).is_some_and(|known| known.number == number)
    }

    /// Forgets a subscription that has ended.
    pub fn drop_subscription(&self, id: &str, number: u64) {
        let mut state = self.lock();
        if state.subscriptions.get(id).is_some_and(|known| known.number == number) {
            state.subscriptions.remove(id);
        }
    }

    /// All its subscriptions by id.
    pub fn subscriptions(&self) -> Vec<(String, Subscription)> {
        self.lock().subscriptions.iter().map(|(id, one)| (id.clone(), one.clone())).collect()
    }

    /// There is room again, or it is certain again who it is: has everybody look at what it missed.
    pub fn wake_groups(&self) {
        for (_, subscription) in self.subscriptions() {
            match &subscription.to {
                To::Documents { group, .. } => group.wake(),
                To::Channel(channel) => channel.wake(self),
            }
        }
    }

    /// Ends all subscriptions and leaves all channels. Answers by id up to where each was told.
    pub fn leave_all(&self) -> Vec<(String, Option<String>)> {
        let (subscriptions, present) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.subscriptions), std::mem::take(&mut state.present))
        };
        present.values().for_each(|channel| channel.disappear(self));
        subscriptions.into_iter().map(|(id, subscription)| (id, subscription.leave(self))).collect()
    }

    /// What rules know of the request, now.
    pub fn facts_now(&self) -> RequestFacts {
        RequestFacts { time: clock::now_text(), ..self.facts.clone() }
    }

    /// Takes one message from what the client may send; `false` if it has sent too many.
    pub fn take_message(&self, per_second: u32) -> bool {
        let (rate, most) = (f64::from(per_second), f64::from(per_second) * 5.0);
        let mut state = self.lock();
        let (left, since) = state.allowance;
        let left = (left + since.elapsed().as_secs_f64() * rate).min(most) - 1.0;
        state.allowance = (left, Instant::now());
        left >= 0.0
    }
}

impl State {
    /// A number that no other subscription of this connection has.
    pub const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
