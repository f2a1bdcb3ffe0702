//! Somebody who is told, whose connections are cut and whose tokens end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alyx_tests::Client;
use alyx_tests::realtime::{Events, Heard, Socket, View};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::model::{Question, escape};
use super::{Chance, World, sign_in, text_of};

/// To come to know what there is once nothing changes any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long nothing comes before that is taken for the end.
const QUIET: Duration = Duration::from_secs(2);

pub struct Subscriber {
    world: Arc<World>,
    /// Name and id; none is nobody.
    who: Option<(String, String)>,
    pub question: &'static Question,
    /// By events instead of a WebSocket.
    events: bool,
    chance: Chance,
    /// The answer to a sign-in or refresh, and when it was given.
    session: Option<(Value, Instant)>,
    view: Option<View>,
    /// Since its token ended: when it shows another, and how often it was told something meanwhile.
    silent: Option<(Instant, usize)>,
    log: Log,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// At which place it was told, and what it knew then.
    pub told: Vec<(u64, String)>,
    /// What it knew at last.
    pub last: String,
    pub connections: usize,
    pub resumed: usize,
    pub resyncs: usize,
    pub expired: usize,
}

enum Link {
    Socket(Box<Socket>),
    Events { events: Box<Events>, path: String, anon: Client },
}

/// Where a subscription is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// It has begun with or without a place; the first message is to come.
    Began { resuming: bool },
    /// Differences are to come.
    Going,
    /// A snapshot is to come.
    Resync,
}

impl Subscriber {
    pub fn new(
        world: &Arc<World>,
        who: Option<(String, String)>,
        question: &'static Question,
        events: bool,
        chance: Chance,
    ) -> Self {
        let (world, log) = (Arc::clone(world), Log::default());
        Self { world, who, question, events, chance, session: None, view: None, silent: None, log }
    }

    /// Its id, if it has an account.
    pub fn id(&self) -> Option<&str> {
        self.who.as_ref().map(|(_, id)| id.as_str())
    }

    /// Goes on until nothing changes any more.
    pub async fn run(mut self) -> (Self, Log) {
        let mut deadline = None;
        loop {
            let ended = self.connect().await;
            if !*self.world.going.borrow() {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                assert!(Instant::now() < deadline, "{self} does not come to rest");
                if ended {
                    let view = self.view.clone().expect("it was told something");
                    self.log.last = text_of(&view.docs);
                    let log = std::mem::take(&mut self.log);
                    return (self, log);
                }
            }
            tokio::time::sleep(self.chance.pause(0, 400)).await;
        }
    }

    /// What a list shows it.
    pub async fn listed(&self, anon: &Client) -> String {
        let who = match &self.who {
            Some((name, _)) => anon.with_session(&sign_in(anon, name).await.expect("it may sign in")),
            None => anon.clone(),
        };
        text_of(&who.list(self.question.collection, &self.question.query()).await.expect_docs())
    }

    /// A token that is good for a while, if it has an account; `Err` if there is none to be had now.
    async fn token(&mut self, anon: &Client) -> Result<Option<String>, ()> {
        let Some((name, _)) = self.who.clone() else { return Ok(None) };
        if let Some((session, since)) = &self.session
            && since.elapsed() > Duration::from_secs(2)
        {
            let body = json!({ "refresh_token": session["refresh_token"] }).to_string();
            let answer = anon.try_send(Method::POST, "/api/auth/refresh", Some(body)).await.map_err(drop)?;
            // An answer that was lost leaves a token behind that was used.
            self.session = (answer.status == 200).then(|| (answer.json(), Instant::now()));
        }
        if self.session.is_none() {
            self.session = Some((sign_in(anon, &name).await.ok_or(())?, Instant::now()));
        }
        Ok(self.session.as_ref().and_then(|(session, _)| session["access_token"].as_str()).map(str::to_owned))
    }

    /// One connection. Answers whether nothing more is to come.
    async fn connect(&mut self) -> bool {
        let (anon, _) = self.world.server().await;
        let Ok(token) = self.token(&anon).await else { return false };
        let resuming = self.view.is_some() && self.chance.below(4) > 0;
        if !resuming {
            self.view = None;
        }
        let since = self.view.as_ref().map(|view| view.seq.clone());
        let message = self.question.message(since.as_deref());
        let who = Client::new(anon.base());
        let who = token.as_deref().map_or(who.clone(), |token| who.with_token(token));
        let Some(mut link) = self.link(&who, message).await else { return false };
        self.log.connections += 1;
        let until = Instant::now() + self.chance.pause(300, 9_000);
        let mut stage = Stage::Began { resuming };
        let mut heard_at = Instant::now();
        self.silent = None;
        loop {
            if self.silent.is_some_and(|(until, _)| Instant::now() > until)
                && self.renew(&mut link).await.is_err()
            {
                return false;
            }
            let going = *self.world.going.borrow();
            if going && Instant::now() > until {
                return false;
            }
            match link.next_within(Duration::from_millis(200)).await {
                Heard::Message(message) => {
                    heard_at = Instant::now();
                    if !self.take(&mut stage, &message) {
                        return false;
                    }
                    if self.chance.below(100) == 0 {
                        // Somebody who reads slowly.
                        tokio::time::sleep(self.chance.pause(100, 1_500)).await;
                    }
                }
                Heard::Nothing
                    if !going
                        && self.silent.is_none()
                        && stage == Stage::Going
                        && heard_at.elapsed() > QUIET =>
                {
                    return true;
                }
                Heard::Nothing => {}
                Heard::End => return false,
            }
        }
    }

