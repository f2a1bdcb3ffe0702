//! Jobs: added with what causes them, leased, settled, in order where asked, never lost, never from a
//! write that was taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alyx_store::{
    Action, AuditOutcome, AuditRow, DueJob, Error, EventRow, JobFilter, JobOutcome, NewJob, OnJobs, Purge,
    Store, Topic, Trigger, Triggers,
};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::support::{NOW, TestStore};

const POSTS: &str = "collections:
  posts:
    fields:
      id: { type: id, primary: true }
      title: { type: string }
";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now() + Duration::from_secs(seconds)
}

fn job(id: &str, key: Option<&str>) -> NewJob {
    NewJob {
        id: id.to_owned(),
        kind: "test",
        target: "t".to_owned(),
        key: key.map(str::to_owned),
        payload: "{}".to_owned(),
        run_at: None,
    }
}

fn add(store: &Store, jobs: &[(&str, Option<&str>)]) {
    let jobs: Vec<NewJob> = jobs.iter().map(|(id, key)| job(id, *key)).collect();
    let count = jobs.len() as u64;
    assert_eq!(store.add_jobs(jobs).wait().unwrap(), count);
}

fn take(store: &Store) -> Vec<DueJob> {
    store.take_jobs("test", now(), later(60), 100).wait().unwrap()
}

fn ids(store: &Store) -> Vec<String> {
    take(store).into_iter().map(|job| job.id).collect()
}

fn settle(store: &Store, id: &str, outcome: JobOutcome) {
    store.settle_job(id, outcome).wait().unwrap();
}

fn states(store: &Store) -> Vec<(String, String, u32)> {
    let rows = store.list_jobs(JobFilter::default(), 100).wait().unwrap();
    rows.into_iter().rev().map(|row| (row.id, row.state, row.attempts)).collect()
}

fn state(id: &str, state: &str, attempts: u32) -> (String, String, u32) {
    (id.to_owned(), state.to_owned(), attempts)
}

fn triggers(store: &Store, actions: &[Action], ordered: bool) {
    let trigger = Trigger { kind: "test", target: "t".to_owned(), ordered };
    let topics = actions.iter().map(|action| Topic::Document("posts".to_owned(), *action));
    store.set_triggers(Triggers(topics.map(|topic| (topic, vec![trigger.clone()])).collect()));
}

fn payload(store: &Store, id: &str) -> Json {
    let (_, payload) = store.job(id).wait().unwrap().unwrap();
    serde_json::from_str(&payload).unwrap()
}

#[test]
fn jobs_are_taken_once_and_settled() {
    let project = TestStore::new("");
    let store = &project.store;
    add(store, &[("a", None), ("b", None), ("c", None), ("d", None)]);
    // A second one of the same id is the same one.
    assert_eq!(store.add_jobs(vec![job("a", None)]).wait().unwrap(), 0);
    let taken = store.take_jobs("test", now(), later(60), 3).wait().unwrap();
    assert_eq!(
        taken.iter().map(|job| (job.id.as_str(), job.attempt)).collect::<Vec<_>>(),
        [("a", 1), ("b", 1), ("c", 1)]
    );
    assert_eq!(store.take_jobs("other", now(), later(60), 3).wait().unwrap(), []);
    settle(store, "a", JobOutcome::Done);
    settle(store, "b", JobOutcome::Retry { run_at: later(5), error: "not yet".to_owned() });
    settle(store, "c", JobOutcome::Dead { error: "never".to_owned() });
    // What does not run is not settled.
    settle(store, "a", JobOutcome::Dead { error: "late".to_owned() });
    settle(store, "d", JobOutcome::Done);
    let expected =
        [state("a", "done", 1), state("b", "pending", 1), state("c", "dead", 1), state("d", "pending", 0)];
    assert_eq!(states(store), expected);
    assert_eq!(ids(store), ["d"]);
    assert_eq!(store.next_jobs_due().wait().unwrap(), [("test".to_owned(), later(5))]);
    let again = store.take_jobs("test", later(5), later(60), 100).wait().unwrap();
    assert_eq!((again[0].id.as_str(), again[0].attempt), ("b", 2));
    settle(store, "b", JobOutcome::Returned);
    assert_eq!(states(store)[1], state("b", "pending", 1));
}

