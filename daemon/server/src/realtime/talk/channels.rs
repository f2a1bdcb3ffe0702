//! What clients say on channels and about them.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::channel::{ChannelAct, ChannelEntry, ChannelName, ChannelQuestion};
use alyx_core::document::compact_json;
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts};
use alyx_core::rules::{Decision, NoLookups};
use alyx_store::EventRow;

use crate::limits::{REALTIME_EVENT_MAX_BYTES, REALTIME_RETRY, REALTIME_STATE_MAX_BYTES};
use crate::problem::{ApiError, Code};
use crate::realtime::Hub;
use crate::realtime::channel::{Channel, Doubted, Listener};
use crate::realtime::channels::Handle;
use crate::realtime::connection::{Connection, Subscription, To};
use crate::realtime::message::{self, Broadcast};

/// Events that are read at once.
const EVENTS_PAGE: u32 = 100;

impl Hub {
    /// Says something on a channel, as somebody who has no connection.
    ///
    /// # Errors
    /// `channel_not_found`, what is wrong with it, or that it is not allowed. What the channel tells of by
    /// itself is nothing to be said.
    pub async fn broadcast(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        said: &Broadcast,
    ) -> Result<(), ApiError> {
        let Broadcast { channel, event, payload } = said;
        if event.is_empty() || event.len() > REALTIME_EVENT_MAX_BYTES {
            let detail = format!("The event of a broadcast has 1 to {REALTIME_EVENT_MAX_BYTES} bytes.");
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        let payload = compacted("payload", payload)?;
        let catalog = self.0.catalog.load_full();
        let (name, entry) = find(&catalog, channel)?;
        self.allow(&entry, name.broadcasting(event, &payload), who, facts).await?;
        if entry.config.events.contains(event) {
            // Who listens could not tell it from the real one.
            let detail = format!("`{event}` is an event of the project, which is told when it is published.");
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        // Nobody listens to a channel that there is not.
        let Some(channel) = self.0.channels.get(channel) else { return Ok(()) };
        let _turn = channel.turn.lock().await;
        self.make_sure(&entry, name, &channel).await?;
        channel.say(event, &payload, who.user().map(|user| user.id.as_str()));
        Ok(())
    }

    /// Tells channels of events of the project, as they are published.
    pub(in crate::realtime) async fn follow_events(&self) {
        let mut published = self.0.events.clone();
        let mut seen = None;
        loop {
            match self.tell_events(seen).await {
                Ok(place) => seen = Some(place),
                Err(error) => {
                    tracing::debug!(code = error.code(), "events were not read: {}", error.code());
                    tokio::time::sleep(REALTIME_RETRY).await;
                    continue;
                }
            }
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells of the events after a place, and answers up to where.
    async fn tell_events(&self, seen: Option<i64>) -> Result<i64, ApiError> {
        let Some(mut seen) = seen else { return Ok(self.store().last_event().await?) };
        loop {
            let events = self.store().events_after(seen, EVENTS_PAGE).await?;
            let catalog = self.0.catalog.load_full();
            let is_last = events.len() < EVENTS_PAGE as usize;
            for (place, event) in events {
                let channels = catalog.schema.channels.values();
                for config in channels.filter(|channel| channel.events.contains(&event.name)) {
                    self.tell_event(&catalog, &config.name, &event).await?;
                }
                seen = place;
            }
            if is_last {
                return Ok(seen);
            }
        }
    }

    async fn tell_event(&self, catalog: &Catalog, name: &str, event: &EventRow) -> Result<(), ApiError> {
        let Some(channel) = self.0.channels.get(name) else { return Ok(()) };
        let (name, entry) = find(catalog, name)?;
        // It was JSON when it was published; a name in it that stands twice does no harm here.
        let payload = compact_json(&event.payload).unwrap_or_else(|_| {
            serde_json::from_str(&event.payload).unwrap_or(serde_json::Value::Null).to_string()
        });
        let _turn = channel.turn.lock().await;
        self.make_sure(&entry, name, &channel).await?;
        channel.say(&event.name, &payload, None);
        Ok(())
    }

    /// Has a connection listen.
    pub(super) async fn listen(
        &self,
        connection: &Arc<Connection>,
        id: &str,
        channel: &str,
    ) -> Result<(), ApiError> {
        self.check_room(connection, id)?;
        let catalog = self.0.catalog.load_full();
        let (name, entry) = find(&catalog, channel)?;
        self.allow(&entry, name.subscribing(), &connection.identity(), &connection.facts_now()).await?;
        let handle = self.0.channels.enter(channel);
        let _turn = handle.turn.lock().await;
        self.make_sure(&entry, name, &handle).await?;
        let number = {
            let mut state = connection.lock();
            if connection.outbox.has_ended() {
                return Ok(());
            }
            let number = state.next_number();
            let subscription = Subscription { number, to: To::Channel(handle.clone()) };
            state.subscriptions.insert(id.to_owned(), subscription);
            number
        };
        handle.listen(Listener::new(connection, id, number));
        if !connection.has_subscription(id, number) {
            // It ended meanwhile.
            handle.leave(connection, number);
        }
        Ok(())
    }

    /// Has a connection be there with a state, or no more without one.
    pub(super) async fn be_there(
        &self,
        connection: &Arc<Connection>,
        channel: &str,
        state: Option<&str>,
    ) -> Result<(), ApiError> {
        let Some(state) = state else {
            let known = connection.lock().present.remove(channel);
            if let Some(handle) = known {
                handle.disappear(connection);
            }
            return Ok(());
        };
        let state = compacted("state", state)?;
        if state.len() > REALTIME_STATE_MAX_BYTES {
            let detail = format!("The state has at most {REALTIME_STATE_MAX_BYTES} bytes.");
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        let catalog = self.0.catalog.load_full();
        let (name, entry) = find(&catalog, channel)?;
        let who = connection.identity();
        self.allow(&entry, name.presenting(&state), &who, &connection.facts_now()).await?;
        let handle = self.0.channels.enter(channel);
        let _turn = handle.turn.lock().await;
        self.make_sure(&entry, name, &handle).await?;
        {
            let mut state = connection.lock();
            if connection.outbox.has_ended() {
                return Ok(());
            }
            let most = self.0.settings.subscriptions;
            if state.present.len() >= most && !state.present.contains_key(channel) {
                let detail = format!("A connection is in at most {most} channels.");
                return Err(ApiError::new(Code::TooManyRequests, detail));
            }
            state.present.insert(channel.to_owned(), handle.clone());
        }
        if !handle.appear(connection, user_of(&who), state) {
            connection.lock().present.remove(channel);
            return Err(ApiError::new(Code::TooManyRequests, "Too many are in this channel."));
        }
        if !connection.lock().present.contains_key(channel) {
            // It ended meanwhile.
            handle.disappear(connection);
        }
        Ok(())
    }

    /// Looks again whether a connection may be where it is, as whoever it is now.
    pub(super) async fn look_at_channels(&self, connection: &Arc<Connection>, before: &Identity) {
        let (catalog, now) = (self.0.catalog.load_full(), connection.identity());
        let facts = connection.facts_now();
        for (id, subscription) in connection.subscriptions() {
            let To::Channel(handle) = &subscription.to else { continue };
            let checked = match find(&catalog, &handle.name) {
                Ok((name, entry)) => self.allow(&entry, name.subscribing(), &now, &facts).await,
                Err(error) => Err(error),
            };
            match checked {
                Ok(()) if is_same(before, &now) => {}
                Ok(()) => handle.begin_anew(connection, subscription.number),
                Err(error) => stop_listening(handle, connection, (&id, subscription.number), &error),
            }
        }
        let present: Vec<Handle> = connection.lock().present.values().cloned().collect();
        for handle in present {
            let Some(state) = handle.state_of(connection) else { continue };
            let checked = match find(&catalog, &handle.name) {
                Ok((name, entry)) => self.allow(&entry, name.presenting(&state), &now, &facts).await,
                Err(error) => Err(error),
            };
            match checked {
                Ok(()) => drop(handle.appear(connection, user_of(&now), state)),
                Err(error) => send_away(&handle, connection, &error),
            }
        }
    }

    /// Ends what those do on a channel who may not be there any more, because documents are different or
    /// time has passed. Others are looked at when something about them is different.
    async fn make_sure(
        &self,
        entry: &Arc<ChannelEntry>,
        name: ChannelName<'_>,
        channel: &Handle,
    ) -> Result<(), ApiError> {
        let acts = [ChannelAct::Subscribe, ChannelAct::Presence].map(|act| (act, entry.may_change(act)));
        let acts: Vec<ChannelAct> = acts.into_iter().filter(|(_, may)| *may).map(|(act, _)| act).collect();
        if acts.is_empty() {
            return Ok(());
        }
        let position = self.store().last_change().await?;
        if channel.is_checked(&position) && !acts.iter().any(|act| entry.reads_time(*act)) {
            return Ok(());
        }
        let (rules, all) = (Arc::clone(entry), channel.all(name, &acts));
        let decided = self.store().with_lookups(move |lookups| {
            let decide = |one: Doubted| {
                let decision = rules.decide(&one.question, (&one.identity, &one.facts), lookups);
                (one, decision)
            };
            all.into_iter().map(decide).collect::<Vec<_>>()
        });
        for (one, decision) in decided.await? {
            let Err(error) = answer(&one.question, &channel.name, &one.identity, decision) else { continue };
            match &one.listener {
                Some((id, number)) => stop_listening(channel, &one.connection, (id, *number), &error),
                None => send_away(channel, &one.connection, &error),
            }
        }
        channel.set_checked(position);
        Ok(())
    }

    async fn allow(
        &self,
        entry: &Arc<ChannelEntry>,
        question: ChannelQuestion,
        who: &Identity,
        facts: &RequestFacts,
    ) -> Result<(), ApiError> {
        let channel = &entry.config.name;
        let needs_lookups = entry.rule(question.act()).is_some_and(|rule| rule.has_lookups());
        if !needs_lookups || who.uses_channel_freely(channel) {
            let decision = entry.decide(&question, (who, facts), &NoLookups);
            return answer(&question, channel, who, decision);
        }
        let (rules, asked, identity, facts) =
            (Arc::clone(entry), question.clone(), who.clone(), facts.clone());
        let decided =
            self.store().with_lookups(move |lookups| rules.decide(&asked, (&identity, &facts), lookups));
        answer(&question, channel, who, decided.await?)
    }
}

fn find<'n>(catalog: &Catalog, name: &'n str) -> Result<(ChannelName<'n>, Arc<ChannelEntry>), ApiError> {
    let parsed = ChannelName::parse(name);
    let found = parsed.and_then(|parsed| Some((parsed, Arc::clone(catalog.channel(parsed.name)?))));
    found.ok_or_else(|| ApiError::new(Code::ChannelNotFound, format!("There is no channel {name:.80?}.")))
}

fn answer(
    question: &ChannelQuestion,
    channel: &str,
    who: &Identity,
    decision: Decision,
) -> Result<(), ApiError> {
    match decision {
        Decision::Allow => return Ok(()),
        Decision::Error(reason) => {
            let act = question.act().as_str();
            tracing::warn!(channel, reason, "the {act} rule of {channel} failed and denied: {reason}");
        }
        Decision::Deny => {}
    }
    Err(match who.effective() {
        Identity::Anonymous => ApiError::new(Code::Unauthenticated, "Sign in to do this."),
        _ => ApiError::new(Code::Forbidden, "The rules of this channel do not allow this."),
    })
}

fn stop_listening(channel: &Channel, connection: &Connection, (id, number): (&str, u64), error: &ApiError) {
    channel.leave(connection, number);
    connection.drop_subscription(id, number);
    connection.outbox.put(message::error(Some(id), &error.clone().into_problem()));
}

fn send_away(channel: &Channel, connection: &Connection, error: &ApiError) {
    channel.disappear(connection);
    connection.lock().present.remove(&channel.name);
    connection.outbox.put(message::error(None, &error.clone().into_problem()));
}

fn compacted(what: &str, json: &str) -> Result<String, ApiError> {
    compact_json(json)
        .map_err(|error| ApiError::new(Code::ValidationFailed, format!("The {what} is refused: {error}.")))
}

/// Whether somebody is still who they were to rules, maybe in another session.
fn is_same(before: &Identity, now: &Identity) -> bool {
    let [before, now] = [before, now].map(|who| {
        let mut who = who.clone();
        if let Identity::User(user) | Identity::Admin(AdminIdentity::User(user)) = &mut who {
            user.session.clear();
        }
        who
    });
    before == now
}

fn user_of(who: &Identity) -> Option<String> {
    who.user().map(|user| user.id.clone())
}
