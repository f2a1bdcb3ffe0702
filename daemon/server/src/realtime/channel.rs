//! A channel: who listens, who is there, and what is said. Nothing of it is stored: it is told to those who
//! listen now, in one order for all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_core::channel::{ChannelAct, ChannelName, ChannelQuestion};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_store::Position;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Mutex as Turn;

use super::connection::Connection;
use super::message;
use super::outbox::Message;
use crate::clock;
use crate::limits::{REALTIME_HELD_MAX, REALTIME_PRESENT_MAX};

/// A channel that somebody uses.
#[derive(Debug)]
pub struct Channel {
    /// With its key.
    pub name: String,
    /// What happens on it happens one by one.
    pub turn: Turn<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listeners: Vec<Listener>,
    /// In order of arrival.
    present: Vec<Present>,
    /// Up to where it was made sure that everybody may still be here.
    checked: Option<Position>,
}

/// Somebody who is told.
#[derive(Debug)]
pub struct Listener {
    connection: Arc<Connection>,
    id: Arc<str>,
    head: Bytes,
    number: u64,
    /// What has to be told before anything else.
    owed: Option<Owed>,
    /// What was said while nothing could be told.
    held: VecDeque<Said>,
    missed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Owed {
    /// That the subscription has begun.
    Beginning,
    /// That it begins anew, and why.
    Anew(&'static str),
}

#[derive(Clone, Debug)]
struct Said {
    tail: Bytes,
    /// Who is there is told along with a beginning, what was broadcast is not.
    broadcast: bool,
}

/// Somebody who is there.
#[derive(Debug)]
struct Present {
    connection: Arc<Connection>,
    reference: String,
    user: Option<String>,
    /// JSON.
    state: String,
}

/// Somebody whose right to be here is to be looked at.
#[derive(Debug)]
pub struct Doubted {
    pub connection: Arc<Connection>,
    pub identity: Identity,
    pub facts: RequestFacts,
    pub question: ChannelQuestion,
    /// Of a listener, with the id of its subscription.
    pub listener: Option<(Arc<str>, u64)>,
}

impl Listener {
    pub fn new(connection: &Arc<Connection>, id: &str, number: u64) -> Self {
        Self {
            connection: Arc::clone(connection),
            id: Arc::from(id),
            head: Bytes::from(message::head(id)),
            number,
            owed: Some(Owed::Beginning),
            held: VecDeque::new(),
            missed: 0,
        }
    }

    fn is(&self, connection: &Connection, number: u64) -> bool {
        self.number == number && std::ptr::eq(&*self.connection, connection)
    }

    fn offer(&self, tail: &Bytes) -> bool {
        self.connection.outbox.offer(Message::shared(self.head.clone(), tail.clone()))
    }

    /// Tells what waits, as far as it can be told.
    fn flush(&mut self, joined: &dyn Fn() -> Bytes) {
        if self.connection.is_stale() {
            return;
        }
        match self.owed {
            Some(Owed::Beginning) if !self.offer(&joined()) => return,
            Some(Owed::Anew(reason)) => {
                let told = json!({
                    "id": &*self.id, "type": "resync", "reason": reason, "missed": self.missed,
                });
                if !self.connection.outbox.offer(Message::own(told.to_string())) {
                    return;
                }
                // They belong together.
                self.connection.outbox.put(Message::shared(self.head.clone(), joined()));
                self.missed = 0;
            }
            _ => {}
        }
        self.owed = None;
        while self.held.front().is_some_and(|said| self.offer(&said.tail)) {
            self.held.pop_front();
        }
    }

    fn tell(&mut self, said: &Said, joined: &dyn Fn() -> Bytes) {
        self.flush(joined);
        if self.owed.is_some() && !said.broadcast {
            return;
        }
        let free = self.owed.is_none() && self.held.is_empty() && !self.connection.is_stale();
        if free && self.offer(&said.tail) {
            return;
        }
        if self.held.len() < REALTIME_HELD_MAX {
            return self.held.push_back(said.clone());
        }
        self.lose("slow");
        self.missed += u64::from(said.broadcast);
    }

    /// Gives up what waits, which will be told.
    fn lose(&mut self, reason: &'static str) {
        self.missed += self.held.drain(..).filter(|said| said.broadcast).count() as u64;
        if !matches!(self.owed, Some(Owed::Beginning)) {
            self.owed = Some(Owed::Anew(reason));
        }
    }
}

impl Present {
    fn json(&self) -> Value {
        let state: Value = serde_json::from_str(&self.state).unwrap_or_default();
        json!({ "ref": self.reference, "user": self.user, "state": state })
    }

    fn is(&self, connection: &Connection) -> bool {
        std::ptr::eq(&*self.connection, connection)
    }
}

impl Channel {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), turn: Turn::new(()), state: Mutex::default() }
    }

    /// Takes in a listener and tells it who is there.
    pub fn listen(&self, mut listener: Listener) {
        let mut state = self.lock();
        let State { listeners, present, .. } = &mut *state;
        listener.flush(&|| joined(present));
        listeners.push(listener);
        // It was not among those who were made sure of.
        state.checked = None;
    }

    /// Takes out a listener. Once this returns, nothing more is told to it.
    pub fn leave(&self, connection: &Connection, number: u64) {
        self.lock().listeners.retain(|listener| !listener.is(connection, number));
    }

    /// Tells everybody something.
    pub fn say(&self, event: &str, payload: &str, user: Option<&str>) {
        let event = Value::from(event);
        let user = user.map_or(Value::Null, Value::from);
        let tail =
            format!("\"type\":\"broadcast\",\"event\":{event},\"payload\":{payload},\"user\":{user}}}");
        self.lock().tell(&Said { tail: Bytes::from(tail), broadcast: true });
    }

    /// Somebody is there, or there in another way; `false` if there are too many.
    pub fn appear(&self, connection: &Arc<Connection>, user: Option<String>, text: String) -> bool {
        let mut state = self.lock();
        let known = state.present.iter().position(|present| present.is(connection));
        let place = match known {
            Some(place) => place,
            None if state.present.len() >= REALTIME_PRESENT_MAX => return false,
            None => {
                let (connection, reference) = (Arc::clone(connection), clock::random_hex::<8>());
                state.present.push(Present { connection, reference, user: None, state: String::new() });
                state.present.len() - 1
            }
        };
        let present = &mut state.present[place];
        if known.is_some() && present.user == user && present.state == text {
            return true;
        }
        (present.user, present.state) = (user, text);
        let told = present.json();
        state.tell_presence(&[told], &[]);
        state.checked = None;
        true
    }

    /// Somebody is there no more.
    pub fn disappear(&self, connection: &Connection) {
        let mut state = self.lock();
        if let Some(place) = state.present.iter().position(|present| present.is(connection)) {
            let gone = state.present.remove(place);
            state.tell_presence(&[], &[gone.reference]);
        }
    }

    /// There is room again in what waits for a connection, or it is certain again who it is.
    pub fn wake(&self, connection: &Connection) {
        let mut state = self.lock();
        let State { listeners, present, .. } = &mut *state;
        let own = listeners.iter_mut().filter(|listener| std::ptr::eq(&*listener.connection, connection));
        own.for_each(|listener| listener.flush(&|| joined(present)));
    }

    /// Has a listener begin anew: what was said meanwhile was said to somebody else.
    pub fn begin_anew(&self, connection: &Connection, number: u64) {
        let mut state = self.lock();
        let own = state.listeners.iter_mut().filter(|listener| listener.is(connection, number));
        own.for_each(|listener| listener.lose("rights_changed"));
    }

    /// How somebody is there, as JSON.
    pub fn state_of(&self, connection: &Connection) -> Option<String> {
        let state = self.lock();
        state.present.iter().find(|present| present.is(connection)).map(|present| present.state.clone())
    }

    /// Whether it was made sure at this place in the feed that everybody may still be here.
    pub fn is_checked(&self, at: &Position) -> bool {
        self.lock().checked.as_ref() == Some(at)
    }

    pub fn set_checked(&self, at: Position) {
        self.lock().checked = Some(at);
    }

    /// Everybody here who needs these rights.
    pub fn all(&self, name: ChannelName<'_>, acts: &[ChannelAct]) -> Vec<Doubted> {
        let state = self.lock();
        let doubted = |connection: &Arc<Connection>, question, listener| Doubted {
            connection: Arc::clone(connection),
            identity: connection.identity(),
            facts: connection.facts_now(),
            question,
            listener,
        };
        let mut all = Vec::new();
        if acts.contains(&ChannelAct::Subscribe) {
            let of = |one: &Listener| {
                doubted(&one.connection, name.subscribing(), Some((Arc::clone(&one.id), one.number)))
            };
            all.extend(state.listeners.iter().map(of));
        }
        if acts.contains(&ChannelAct::Presence) {
            let of = |one: &Present| doubted(&one.connection, name.presenting(&one.state), None);
            all.extend(state.present.iter().map(of));
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, said: &Said) {
        let Self { listeners, present, .. } = self;
        listeners.iter_mut().for_each(|listener| listener.tell(said, &|| joined(present)));
    }

    fn tell_presence(&mut self, present: &[Value], gone: &[String]) {
        let tail = format!(
            "\"type\":\"presence\",\"present\":{},\"gone\":{}}}",
            Value::from(present),
            Value::from(gone)
        );
        self.tell(&Said { tail: Bytes::from(tail), broadcast: false });
    }
}

/// The rest of a message `joined`, after its id.
fn joined(present: &[Present]) -> Bytes {
    let present: Vec<Value> = present.iter().map(Present::json).collect();
    Bytes::from(format!("\"type\":\"joined\",\"present\":{}}}", Value::from(present)))
}
