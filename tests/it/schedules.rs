//! Schedules: due by the clock, once, over restarts, downtime and kills.

use std::collections::BTreeSet;
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

/// Two cores are shared by many.
const PATIENCE: Duration = Duration::from_secs(120);

const SCHEMA: &str = "version: 1
collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      run: { type: string, nullable: true }
      text: { type: string, nullable: true }
functions:
  note: { runtime: node, timeout: 5m, concurrency: 8 }
";

/// Writes down that it ran. With `gate` in its input it waits until somebody has made that note.
const NOTE: &str = "
export default async function (ctx) {
  const { at, job: run, input } = ctx.input;
  const { text, gate, fail } = input ?? {};
  const note = await ctx.db.create('notes', { run, text: text ?? at ?? 'asked' });
  while (gate && (await ctx.db.list('notes', { where: { text: gate } })).docs.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (fail) throw new Error('told to fail');
  return { note: note.id, role: ctx.auth.role };
}
";

fn project(schedules: &str) -> Project {
    Project::schema(&format!("{SCHEMA}{schedules}")).with("functions/note/index.js", NOTE)
}

async fn start(schedules: &str) -> (TestServer, Client) {
    let server = TestServer::start(project(schedules)).await;
    let admin = server.over_admin_socket();
    (server, admin)
}

async fn schedule(admin: &Client, name: &str) -> Value {
    admin.get_path(&format!("/api/schedules/{name}")).await.expect_ok()
}

async fn act(admin: &Client, path: &str) -> alyx_tests::Answer {
    admin.send(Method::POST, &format!("/api/schedules/{path}"), None).await
}

/// The jobs of a schedule, oldest first.
async fn runs(admin: &Client, name: &str) -> Vec<Value> {
    let path = format!("/api/admin/jobs?kind=schedule&target={name}&limit=200");
    let answer = admin.get_path(&path).await.expect_ok();
    answer["jobs"].as_array().expect("jobs").iter().rev().cloned().collect()
}

/// The moment that was meant; none for a run that somebody asked for.
fn moment(run: &Value) -> Option<&str> {
    run["id"].as_str()?.strip_prefix("schedule:")?.split_once(':').map(|(_, moment)| moment)
}

async fn wait_for_runs(
    admin: &Client,
    name: &str,
    what: &str,
    enough: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    wait_for(what, PATIENCE, async || Some(runs(admin, name).await).filter(|runs| enough(runs))).await
}

fn all_are(runs: &[Value], state: &str, count: usize) -> bool {
    runs.len() == count && runs.iter().all(|run| run["state"] == state)
}

/// Acts as if the daemon had not been there: moves everything about schedules into the past.
fn go_back(project: &Project, by: SignedDuration) {
    let database = Connection::open(project.data().join("data.db")).expect("open the database");
    let mut rows = database.prepare("SELECT name, anchor, next_at FROM _alyx_schedules").unwrap();
    let rows: Vec<(String, String, Option<String>)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let earlier = |text: &String| format!("{:.6}", text.parse::<Timestamp>().unwrap() - by);
    for (name, anchor, next_at) in rows {
        database
            .execute(
                "UPDATE _alyx_schedules SET anchor = ?, next_at = ? WHERE name = ?",
                (earlier(&anchor), next_at.as_ref().map(earlier), name),
            )
            .unwrap();
    }
}

#[tokio::test]
async fn m35_a_schedule_of_the_schema_fires_and_leaves_a_record() {
    let (server, admin) = start("schedules: { tick: { cron: '* * * * * *', function: note } }\n").await;
    let done = wait_for_runs(&admin, "tick", "three runs", |runs| {
        runs.iter().filter(|run| run["state"] == "done").count() >= 3
    })
    .await;
    let first = &done[0];
    let record = wait_for("the execution", PATIENCE, async || {
        let answer = admin.get_path("/api/admin/executions?function=note").await.expect_ok();
        answer["executions"].get(0).cloned()
    })
    .await;
    assert_eq!(record["trigger"], "schedule", "{record}");
    assert_eq!(record["identity"], "schedule:tick", "{record}");
    assert_eq!(record["outcome"], "ok", "{record}");
    // No rule lets anybody write notes: it acts for the project.
    let notes = admin.list("notes", "limit=100").await.expect_docs();
    let note = notes.iter().find(|note| note["run"] == first["id"]).expect("the note of the first run");
    assert_eq!(note["text"].as_str(), moment(first), "it is told the moment that was meant");
    let shown = schedule(&admin, "tick").await;
    assert_eq!(shown["next_runs"].as_array().expect("a list").len(), 5);
    assert_eq!((&shown["source"], &shown["zone"]), (&json!("schema"), &json!("UTC")));
    server.stop().await;
}

#[tokio::test]
async fn m35_a_run_fires_once_across_restarts_and_kills() {
    let mut server =
        TestServer::start(project("schedules: { tick: { every: 1s, function: note, overlap: allow } }\n"))
            .await;
    for round in 0..4 {
        let admin = server.over_admin_socket();
        let before = runs(&admin, "tick").await.len();
        wait_for_runs(&admin, "tick", "more runs", |runs| runs.len() > before).await;
        let project = if round % 2 == 0 { server.kill().await } else { server.stop().await };
        server = TestServer::start(project).await;
    }
    let admin = server.over_admin_socket();
    let paused = act(&admin, "tick/pause").await.expect_ok();
    assert_eq!((&paused["paused"], &paused["next_at"]), (&json!(true), &Value::Null));
    let runs = wait_for_runs(&admin, "tick", "all runs to end", |runs| {
        runs.iter().all(|run| run["state"] == "done")
    })
    .await;
    let moments: Vec<&str> = runs.iter().filter_map(moment).collect();
    let different: BTreeSet<&str> = moments.iter().copied().collect();
    assert_eq!(different.len(), moments.len(), "no moment fires twice: {moments:?}");
    // Nothing that was due is lost, at the restarts either: they follow each other by a second.
    for pair in moments.windows(2) {
        let [first, second] = pair else { continue };
        let gap = second.parse::<Timestamp>().unwrap().duration_since(first.parse().unwrap());
        assert_eq!(gap, SignedDuration::from_secs(1), "{first} {second}");
    }
    // Every run wrote under its own id, at least once.
    let notes = admin.list("notes", "limit=1000").await.expect_docs();
    for run in &runs {
        assert!(notes.iter().any(|note| note["run"] == run["id"]), "{run} left nothing");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_a_kill_ended_is_begun_again_under_its_id() {
    let (server, admin) =
        start("schedules: { slow: { every: 24h, function: note, input: { gate: go } } }\n").await;
    let started = act(&admin, "slow/trigger").await.expect_status(202).json();
    let id = started["job"].as_str().expect("an id").to_owned();
    let notes_of = async |admin: &Client| admin.list("notes", "").await.expect_docs().len();
    wait_for("the function to begin", PATIENCE, async || (notes_of(&admin).await == 1).then_some(())).await;
    let server = TestServer::start(server.kill().await).await;
    let admin = server.over_admin_socket();
    wait_for("the function to begin again", PATIENCE, async || (notes_of(&admin).await == 2).then_some(()))
        .await;
    admin.create("notes", json!({ "text": "go" })).await.expect_created();
    let runs = wait_for_runs(&admin, "slow", "the run to end", |runs| all_are(runs, "done", 1)).await;
    assert_eq!(runs[0]["id"], json!(id));
    let notes = admin.list("notes", "").await.expect_docs();
    assert_eq!(
        notes.iter().filter(|note| note["run"] == json!(id)).count(),
        2,
        "the same id twice: {notes:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn missed_runs_are_caught_up_with_as_the_schedule_says() {
    let (server, _) = start(
        "schedules:
  none: { every: 1h, function: note, catch_up: none }
  last: { every: 1h, function: note }
  two: { every: 1h, function: note, catch_up: { all: 2 } }
  many: { every: 1h, function: note, catch_up: { all: 100 }, overlap: allow }
  paused: { every: 1h, function: note, catch_up: { all: 100 } }
  once: { at: '2100-01-01T00:00:00Z', function: note }
",
    )
    .await;
    act(&server.over_admin_socket(), "paused/pause").await.expect_ok();
    let project = server.stop().await;
    // As if it had been away for four hours and a half: four runs of each were due.
    go_back(&project, SignedDuration::from_mins(270));
    let server = TestServer::start(project).await;
    let admin = server.over_admin_socket();
    for (name, expected) in [("last", 1), ("two", 2), ("many", 4), ("none", 0)] {
        let runs = wait_for_runs(&admin, name, &format!("{expected} runs of {name}"), |runs| {
            all_are(runs, "done", expected)
        })
        .await;
        let moments: Vec<&str> = runs.iter().filter_map(moment).collect();
        assert!(moments.is_sorted(), "{name}: {moments:?}");
    }
    for name in ["none", "last", "two", "many"] {
        let next = wait_for("the next run to be in the future", PATIENCE, async || {
            let shown = schedule(&admin, name).await;
            let next: Timestamp = shown["next_at"].as_str().expect("it goes on").parse().unwrap();
            (next > Timestamp::now()).then_some(next)
        })
        .await;
        assert!(next.duration_since(Timestamp::now()) <= SignedDuration::from_hours(1));
    }
    assert_eq!(runs(&admin, "paused").await, [] as [Value; 0], "what was paused missed nothing");
    assert_eq!(runs(&admin, "once").await, [] as [Value; 0]);
    server.stop().await;
}

#[tokio::test]
async fn runs_overlap_as_the_schedule_says() {
    let (server, admin) = start(
        "schedules:
  skip: { every: 24h, function: note, input: { gate: go } }
  queue: { every: 24h, function: note, overlap: queue, input: { gate: go } }
  allow: { every: 24h, function: note, overlap: allow, input: { gate: go } }
",
    )
    .await;
    act(&admin, "skip/trigger").await.expect_status(202);
    act(&admin, "skip/trigger").await.expect_error(409, "schedule_running");
    for name in ["queue", "allow"] {
        for _ in 0..2 {
            act(&admin, &format!("{name}/trigger")).await.expect_status(202);
        }
    }
    let count = |runs: &[Value], state: &str| runs.iter().filter(|run| run["state"] == state).count();
    wait_for_runs(&admin, "allow", "both to go on", |runs| count(runs, "running") == 2).await;
    wait_for_runs(&admin, "queue", "one to go on", |runs| count(runs, "running") == 1).await;
    assert_eq!(count(&runs(&admin, "queue").await, "held"), 1, "the other waits for its turn");
    admin.create("notes", json!({ "text": "go" })).await.expect_created();
    let queue = wait_for_runs(&admin, "queue", "both to end", |runs| all_are(runs, "done", 2)).await;
    assert!(
        queue[0]["settled_at"].as_str() < queue[1]["settled_at"].as_str(),
        "one after the other: {queue:?}"
    );
    wait_for_runs(&admin, "allow", "both to end", |runs| all_are(runs, "done", 2)).await;
    wait_for_runs(&admin, "skip", "the one to end", |runs| all_are(runs, "done", 1)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_fails_is_given_up_and_can_be_tried_again() {
    let (server, admin) =
        start("schedules: { bad: { every: 24h, function: note, input: { fail: true } } }\n").await;
    act(&admin, "bad/trigger").await.expect_status(202);
    let dead = wait_for_runs(&admin, "bad", "the run to be given up", |runs| all_are(runs, "dead", 1)).await;
    assert!(dead[0]["error"].as_str().is_some_and(|error| error.starts_with("function_error")), "{dead:?}");
    assert_eq!(dead[0]["attempts"], 1);
    server.project.write("functions/note/index.js", &NOTE.replace("if (fail)", "if (false)"));
    let id = dead[0]["id"].as_str().expect("an id");
    server.cli().run(&["jobs", "replay", id]).await.expect_ok();
    wait_for_runs(&admin, "bad", "the run to be over", |runs| {
        runs.iter().all(|run| run["state"] == "dead" || run["state"] == "done")
    })
    .await;
    // The edit may have come after the first of them.
    if runs(&admin, "bad").await[0]["state"] == "dead" {
        server.cli().run(&["jobs", "replay", id]).await.expect_ok();
    }
    wait_for_runs(&admin, "bad", "the run to be done", |runs| all_are(runs, "done", 1)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_failing_run_is_tried_again_within_its_bound() {
    let (server, admin) = start(
        "schedules:
  bad: { every: 24h, function: note, retry: { attempts: 2, first: 100ms }, input: { fail: true } }
",
    )
    .await;
    act(&admin, "bad/trigger").await.expect_status(202);
    let dead = wait_for_runs(&admin, "bad", "the run to be given up", |runs| all_are(runs, "dead", 1)).await;
    assert_eq!(dead[0]["attempts"], 2);
    assert_eq!(admin.list("notes", "").await.expect_docs().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn administrators_make_and_steer_schedules() {
    let (server, admin) = start("schedules: { own: { every: 24h, function: note } }\n").await;
    let body = json!({
        "name": "mine", "cron": "30 2 * * *", "zone": "Europe/Berlin", "function": "note",
        "input": { "text": "hi", "big": 18_446_744_073_709_551_615_u64 }, "catch_up": { "all": 3 },
    });
    let made = admin.post("/api/schedules", body.clone()).await.expect_status(201).json();
    assert_eq!(
        (&made["source"], &made["overlap"], &made["enabled"]),
        (&json!("api"), &json!("skip"), &json!(true))
    );
    assert_eq!(made["input"], body["input"], "numbers stay what they are");
    let taken = |name: &str| json!({ "name": name, "every": "1h", "function": "note" });
    admin.post("/api/schedules", taken("mine")).await.expect_error(409, "schedule_exists");
    admin.post("/api/schedules", taken("own")).await.expect_error(409, "schedule_exists");
    // Everything that is wrong is told at once, and nothing is kept.
    let wrong =
        json!({ "name": "bad", "cron": "0 0 30 2 *", "zone": "Mars", "function": "note", "color": 1 });
    let problem = admin.post("/api/schedules", wrong).await.expect_error(422, "validation_failed");
    assert_eq!(problem.errors.len(), 3, "{problem:?}");
    for body in [
        json!({ "name": "bad", "every": "1h", "function": "nobody" }),
        json!({ "name": "bad", "at": "2020-01-01T00:00:00Z", "function": "note" }),
        json!({ "name": "Bad name", "every": "1h", "function": "note" }),
        json!({ "name": "bad", "every": "10ms", "function": "note" }),
        json!({ "every": "1h", "function": "note" }),
        json!([1]),
    ] {
        admin.post("/api/schedules", body).await.expect_error(422, "validation_failed");
    }
    admin.get_path("/api/schedules/bad").await.expect_error(404, "schedule_not_found");
    // What was paused stays paused over a restart, and what was made stays.
    act(&admin, "own/pause").await.expect_ok();
    let server = server.restart().await;
    let admin = server.over_admin_socket();
    assert_eq!(schedule(&admin, "own").await["paused"], json!(true));
    let resumed = act(&admin, "own/resume").await.expect_ok();
    assert!(resumed["paused"] == json!(false) && resumed["next_at"].is_string(), "{resumed}");
    assert_eq!(schedule(&admin, "mine").await["input"], body["input"]);
    admin.send(Method::DELETE, "/api/schedules/own", None).await.expect_error(409, "schedule_declared");
    admin.send(Method::DELETE, "/api/schedules/mine", None).await.expect_status(204);
    admin.send(Method::DELETE, "/api/schedules/mine", None).await.expect_error(404, "schedule_not_found");
    for path in ["mine/pause", "mine/resume", "mine/trigger"] {
        act(&admin, path).await.expect_error(404, "schedule_not_found");
    }
    // Nobody else sees or does any of it.
    let ada = server.user("ada").await;
    ada.get_path("/api/schedules").await.expect_error(403, "forbidden");
    ada.post("/api/schedules", taken("ada")).await.expect_error(403, "forbidden");
    act(&ada, "own/trigger").await.expect_error(403, "forbidden");
    act(&admin, "own/trigger").await.expect_status(202);
    let project = server.stop().await;
    let rows = crate::audit_rows(&project);
    for action in ["create", "pause", "resume", "delete", "trigger"] {
        let action = format!("schedule.{action}");
        assert!(rows.iter().any(|row| row["action"] == json!(action) && row["outcome"] == "ok"), "{action}");
    }
}

#[tokio::test]
async fn edited_schemas_change_schedules() {
    let with = |schedules: &str| format!("{SCHEMA}{schedules}");
    let (server, admin) =
        start("schedules: { a: { every: 24h, function: note }, b: { every: 24h, function: note } }\n").await;
    let before = schedule(&admin, "b").await;
    server.project.write(
        "schema.yaml",
        &with("schedules: { b: { every: 24h, function: note }, c: { cron: '@daily', function: note } }\n"),
    );
    wait_for("the new schedules", PATIENCE, async || {
        let answer = admin.get_path("/api/schedules").await.expect_ok();
        let names: Vec<&str> =
            answer["schedules"].as_array()?.iter().filter_map(|one| one["name"].as_str()).collect();
        (names == ["b", "c"]).then_some(())
    })
    .await;
    assert_eq!(schedule(&admin, "b").await, before, "what is as it was keeps its time");
    // A schedule that names nothing real is refused as a whole, and the old ones stay.
    server.project.write("schema.yaml", &with("schedules: { b: { every: 24h, function: gone } }\n"));
    wait_for("the refusal", PATIENCE, async || {
        server.output().contains("there is no function \"gone\"").then_some(())
    })
    .await;
    assert_eq!(schedule(&admin, "b").await, before);
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_schedules_work() {
    let page = std::fs::read_to_string(alyx_tests::tree::root().join("docs/schedules.md")).unwrap();
    let yaml = crate::docs::blocks(&page, "yaml").join("\n");
    let schema = format!("version: 1\nfunctions: {{ cleanup: {{ runtime: node }} }}\n{yaml}");
    let code = &crate::docs::blocks(&page, "js")[0];
    let server = TestServer::start(Project::schema(&schema).with("functions/cleanup/index.js", code)).await;
    let blocks = crate::docs::blocks(&page, "console");
    let steps: Vec<_> = blocks.iter().flat_map(|block| crate::docs::steps(block)).collect();
    assert!(steps.len() >= 5);
    crate::docs::follow(&steps, &server.project.folder(), Some(&server)).await;
    let said = server.cli().run(&["schedules", "list"]).await.expect_ok();
    assert!(said.out.contains("nightly") && said.out.contains("Europe/Berlin"), "{said:?}");
    let said = server.cli().run(&["schedules", "show", "nightly"]).await.expect_ok();
    assert_eq!(said.out.matches("next run").count(), 5, "{said:?}");
    server.cli().run(&["schedules", "delete", "nightly"]).await.expect_code(1);
    server.stop().await;
}