    async fn link(&mut self, who: &Client, mut message: Value) -> Option<Link> {
        if self.events {
            let query = format!("?subscribe={}", escape(&message.to_string()));
            let mut events = Box::new(Events::try_open(who, &query).await?);
            let Heard::Message(connected) = events.next_within(PATIENCE).await else { return None };
            let path = format!("/api/realtime/{}", connected["connection"].as_str()?);
            return Some(Link::Events { events, path, anon: Client::new(who.base()) });
        }
        let mut socket = Box::new(Socket::connect(who.base(), who.try_token()).await.ok()?);
        message["type"] = json!("subscribe");
        // Its own record of the same, which holds it to the book as well.
        socket.views.extend(self.view.clone().map(|view| ("s".to_owned(), view)));
        socket.try_say(message).await.then_some(Link::Socket(socket))
    }

    /// Takes in a message; `false` if it is the last one.
    fn take(&mut self, stage: &mut Stage, message: &Value) -> bool {
        let kind = message["type"].as_str().unwrap_or_default();
        match (kind, *stage) {
            ("authenticated", _) => self.silent = None,
            ("connected", _) => {}
            ("resync", Stage::Began { resuming: true } | Stage::Going) => {
                self.log.resyncs += 1;
                *stage = Stage::Resync;
            }
            ("snapshot", Stage::Began { resuming: false } | Stage::Resync) => {
                let mut view = self.view.take().unwrap_or_default();
                view.take(message);
                self.know(view);
                *stage = Stage::Going;
            }
            ("delta", Stage::Began { resuming: true } | Stage::Going) => {
                let mut view = self.view.take().expect("a difference to something");
                let before = view.seq.clone();
                view.take(message);
                assert!(*stage != Stage::Going || before != view.seq, "{self} is told {message} twice");
                self.log.resumed += usize::from(*stage != Stage::Going);
                self.know(view);
                *stage = Stage::Going;
            }
            ("error", _) if message["problem"]["code"] == "invalid_token" && self.who.is_some() => {
                self.log.expired += 1;
                self.silent = Some((Instant::now() + self.chance.pause(1, 1_500), 0));
            }
            ("closing", _) => return false,
            _ => panic!("{self} is told {message} while {stage:?}"),
        }
        true
    }

    fn know(&mut self, view: View) {
        let seq = view.seq.split('.').nth(1).and_then(|seq| seq.parse().ok()).expect("a place");
        if let Some((_, told)) = &mut self.silent {
            *told += 1;
            // One may have been on its way.
            assert!(*told < 2, "{self} is told of {seq} by a token that has ended");
        }
        self.log.told.push((seq, text_of(&view.docs)));
        self.view = Some(view);
    }

    /// Shows another token in place of the one that has ended.
    async fn renew(&mut self, link: &mut Link) -> Result<(), ()> {
        self.silent = self.silent.map(|(_, told)| (Instant::now() + PATIENCE, told));
        let (anon, _) = self.world.server().await;
        let token = self.token(&anon).await?;
        let said = json!({ "type": "auth", "token": token });
        match link {
            Link::Socket(socket) => socket.try_say(said).await.then_some(()).ok_or(()),
            Link::Events { path, anon, .. } => {
                let answer = anon.try_send(Method::POST, path, Some(said.to_string())).await.map_err(drop)?;
                (answer.status == 204).then_some(()).ok_or(())
            }
        }
    }
}

impl Link {
    async fn next_within(&mut self, time: Duration) -> Heard {
        match self {
            Self::Socket(socket) => socket.hear_within(time).await,
            Self::Events { events, .. } => events.next_within(time).await,
        }
    }
}

impl fmt::Display for Subscriber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.who.as_ref().map_or("nobody", |(name, _)| name);
        let way = if self.events { "events" } else { "a socket" };
        let Question { collection, condition, sort, limit, .. } = self.question;
        write!(out, "{name} over {way} ({collection} {} {sort} {limit})", condition.unwrap_or("all"))
    }
}
