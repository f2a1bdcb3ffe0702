//! No gap, no duplicate: many subscribers, and a record of every commit that says what each of them should
//! have seen at every place it was told of.
//!
//! While documents, memberships and roles change, connections are cut, tokens end and the daemon is killed.
//! Then, for every message: what the subscriber knew was what a list at that place in the change feed gave
//! to somebody with its rights (ordered, unique, atomic, and nothing of others); and at the end what it
//! knows is what a fresh list gives (reliable, resumable). A snapshot comes only where a subscription begins
//! or after `resync`.
//!
//! `ALYX_LONG=1` goes on for at least ten minutes. `ALYX_SEED` repeats a run's choices.

mod model;
mod subscriber;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alyx_tests::{Client, PASSWORD, Project, TestServer};
use serde_json::Value;
use tokio::sync::watch;

use model::{Model, QUESTIONS};
use subscriber::{Log, Subscriber};

/// Length of a round, and of the whole in the long form.
const ROUND: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(620);

/// Rounds of the short form, at most; it ends after the first in which enough happened.
const ROUNDS_MAX: usize = 4;

const SCHEMA: &str = "
version: 1
collections:
  items:
    fields:
      id: { type: id, primary: true, default: auto }
      n: { type: int }
      team: { type: string }
      public: { type: bool, default: false }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
    rules:
      read: \"doc.public || doc.owner == auth.id || auth.role == 'editor'\"
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      n: { type: int }
      room: { type: string }
    rules:
      read: \"collection('members').exists(m, m.room == doc.room && m.person == auth.id)\"
  members:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: string }
      person: { type: relation, relation: { collection: users, onDelete: cascade } }
";

/// Choices that can be repeated.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len() as u64) as usize) }
    }

    pub fn pause(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.below(to_ms - from_ms))
    }
}

/// What all take part in.
#[derive(Debug)]
pub struct World {
    /// The server, while there is one: for anybody, and over the admin socket.
    server: watch::Sender<Option<(Client, Client)>>,
    /// Whether things change; when they do not any more, subscribers catch up.
    pub going: watch::Sender<bool>,
    /// Names and ids of the accounts.
    pub people: Vec<(String, String)>,
    pub ids: Mutex<writer::Ids>,
}

impl World {
    /// The server, as soon as there is one.
    pub async fn server(&self) -> (Client, Client) {
        let mut server = self.server.subscribe();
        let known = server.wait_for(Option::is_some).await.expect("the test goes on");
        known.clone().expect("there is one")
    }

