//! Subscriptions with the same answer. One read serves them all: it finds what the query shows now, and
//! every member is told how that differs from what it was told last.
//!
//! A member therefore misses nothing and sees nothing twice, however many changes lie between two reads,
//! and one that reads slowly simply skips what came between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_store::Error;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::Hub;
use super::connection::Connection;
use super::message;
use super::outbox::Message;
use super::question::Question;
use super::view::{Seen, View, place_of};
use crate::limits::{REALTIME_LINGER, REALTIME_PAST_MAX, REALTIME_RETRY, REALTIME_TIMED_EVERY};
use crate::problem::ApiError;

/// Subscriptions with the same answer.
#[derive(Debug)]
pub struct Group {
    pub question: Arc<Question>,
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    /// What was told last.
    view: Option<Arc<View>>,
    /// What was told before, for those who come back.
    past: VecDeque<Arc<View>>,
    /// Nobody can join any more.
    over: bool,
}

/// A subscription of one connection.
#[derive(Debug)]
pub struct Member {
    pub connection: Arc<Connection>,
    /// Its id, and what every message about it begins with.
    pub id: Arc<str>,
    pub head: Bytes,
    /// Tells it from others of the connection with the same id, which came before or come later.
    pub number: u64,
    /// What it was told last; nothing yet.
    last: Option<Arc<View>>,
    /// The place up to which the client has seen everything, as it says.
    since: Option<String>,
    /// Whether to say that what it knows is void.
    resync: Option<&'static str>,
}

impl Member {
    /// A subscription that waits to be told what there is.
    pub fn new(connection: &Arc<Connection>, id: &str, number: u64, since: Option<String>) -> Self {
        Self {
            connection: Arc::clone(connection),
            id: Arc::from(id),
            head: Bytes::from(message::head(id)),
            number,
            last: None,
            since,
            resync: None,
        }
    }

    /// The same for a client that was told something else before.
    pub fn resynced(self, reason: &'static str) -> Self {
        Self { resync: Some(reason), ..self }
    }

    fn offer(&self, tail: &Bytes) -> bool {
        self.connection.outbox.offer(Message::shared(self.head.clone(), tail.clone()))
    }
}

impl Group {
    pub fn new(question: Arc<Question>) -> Self {
        Self { question, wake: Notify::new(), state: Mutex::default() }
    }