#[test]
fn jobs_of_one_key_run_one_after_the_other() {
    let project = TestStore::new("");
    let store = &project.store;
    add(store, &[("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b")), ("a3", Some("a")), ("c", None)]);
    assert_eq!(ids(store), ["a1", "b1", "c"]);
    assert!(ids(store).is_empty());
    // The first keeps its place while it is tried again.
    settle(store, "a1", JobOutcome::Retry { run_at: now(), error: String::new() });
    assert_eq!(ids(store), ["a1"]);
    settle(store, "a1", JobOutcome::Dead { error: String::new() });
    assert_eq!(ids(store), ["a2"]);
    // One that is replayed waits for those of its key.
    store.replay_job("a1").wait().unwrap();
    assert!(ids(store).is_empty());
    settle(store, "a2", JobOutcome::Done);
    assert_eq!(ids(store), ["a1"]);
    settle(store, "a1", JobOutcome::Done);
    assert_eq!(ids(store), ["a3"]);
    settle(store, "a3", JobOutcome::Done);
    add(store, &[("a4", Some("a"))]);
    assert_eq!(ids(store), ["a4"]);
}

#[test]
fn a_lease_that_ends_gives_the_job_back_also_after_a_restart() {
    let project = TestStore::new("");
    add(&project.store, &[("a", None)]);
    assert_eq!(ids(&project.store), ["a"]);
    let project = project.reopen();
    assert!(ids(&project.store).is_empty());
    assert_eq!(project.store.return_jobs(later(60)).wait().unwrap(), 0);
    assert_eq!(project.store.return_jobs(later(61)).wait().unwrap(), 1);
    let again = take(&project.store);
    assert_eq!((again[0].id.as_str(), again[0].attempt), ("a", 2));
}

#[test]
fn a_change_adds_its_jobs_and_a_failed_write_adds_none() {
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let project = TestStore::with(POSTS, |options| {
        options.on_jobs = OnJobs(Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
    });
    let store = &project.store;
    project.create("posts", &json!({ "id": "before", "title": "x" })).unwrap();
    assert!(states(store).is_empty());
    assert_eq!(told.load(Ordering::SeqCst), 0);
    triggers(store, &[Action::Create, Action::Update, Action::Delete], true);
    let first = project.create("posts", &json!({ "id": "p1", "title": "a \"quoted\" title" })).unwrap();
    assert!(project.create("posts", &json!({ "id": "p1", "title": "again" })).is_err());
    project.update("posts", &first, &json!({ "title": "b" })).unwrap();
    project.delete("posts", "p1").unwrap();
    assert!(project.delete("posts", "p1").is_err());
    assert_eq!(told.load(Ordering::SeqCst), 3);
    let rows = store.list_jobs(JobFilter::default(), 100).wait().unwrap();
    let states: Vec<&str> = rows.iter().rev().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["pending", "held", "held"]);
    let all: Vec<Json> = rows.iter().rev().map(|row| payload(store, &row.id)).collect();
    let told: Vec<_> =
        all.iter().map(|job| (&job["action"], &job["doc"]["title"], &job["old"]["title"])).collect();
    let (a, b) = (json!("a \"quoted\" title"), json!("b"));
    assert_eq!(
        told,
        [
            (&json!("create"), &a, &Json::Null),
            (&json!("update"), &b, &a),
            (&json!("delete"), &Json::Null, &b)
        ]
    );
    assert_eq!(
        (&all[0]["collection"], &all[0]["id"], &all[0]["identity"]),
        (&json!("posts"), &json!("p1"), &json!("user:ada"))
    );
    assert_eq!(rows[0].key.as_deref(), Some("test:t:posts:p1"));
    assert_eq!(rows[0].depth, 0);
    // What a job causes is one deeper.
    let deeper = store.caused_by(3);
    let draft = project.draft("posts", &json!({ "id": "p2", "title": "c" }));
    deeper.create(project.collection("posts"), draft, "x".to_owned()).wait().unwrap();
    assert_eq!(store.list_jobs(JobFilter::default(), 1).wait().unwrap()[0].depth, 3);
}

#[test]
fn only_the_wanted_changes_add_jobs() {
    let project = TestStore::new(POSTS);
    triggers(&project.store, &[Action::Delete], false);
    project.create("posts", &json!({ "id": "p1", "title": "a" })).unwrap();
    assert!(states(&project.store).is_empty());
    project.delete("posts", "p1").unwrap();
    assert_eq!(states(&project.store).len(), 1);
    project.store.set_triggers(Triggers::default());
    project.create("posts", &json!({ "id": "p2", "title": "a" })).unwrap();
    project.delete("posts", "p2").unwrap();
    assert_eq!(states(&project.store).len(), 1);
}