    fn set(&self, server: Option<&TestServer>) {
        self.server.send_replace(server.map(|server| (server.anon(), server.over_admin_socket())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m31_whatever_happens_nobody_misses_anything_or_sees_it_twice() {
    let long = std::env::var("ALYX_LONG").is_ok_and(|value| value == "1");
    let seed = std::env::var("ALYX_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("ALYX_SEED={seed}");
    let project = Project::schema(SCHEMA).with("alyx.yaml", "auth: { access_ttl: 5s }\n");
    let mut server = TestServer::start(project).await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "carl", "dora"] {
        people.push((name.to_owned(), server.user(name).await.id().to_owned()));
    }
    let world = Arc::new(World {
        server: watch::Sender::new(None),
        going: watch::Sender::new(true),
        people,
        ids: Mutex::default(),
    });
    let (started, mut model, mut seen) = (Instant::now(), Model::default(), Seen::default());
    loop {
        server = round(server, &world, (&mut model, &mut seen), seed).await;
        seed += 1;
        let enough = if long { started.elapsed() > LONG } else { seen.enough() || seen.rounds == ROUNDS_MAX };
        if enough {
            break;
        }
    }
    assert!(seen.enough(), "too little happened: {seen:?}");
    server.stop().await;
}

/// What happened in all rounds. Chance, and how busy the host is, decide what happens in one.
#[derive(Debug, Default)]
struct Seen {
    rounds: usize,
    told: usize,
    connected_again: usize,
    resumed: usize,
    resyncs: usize,
    expired: usize,
}

impl Seen {
    fn add(&mut self, log: &Log) {
        self.told += log.told.len();
        self.connected_again += log.connections.saturating_sub(1);
        self.resumed += log.resumed;
        self.resyncs += log.resyncs;
        self.expired += log.expired;
    }

    /// Whether so much went on, and wrong, that it says something.
    fn enough(&self) -> bool {
        self.told > 100
            && [self.connected_again, self.resumed, self.resyncs, self.expired].iter().all(|count| *count > 0)
    }
}

/// One round: everything goes on, then all come to rest and are checked.
async fn round(
    server: TestServer,
    world: &Arc<World>,
    (model, seen): (&mut Model, &mut Seen),
    seed: u64,
) -> TestServer {
    world.set(Some(&server));
    world.going.send_replace(true);
    let mut chance = Chance::new(seed);
    let everybody = subscribers(world, &mut chance);
    let running: Vec<_> = everybody.into_iter().map(|one| tokio::spawn(one.run())).collect();
    let writers: Vec<_> = (0..3)
        .map(|number| tokio::spawn(writer::run(Arc::clone(world), Chance::new(seed * 10 + number))))
        .collect();
    let server = disturb(server, world, &mut chance).await;
    world.going.send_replace(false);
    for writer in writers {
        writer.await.expect("it writes");
    }
    let (anon, admin) = world.server().await;
    model.follow(&admin).await;
    let mut logs = Vec::new();
    for one in running {
        let (subscriber, log) = one.await.expect("a subscriber knows in the end what there is");
        let listed = subscriber.listed(&anon).await;
        assert_eq!(log.last, listed, "{subscriber} at the end");
        logs.push((subscriber, log));
    }
    check(model, &logs);
    seen.rounds += 1;
    logs.iter().for_each(|(_, log)| seen.add(log));
    eprintln!("{} commits; {seen:?}", model.commits());
    server
}

/// Kills the daemon at two moments of the round.
async fn disturb(mut server: TestServer, world: &World, chance: &mut Chance) -> TestServer {
    let until = Instant::now() + ROUND;
    for _ in 0..2 {
        tokio::time::sleep(chance.pause(4_000, 8_000)).await;
        world.set(None);
        server = TestServer::start(server.kill().await).await;
        world.set(Some(&server));
    }
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    server
}

/// Every question by somebody over WebSockets and by somebody over events.
fn subscribers(world: &Arc<World>, chance: &mut Chance) -> Vec<Subscriber> {
    let mut all = Vec::new();
    for (number, question) in QUESTIONS.iter().enumerate() {
        for events in [false, true] {
            let place = number * 2 + usize::from(events);
            let who = (place % 5).checked_sub(1).map(|place| world.people[place].clone());
            let chance = Chance::new(chance.below(u64::MAX >> 32) + place as u64);
            all.push(Subscriber::new(world, who, question, events, chance));
        }
    }
    all
}

/// Holds everything that was told against what there was.
fn check(model: &Model, logs: &[(Subscriber, Log)]) {
    for (subscriber, log) in logs {
        for (seq, known) in &log.told {
            let expected = model.at(*seq).shown(subscriber.question, subscriber.id());
            assert_eq!(
                *known,
                expected,
                "{subscriber} at {seq}, of role {:?}",
                model.at(*seq).role(subscriber.id())
            );
        }
    }
}

/// A list as one text.
pub fn text_of(docs: &[Value]) -> String {
    docs.iter().map(|doc| format!("{doc}\n")).collect()
}

/// Signs in anew.
pub async fn sign_in(anon: &Client, name: &str) -> Option<Value> {
    let body = serde_json::json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
    let answer = anon.try_send(reqwest::Method::POST, "/api/auth/login", Some(body.to_string())).await;
    answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.json())
}
