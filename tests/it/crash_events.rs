//! What a transaction owes is done whatever happens, and what was taken back never is.
//!
//! While writers change documents, publish events and have transactions taken back, hooks, webhooks and
//! schedules run, and the daemon is killed at moments chosen by chance. At the end everything that is
//! committed was told to everybody who is owed it, at least once, under one id, in order, and again only
//! where a kill came in between; nothing else was told; and no moment of a schedule is missing or was fired
//! twice.
//!
//! `ALYX_LONG=1` kills 60 times instead of 6. `ALYX_SEED` repeats a run's choices.

mod journal;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_tests::peers::{self, Server};
use alyx_tests::wait::{wait_for, wait_until};
use alyx_tests::{Client, Project, TestServer};
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::journal::{Effect, Fate, Journal, owed};
use crate::realtime_checker::Chance;

const PATIENCE: Duration = Duration::from_secs(120);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Attempts that a kill interrupts count, so there are many.
const SCHEMA: &str = "version: 1
collections:
  items:
    fields:
      id: { type: id, primary: true }
      n: { type: int }
  runs:
    fields:
      id: { type: id, primary: true, default: auto }
      of: { type: string }
      key: { type: string }
      job: { type: string }
      attempt: { type: int }
      good: { type: bool }
      at: { type: timestamp, default: now }
events:
  thing.happened: {}
  thing.broken: {}
functions:
  told: { runtime: node, concurrency: 8 }
  both: { runtime: node, concurrency: 8 }
hooks:
  - { id: items, on: items, function: told, retry: { attempts: 50, first: 10ms, longest: 200ms } }
  - { id: happened, on: event, name: thing.happened, function: told, retry: { attempts: 50, first: 10ms } }
webhooks:
  - { id: shop, on: items, url: URL/shop, secret: KEY, retry: { attempts: 50, first: 10ms, longest: 200ms } }
  - id: twice
    on: event
    name: thing.happened
    url: URL/twice
    secret: KEY
    retry: { attempts: 50, first: 10ms, longest: 200ms }
  - { id: broken, on: event, name: thing.broken, url: URL/switch, secret: KEY, retry: { attempts: 2, first: 10ms } }
schedules:
  tick: { every: 1s, function: told, overlap: allow, catch_up: none, retry: { attempts: 50, first: 10ms } }
  queue: { every: 2s, function: told, overlap: queue, catch_up: { all: 100 }, retry: { attempts: 50, first: 10ms } }
";

/// Notes what it was told, and then fails now and then at the first attempt.
const TOLD: &str = "export default async (ctx) => {
  const { hook, schedule, at, job, attempt, action, id, doc, event, payload } = ctx.input;
  const happened = event === undefined ? `${action} ${id} ${doc?.n}` : `${event} ${payload.key}`;
  const good = doc?.n !== 2 || attempt > 1;
  const key = schedule === undefined ? happened : `${schedule} ${at}`;
  await ctx.db.create('runs', { of: hook ?? schedule, key, job, attempt, good });
  if (!good) throw new Error('not at the first attempt');
};
";

const BOTH: &str = "export default (ctx) =>
  ctx.db.transaction(async (tx) => {
    const { id, back } = ctx.input;
    await tx.create('items', { id, n: 1 });
    await tx.events.publish('thing.happened', { key: id });
    if (back) throw ctx.error('taken_back', 'as I was told', { status: 409 });
  });
";

/// What all take part in.
pub struct World {
    /// The server, while there is one, over the admin socket.
    server: watch::Sender<Option<Client>>,
    going: watch::Sender<bool>,
    fates: Mutex<BTreeMap<String, Fate>>,
}