#[test]
fn settled_jobs_are_listed_replayed_purged_and_trimmed() {
    let project = TestStore::new("");
    let store = &project.store;
    add(store, &[("a", None), ("b", None), ("c", None)]);
    assert!(matches!(store.replay_job("a").wait(), Err(Error::Stale)));
    assert!(matches!(store.replay_job("none").wait(), Err(Error::NotFound)));
    take(store);
    settle(store, "a", JobOutcome::Dead { error: "why".to_owned() });
    settle(store, "b", JobOutcome::Done);
    let of = |state: &str| {
        let filter = JobFilter {
            state: Some(state.to_owned()),
            kind: Some("test".to_owned()),
            ..JobFilter::default()
        };
        store.list_jobs(filter, 10).wait().unwrap()
    };
    assert_eq!(
        of("dead").iter().map(|row| (row.id.as_str(), row.error.as_deref())).collect::<Vec<_>>(),
        [("a", Some("why"))]
    );
    store.replay_job("a").wait().unwrap();
    assert_eq!(states(store)[0], state("a", "pending", 0));
    take(store);
    settle(store, "a", JobOutcome::Dead { error: "why".to_owned() });
    // Each kind of settled job has its own time, and the others have none.
    assert_eq!(store.trim_jobs(later(1), now()).wait().unwrap(), 1);
    assert_eq!(states(store).len(), 2);
    let purge = |state: &str| Purge { state: state.to_owned(), kind: None, before: later(1) };
    assert_eq!(store.purge_jobs(purge("done")).wait().unwrap(), 0);
    assert_eq!(store.purge_jobs(purge("dead")).wait().unwrap(), 1);
    assert_eq!(states(store), [state("c", "running", 1)]);
}

#[test]
fn an_audited_action_and_an_event_add_their_jobs_to_their_own_transaction() {
    let project = TestStore::new("");
    let store = &project.store;
    let trigger = |target: &str| vec![Trigger { kind: "test", target: target.to_owned(), ordered: true }];
    let topics = [
        (Topic::Audited("session.begin".to_owned()), trigger("login")),
        (Topic::Event("order.paid".to_owned()), trigger("paid")),
    ];
    store.set_triggers(Triggers(topics.into()));
    let row = |action: &str, outcome| AuditRow {
        identity: "user:1".to_owned(),
        address: "192.0.2.1".to_owned(),
        action: action.to_owned(),
        target: "user:1".to_owned(),
        outcome,
        request_id: "r".to_owned(),
        details_json: None,
    };
    store.append_audit(row("session.begin", AuditOutcome::Denied)).wait().unwrap();
    store.append_audit(row("session.end", AuditOutcome::Ok)).wait().unwrap();
    assert_eq!(states(store).len(), 0, "neither what failed nor what nobody asked for");
    store.append_audit(row("session.begin", AuditOutcome::Ok)).wait().unwrap();
    let event = |id: &str, name: &str| EventRow {
        id: id.to_owned(),
        name: name.to_owned(),
        payload: r#"{"total":3}"#.to_owned(),
        identity: "user:1".to_owned(),
        at: String::new(),
    };
    store.publish(event("e1", "order.paid")).wait().unwrap();
    store.publish(event("e2", "order.sent")).wait().unwrap();
    assert!(store.publish(event("e1", "order.paid")).wait().is_err(), "an id is used once");
    let rows = store.list_jobs(JobFilter::default(), 100).wait().unwrap();
    let targets: Vec<&str> = rows.iter().rev().map(|row| row.target.as_str()).collect();
    assert_eq!(targets, ["login", "paid"]);
    let told = payload(store, &rows[1].id);
    assert_eq!(
        (&told["audit"], &told["id"], &told["doc"]),
        (&json!("session.begin"), &json!("1"), &Json::Null)
    );
    let told = payload(store, &rows[0].id);
    assert_eq!((&told["event"], &told["id"]), (&json!("order.paid"), &json!("e1")));
    assert_eq!(told["payload"], json!({ "total": 3 }));

    let ids = |name: Option<&str>, before: Option<&str>| -> Vec<String> {
        let rows = store.events(name.map(str::to_owned), before.map(str::to_owned), 10).wait().unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(None, None), ["e2", "e1"]);
    assert_eq!(ids(Some("order.paid"), None), ["e1"]);
    assert_eq!(ids(None, Some("e2")), ["e1"]);
    let trimmed = store.trim_events(now() + Duration::from_secs(60)).wait();
    assert_eq!((trimmed.unwrap(), ids(None, None).len()), (2, 0));
}