    /// The answer may be another one now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes in a member; gives it back if the group is over.
    pub fn join(&self, mut member: Member) -> Result<(), Member> {
        let mut state = self.lock();
        if state.over {
            return Err(member);
        }
        if let Some(since) = &member.since {
            let known = state.view.iter().chain(&state.past).find(|view| view.token == *since);
            member.last = known.map(Arc::clone);
        }
        state.members.push(member);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Takes out a member. Once this returns, nothing more is told to it. Answers up to where it was told.
    pub fn leave(&self, connection: &Connection, number: u64) -> Option<String> {
        let mut state = self.lock();
        let is_it =
            |member: &Member| member.number == number && std::ptr::eq(&*member.connection, connection);
        let place = state.members.iter().position(is_it)?;
        let member = state.members.swap_remove(place);
        if state.members.is_empty() {
            state.members.shrink_to_fit();
            drop(state);
            self.wake();
        }
        member.last.map(|view| view.token.clone())
    }

    /// Tells members of changes until nobody is left.
    pub async fn run(self: Arc<Self>, hub: Hub) {
        let mut stopped = hub.stopped();
        let mut empty_since: Option<Instant> = None;
        loop {
            let linger = sleep_until(empty_since.unwrap_or_else(Instant::now) + REALTIME_LINGER);
            tokio::select! {
                () = crate::serve::told_to_stop(&mut stopped) => return,
                () = self.wake.notified() => {}
                () = linger, if empty_since.is_some() => if self.close() { break },
                () = sleep(REALTIME_TIMED_EVERY), if self.question.again.is_some() => {}
            }
            if self.lock().members.is_empty() {
                empty_since.get_or_insert_with(Instant::now);
                continue;
            }
            empty_since = None;
            match self.tell(&hub).await {
                Ok(()) => {}
                Err(error) if is_passing(&error) => {
                    tracing::debug!(%error, "a subscription waits: {error}");
                    self.wake();
                    sleep(REALTIME_RETRY).await;
                }
                Err(error) => self.fail(&error.into()),
            }
        }
        hub.forget(&self);
    }

    /// Nobody may join any more, unless somebody is in.
    fn close(&self) -> bool {
        let mut state = self.lock();
        state.over = state.members.is_empty();
        state.over
    }

    /// Reads what there is and tells every member.
    async fn tell(&self, hub: &Hub) -> Result<(), Error> {
        let query = match self.question.query_now() {
            Ok(query) => query,
            Err(error) => {
                self.fail(&error);
                return Ok(());
            }
        };
        let turn = hub.turn().await;
        let watched = hub.store().watch(Arc::clone(&self.question.collection), query).await?;
        drop(turn);
        let seen = Seen::new(watched, &self.question.print, hub.hasher());
        let quiet = self.quiet_since(hub, &seen.view).await?;
        // By then whoever lost a right within what was read is known to have lost it.
        hub.heard_of(seen.view.position.seq).await;
        if !hub.is_current(&self.question.catalog) {
            return Ok(());
        }
        self.fan_out(&seen, &quiet);
        Ok(())
    }

    fn fan_out(&self, seen: &Seen, quiet: &[String]) {
        let mut state = self.lock();
        let before = state.view.clone();
        let shared = before.as_deref().and_then(|before| seen.delta(before)).map(Bytes::from);
        let is_before = |last: &Option<Arc<View>>| match (last, &before) {
            (Some(last), Some(before)) => Arc::ptr_eq(last, before),
            _ => false,
        };
        let all_know = state.members.iter().all(|member| is_before(&member.last) && member.since.is_none());
        let view = match &before {
            Some(before) if shared.is_none() && all_know => Arc::clone(before),
            _ => Arc::new(seen.view.clone()),
        };
        let mut snapshot: Option<Bytes> = None;
        for member in &mut state.members {
            if member.connection.is_stale() {
                continue;
            }
            let told = match (&member.last, &member.since) {
                (Some(last), Some(_)) => {
                    member.offer(&Bytes::from(seen.delta(last).unwrap_or_else(|| seen.nothing_new())))
                }
                (last, None) if is_before(last) => shared.as_ref().is_none_or(|tail| member.offer(tail)),
                (Some(last), None) => seen.delta(last).is_none_or(|tail| member.offer(&Bytes::from(tail))),
                (None, Some(since)) if quiet.contains(since) => {
                    member.offer(&Bytes::from(seen.nothing_new()))
                }
                (None, _) => {
                    let tail = snapshot.get_or_insert_with(|| Bytes::from(seen.snapshot()));
                    begin(member, tail)
                }
            };
            if told {
                member.last = Some(Arc::clone(&view));
                member.since = None;
            }
        }
        state.keep(view);
    }

    /// Those places among what joining members name after which nothing happened that could matter.
    async fn quiet_since(&self, hub: &Hub, view: &View) -> Result<Vec<String>, Error> {
        let mut asked: Vec<String> = {
            let state = self.lock();
            let joining = state.members.iter().filter(|member| member.last.is_none());
            joining.filter_map(|member| member.since.clone()).collect()
        };
        asked.sort_unstable();
        asked.dedup();
        let mut quiet = Vec::new();
        for token in asked {
            let Some((since, print)) = place_of(&token) else { continue };
            if print != self.question.print {
                // By other rights, or of another question.
                continue;
            }
            let only = match self.question.looks_elsewhere || self.question.again.is_some() {
                true => Vec::new(),
                false => vec![self.question.collection.name.clone()],
            };
            match hub.store().changes(since, only, 1).await {
                Ok(page) => {
                    let seq = page.rows.first().map_or(page.next.seq, |row| row.seq - 1);
                    if seq >= view.position.seq && self.question.again.is_none() {
                        quiet.push(token);
                    }
                }
                Err(Error::ChangesGone) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(quiet)
    }

    /// Ends every subscription.
    fn fail(&self, error: &ApiError) {
        let members = std::mem::take(&mut self.lock().members);
        let problem = error.clone().into_problem();
        for member in members {
            if member.connection.outbox.has_ended() {
                continue;
            }
            member.connection.outbox.put(message::error(Some(&member.id), &problem));
            member.connection.drop_subscription(&member.id, member.number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a new member what there is.
fn begin(member: &mut Member, tail: &Bytes) -> bool {
    let reason = member.resync.or(member.since.as_ref().map(|_| "changes_gone"));
    let outbox = &member.connection.outbox;
    if let Some(reason) = reason {
        let resync = message::resync(&member.id, reason);
        if !outbox.offer(resync) {
            return false;
        }
        (member.resync, member.since) = (None, None);
        // They belong together.
        outbox.put(Message::shared(member.head.clone(), tail.clone()));
        return true;
    }
    member.offer(tail)
}

impl State {
    fn keep(&mut self, view: Arc<View>) {
        if self.view.as_ref().is_some_and(|known| Arc::ptr_eq(known, &view)) {
            return;
        }
        if let Some(before) = self.view.replace(view) {
            self.past.push_front(before);
            self.past.truncate(REALTIME_PAST_MAX);
        }
    }
}

/// Whether it may work another time.
fn is_passing(error: &Error) -> bool {
    !matches!(error, Error::ScanTooLarge { .. } | Error::AnswerTooLarge { .. })
}