impl World {
    /// The server, as soon as there is one; none when all is over.
    async fn server(&self) -> Option<Client> {
        let (mut server, mut going) = (self.server.subscribe(), self.going.subscribe());
        tokio::select! {
            known = server.wait_for(Option::is_some) => known.ok()?.clone(),
            _ = going.wait_for(|going| !going) => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m35_what_is_committed_is_told_through_every_kill_and_nothing_else_is() {
    let Some(receiver) = peers::server("receiver.mjs", &[SECRET]).await else { return };
    let seed = std::env::var("ALYX_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("ALYX_SEED={seed}");
    let kills = if std::env::var("ALYX_LONG").is_ok_and(|value| value == "1") { 60 } else { 6 };
    let project = Project::schema(&SCHEMA.replace("URL", &receiver.url))
        .with("functions/told/index.js", TOLD)
        .with("functions/both/index.js", BOTH)
        .with("alyx.yaml", "webhooks: { allow: [127.0.0.1] }\n");
    let mut server = TestServer::start(project).await;
    server.cli().run_with_input(&["secrets", "set", "KEY"], SECRET).await.expect_ok();
    let taken = json!({ "id": "taken", "n": 1 });
    let admin = server.over_admin_socket();
    admin.create("items", taken).await.expect_created();
    let mut fates = BTreeMap::from([("create taken 1".to_owned(), Fate::Acknowledged)]);
    for key in ["a", "b", "c"] {
        admin.post("/api/events/thing.broken", json!({ "key": key })).await.expect_status(202);
        fates.insert(format!("thing.broken {key}"), Fate::Acknowledged);
    }
    let world = Arc::new(World {
        server: watch::Sender::new(Some(admin)),
        going: watch::Sender::new(true),
        fates: Mutex::new(fates),
    });
    let writer =
        |name| tokio::spawn(writer::run(Arc::clone(&world), name, Chance::new(seed * 10 + name as u64)));
    let writers: Vec<_> = (0..4).map(writer).collect();
    let (mut chance, mut journal) = (Chance::new(seed), Journal::default());
    for _ in 0..kills {
        tokio::time::sleep(chance.pause(200, 3_000)).await;
        server = killed(server, &world, &mut journal, &mut chance).await;
    }
    world.going.send_replace(false);
    for writer in writers {
        writer.await.expect("it writes");
    }
    let admin = server.over_admin_socket();
    for schedule in ["tick", "queue"] {
        let path = format!("/api/schedules/{schedule}/pause");
        admin.send(Method::POST, &path, None).await.expect_status(200);
    }
    settled(&admin).await;
    replay_what_is_dead(&server, &receiver).await;
    // What was asked for is done also if the daemon dies now.
    server = killed(server, &world, &mut journal, &mut chance).await;
    settled(&server.over_admin_socket()).await;
    let project = server.stop().await;
    journal.fates = std::mem::take(&mut world.fates.lock().expect("nobody panics with it"));
    journal.steps = [("tick".to_owned(), 1), ("queue".to_owned(), 2)].into();
    read_database(&project, &mut journal);
    read_receiver(&receiver, &mut journal).await;
    expect_enough(&journal);
    let violations = journal.violations();
    assert!(
        violations.is_empty(),
        "{} violations: {:#?}",
        violations.len(),
        &violations[..violations.len().min(20)]
    );
}

/// Kills the daemon alone, or everything at once, and starts anew.
async fn killed(server: TestServer, world: &World, journal: &mut Journal, chance: &mut Chance) -> TestServer {
    world.server.send_replace(None);
    let from = Timestamp::now().as_microsecond();
    let project = if chance.below(2) == 0 {
        server.kill().await
    } else {
        let processes = server.processes();
        kill(Pid::from_raw(server.daemon().pid), Signal::SIGKILL).expect("kill alyxd");
        let project = server.wait_for_end().await;
        wait_until("every process to end", PATIENCE, || !processes.iter().any(|one| one.is_alive())).await;
        project
    };
    journal.kills.push((from, Timestamp::now().as_microsecond()));
    let server = TestServer::start(project).await;
    world.server.send_replace(Some(server.over_admin_socket()));
    server
}

async fn jobs(admin: &Client, state: &str) -> Vec<Value> {
    let answer = admin.get_path(&format!("/api/admin/jobs?state={state}&limit=200")).await.expect_ok();
    answer["jobs"].as_array().expect("jobs").clone()
}

/// Waits until every job is done or given up.
async fn settled(admin: &Client) {
    wait_for("all jobs to be settled", PATIENCE, async || {
        for state in ["held", "pending", "running"] {
            if !jobs(admin, state).await.is_empty() {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// What nobody took is given up after its attempts, and delivered when somebody asks for it: over HTTP, by
/// the command for jobs and by the one for webhooks.
async fn replay_what_is_dead(server: &TestServer, receiver: &Server) {
    let admin = server.over_admin_socket();
    reqwest::get(format!("{}/mend", receiver.url)).await.expect("mend the receiver");
    let mut number = 0;
    loop {
        let dead = jobs(&admin, "dead").await;
        // Those of one page are done or wait when the next is read.
        if dead.is_empty() {
            break;
        }
        for job in dead {
            let id = job["id"].as_str().expect("an id");
            assert_eq!(
                (&job["target"], &job["error"]),
                (&json!("broken"), &json!("it answered 500")),
                "{job:#}"
            );
            assert!(job["attempts"].as_u64() >= Some(2), "{job:#}");
            match number % 3 {
                0 => {
                    let path = format!("/api/admin/jobs/{id}/replay");
                    admin.send(Method::POST, &path, None).await.expect_status(202);
                }
                1 => drop(server.cli().run(&["jobs", "replay", id]).await.expect_ok()),
                _ => drop(server.cli().run(&["webhooks", "redeliver", "broken", id]).await.expect_ok()),
            }
            number += 1;
        }
    }
    assert!(number >= 3, "too little was given up");
}

/// What is committed, what functions noted and the jobs that are kept.
fn read_database(project: &Project, journal: &mut Journal) {
    let path = project.data().join("data.db");
    let database =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("open the database");
    let rows = |sql: &str| {
        let mut statement = database.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.map(|row| serde_json::from_str::<Value>(&row.expect("a row")).expect("JSON")).collect::<Vec<_>>()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let changes = rows(
        "SELECT json_array(op || ' ' || id || ' ' || json_extract(after, '$.n')) FROM _alyx_changes
         WHERE collection = 'items' ORDER BY seq",
    );
    let events = rows("SELECT json_array(name || ' ' || json_extract(payload, '$.key')) FROM _alyx_events");
    journal.committed = changes.iter().chain(&events).map(|row| text(&row[0])).collect();
    for row in rows("SELECT json_array(target, id, state, kind) FROM _alyx_jobs") {
        let (target, id) = (text(&row[0]), text(&row[1]));
        if let Some(moment) = id.strip_prefix(&format!("schedule:{target}:")) {
            journal.committed.push(format!("{target} {moment}"));
        }
        journal.jobs.push((target, id, text(&row[2])));
    }
    for run in rows(
        "SELECT json_object('of', \"of\", 'key', key, 'job', job, 'attempt', attempt, 'good', good, 'at', at) FROM runs",
    ) {
        journal.effects.push(Effect {
            of: text(&run["of"]),
            key: text(&run["key"]),
            id: text(&run["job"]),
            attempt: run["attempt"].as_u64(),
            good: run["good"] == json!(1) || run["good"] == json!(true),
            at: text(&run["at"]).parse::<Timestamp>().expect("a time").as_microsecond(),
        });
    }
}

/// What the receiver was told. Everything is signed.
async fn read_receiver(receiver: &Server, journal: &mut Journal) {
    let answer = reqwest::get(format!("{}/seen", receiver.url)).await.expect("ask the receiver");
    let seen: Vec<Value> = answer.json().await.expect("its answer");
    for one in seen {
        assert_eq!(one["verified"], json!([true]), "{one:#}");
        let body: Value = serde_json::from_str(one["body"].as_str().expect("a body")).expect("JSON");
        let (of, data) = (one["path"].as_str().expect("a path"), &body["data"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = match data["event"].as_str() {
            Some(event) => format!("{event} {}", text(&data["payload"]["key"])),
            None => format!("{} {} {}", text(&data["action"]), text(&data["id"]), data["doc"]["n"]),
        };
        journal.effects.push(Effect {
            of: if of == "/switch" { "broken".to_owned() } else { of.trim_start_matches('/').to_owned() },
            key,
            id: text(&one["headers"]["webhook-id"]),
            attempt: None,
            good: one["status"] == json!(200),
            at: one["at"].as_i64().expect("a time") * 1_000,
        });
    }
}

/// A test in which nothing happens would pass.
fn expect_enough(journal: &Journal) {
    let fates = |fate| journal.fates.values().filter(|other| **other == fate).count();
    let (told, refused, unknown) = (fates(Fate::Acknowledged), fates(Fate::Refused), fates(Fate::Unknown));
    let owed: usize = journal.committed.iter().map(|key| owed(key).len()).sum();
    let good = journal.effects.iter().filter(|effect| effect.good).count();
    eprintln!(
        "{told} acknowledged, {refused} taken back, {unknown} unknown; {} committed, {owed} owed; {} told, \
         {good} of them well; {} kills",
        journal.committed.len(),
        journal.effects.len(),
        journal.kills.len()
    );
    assert!(told > 40 && refused > 10 && owed > 100, "too little happened");
    assert!(journal.effects.len() > good, "nothing failed");
}
