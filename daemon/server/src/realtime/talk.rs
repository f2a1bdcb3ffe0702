//! What clients say, carried out.

mod channels;

use std::sync::Arc;

use alyx_core::identity::Identity;
use serde_json::{Map, Value, json};

use super::connection::{Connection, Subscription, To};
use super::group::{Group, Member};
use super::message::{self, Reason, Said, Wanted};
use super::outbox::Message;
use super::question::Question;
use super::view::place_of;
use super::{Hub, of_identity, too_many_connections};
use crate::auth::Lasting;
use crate::problem::{ApiError, Code};

impl Hub {
    /// Tells a client that it is connected.
    pub fn greet(&self, connection: &Connection) {
        let told = json!({
            "id": null,
            "type": "connected",
            "connection": connection.id,
            "identity": connection.identity().label(),
            "heartbeat_seconds": self.heartbeat().as_secs(),
        });
        connection.outbox.put(Message::own(told.to_string()));
    }

    /// Carries out what a client wants from the beginning.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn hear_first(&self, connection: &Arc<Connection>, wanted: &[&str]) -> Result<(), ApiError> {
        for text in wanted {
            self.carry_out(connection, message::read_subscribe(text)?).await?;
        }
        Ok(())
    }

    /// Carries out what a client says by a request of its own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn hear_request(&self, connection: &Arc<Connection>, text: &str) -> Result<(), ApiError> {
        if !connection.take_message(self.0.settings.messages_per_second) {
            return Err(ApiError::new(Code::TooManyRequests, "Too many messages at once.").retry_after(1));
        }
        self.carry_out(connection, message::read(text)?).await
    }

    /// Takes something that is no message from what a client may send; ends those who send too much.
    pub fn hear_noise(&self, connection: &Arc<Connection>) {
        if !connection.take_message(self.0.settings.messages_per_second) {
            self.end(connection, Reason::TooManyMessages);
        }
    }

    /// Carries out what a client says. What goes wrong is told to it.
    pub async fn hear(&self, connection: &Arc<Connection>, text: &str) {
        if !connection.take_message(self.0.settings.messages_per_second) {
            return self.end(connection, Reason::TooManyMessages);
        }
        let said = match message::read(text) {
            Ok(said) => said,
            Err(error) => {
                let id = message::id_of_subscribe(text);
                return connection.outbox.put(message::error(id.as_deref(), &error.into_problem()));
            }
        };
        let id = match &said {
            Said::Subscribe { id, .. } | Said::Listen { id, .. } | Said::Unsubscribe { id } => {
                Some(id.clone())
            }
            _ => None,
        };
        if let Err(error) = self.carry_out(connection, said).await {
            connection.outbox.put(message::error(id.as_deref(), &error.into_problem()));
        }
    }

    async fn carry_out(&self, connection: &Arc<Connection>, said: Said) -> Result<(), ApiError> {
        let _turn = connection.turn.lock().await;
        let acts = matches!(said, Said::Listen { .. } | Said::Broadcast(_) | Said::Presence { .. });
        if (acts || matches!(said, Said::Subscribe { .. })) && connection.lock().refused {
            let detail = "The access token was refused; send `auth` with a valid one.";
            return Err(ApiError::new(Code::InvalidToken, detail));
        }
        if acts {
            self.be_certain(connection).await?;
        }
        match said {
            Said::Ping => connection.outbox.put(Message::own(r#"{"id":null,"type":"pong"}"#.to_owned())),
            Said::Auth { token } => {
                let authenticated = self.authenticate(connection, &token).await;
                connection.lock().refused = authenticated.is_err();
                authenticated?;
            }
            Said::Subscribe { id, wanted } => self.subscribe(connection, &id, wanted)?,
            Said::Listen { id, channel } => self.listen(connection, &id, &channel).await?,
            Said::Broadcast(said) => {
                self.broadcast(&connection.identity(), &connection.facts_now(), &said).await?;
            }
            Said::Presence { channel, state } => {
                self.be_there(connection, &channel, state.as_deref()).await?;
            }
            Said::Unsubscribe { id } => {
                let known = connection.lock().subscriptions.remove(&id);
                let known = known.ok_or_else(|| {
                    ApiError::new(Code::NotFound, format!("There is no subscription {id:.80?}."))
                })?;
                known.leave(connection);
                let told = json!({ "id": id, "type": "unsubscribed" });
                connection.outbox.put(Message::own(told.to_string()));
            }
        }
        Ok(())
    }

    /// Ends a connection: nothing more is told to it but the reason.
    pub fn end(&self, connection: &Arc<Connection>, reason: Reason) {
        let left = connection.leave_all().into_iter();
        let resume: Map<String, Value> =
            left.map(|(id, place)| (id, place.map_or(Value::Null, Value::from))).collect();
        let told = json!({ "id": null, "type": "closing", "reason": reason.as_str(), "resume": resume });
        connection.outbox.end(reason, Message::own(told.to_string()));
    }

    fn subscribe(&self, connection: &Arc<Connection>, id: &str, wanted: Wanted) -> Result<(), ApiError> {
        if connection.has_expired() {
            return Err(expired());
        }
        let since = wanted.since.clone();
        if since.as_ref().is_some_and(|since| place_of(since).is_none()) {
            let detail = "`since` must be the `seq` of a message.";
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        self.check_room(connection, id)?;
        let catalog = self.0.catalog.load_full();
        let question = Question::new(&catalog, &connection.identity(), &connection.facts, &wanted)?;
        let number = connection.lock().next_number();
        let member = Member::new(connection, id, number, since);
        self.join(connection, id, wanted, question, member);
        Ok(())
    }

    /// Whether there may be one more subscription, and one of this id.
    fn check_room(&self, connection: &Connection, id: &str) -> Result<(), ApiError> {
        let (state, most) = (connection.lock(), self.0.settings.subscriptions);
        if state.subscriptions.contains_key(id) {
            let detail = format!("There is a subscription {id:?} already.");
            return Err(ApiError::new(Code::Conflict, detail));
        }
        if state.subscriptions.len() >= most {
            let detail = format!("A connection has at most {most} subscriptions.");
            return Err(ApiError::new(Code::TooManyRequests, detail));
        }
        Ok(())
    }

    /// Sees to it that it is known who speaks.
    async fn be_certain(&self, connection: &Arc<Connection>) -> Result<(), ApiError> {
        if connection.is_stale() && !connection.has_expired() {
            self.look(connection).await?;
        }
        if connection.has_expired() || connection.outbox.has_ended() {
            return Err(expired());
        }
        Ok(())
    }

    fn join(
        &self,
        connection: &Arc<Connection>,
        id: &str,
        wanted: Wanted,
        question: Question,
        mut member: Member,
    ) {
        let (question, number) = (Arc::new(question), member.number);
        let wanted = Wanted { since: None, ..wanted };
        loop {
            let group = self.group(&question);
            let to = To::Documents { wanted: wanted.clone(), group: Arc::clone(&group) };
            let subscription = Subscription { number, to };
            {
                let mut state = connection.lock();
                if connection.outbox.has_ended() {
                    return;
                }
                state.subscriptions.insert(id.to_owned(), subscription);
            }
            match group.join(member) {
                Ok(()) => {
                    if !connection.has_subscription(id, number) {
                        // It ended meanwhile.
                        group.leave(connection, number);
                    }
                    return;
                }
                Err(back) => {
                    self.forget(&group);
                    member = back;
                }
            }
        }
    }

    fn group(&self, question: &Arc<Question>) -> Arc<Group> {
        if let Some(known) = self.0.groups.get(&question.key) {
            return known;
        }
        let (group, is_new) = self.0.groups.add(Group::new(Arc::clone(question)));
        if is_new {
            self.0.tasks.spawn(Arc::clone(&group).run(self.clone()));
        }
        group
    }

    async fn authenticate(&self, connection: &Arc<Connection>, token: &str) -> Result<(), ApiError> {
        let who = self.0.auth.lasting(token).await?;
        let (owner, before) = {
            let state = connection.lock();
            (who.credential.owner().map(str::to_owned), state.credential.owner().map(str::to_owned))
        };
        if owner != before {
            self.move_place(connection, owner.as_deref())?;
        }
        // From here on nothing is told by the rights before.
        connection.doubt();
        let doubts = connection.doubts();
        let told = json!({
            "id": null, "type": "authenticated", "identity": who.identity.label(),
            "expires_at": who.expires_at,
        });
        connection.lock().credential = who.credential.clone();
        connection.outbox.put(Message::own(told.to_string()));
        self.ask_again(connection, who.identity).await;
        connection.set_expires_at(who.expires_at);
        connection.settle(doubts);
        if owner.is_some() {
            // It may have changed since it was asked.
            self.0.doubts.doubt(connection);
        }
        connection.wake_groups();
        Ok(())
    }

    /// Counts a connection for somebody else.
    fn move_place(&self, connection: &Arc<Connection>, owner: Option<&str>) -> Result<(), ApiError> {
        let most = self.0.settings.connections_per_identity;
        let place = match owner {
            Some(owner) => {
                Some(self.0.places.enter(of_identity(owner), most).ok_or_else(too_many_connections)?)
            }
            None => None,
        };
        let mut state = connection.lock();
        if let Some(before) = state.credential.owner() {
            self.0.doubts.remove(before, connection);
            let name = of_identity(before);
            state.places.retain(|place| !place.is(&name));
        }
        state.places.extend(place);
        drop(state);
        if let Some(owner) = owner {
            self.0.doubts.add(owner, connection);
        }
        Ok(())
    }

    /// Looks at a connection whose rights may be different.
    pub(super) async fn look_again(&self, connection: &Arc<Connection>) -> Result<(), ApiError> {
        let _turn = connection.turn.lock().await;
        self.look(connection).await
    }

    async fn look(&self, connection: &Arc<Connection>) -> Result<(), ApiError> {
        if connection.outbox.has_ended() {
            return Ok(());
        }
        let doubts = connection.doubts();
        let known = {
            let state = connection.lock();
            let (identity, credential) = (state.identity.clone(), state.credential.clone());
            Lasting { identity, credential, expires_at: None }
        };
        match self.0.auth.again(&known).await? {
            Some(identity) => {
                self.ask_again(connection, identity).await;
                connection.settle(doubts);
                connection.wake_groups();
            }
            None => self.end(connection, Reason::SessionEnded),
        }
        Ok(())
    }

    /// Has every subscription come to what it comes to for this identity under the schema in force.
    async fn ask_again(&self, connection: &Arc<Connection>, identity: Identity) {
        let catalog = self.0.catalog.load_full();
        let before = std::mem::replace(&mut connection.lock().identity, identity.clone());
        for (id, subscription) in connection.subscriptions() {
            let Subscription { number, to: To::Documents { wanted, group } } = subscription else { continue };
            let same_schema = Arc::ptr_eq(&group.question.catalog, &catalog);
            if same_schema && before == identity {
                continue;
            }
            match Question::new(&catalog, &identity, &connection.facts, &wanted) {
                Ok(question) if question.key == group.question.key => {}
                Ok(question) => {
                    group.leave(connection, number);
                    let reason = if same_schema { "rights_changed" } else { "schema_changed" };
                    let number = connection.lock().next_number();
                    let member = Member::new(connection, &id, number, None).resynced(reason);
                    self.join(connection, &id, wanted, question, member);
                }
                Err(error) => {
                    group.leave(connection, number);
                    connection.drop_subscription(&id, number);
                    connection.outbox.put(message::error(Some(&id), &error.into_problem()));
                }
            }
        }
        self.look_at_channels(connection, &before).await;
    }
}

/// What somebody is told whose token has ended.
pub fn expired() -> ApiError {
    ApiError::new(Code::InvalidToken, "The access token has ended; send `auth` with another.")
}
