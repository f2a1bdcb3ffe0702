//! Many commands, one commit: each stands or falls alone, and is answered when it is true.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use alyx_core::document::Document;
use alyx_store::{Error, Health, Pending, limits};
use jiff::Timestamp;
use serde_json::json;

use crate::support::{ACTOR, TestStore};

const NOTES: &str = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      key: { type: string, unique: true }
      parent: { type: relation, nullable: true, relation: { collection: notes, onDelete: cascade } }
      text: { type: text, nullable: true }
";

fn send(notes: &TestStore, id: &str, key: &str, parent: Option<&str>) -> Pending<Document> {
    let draft = notes.draft("notes", &json!({"id": id, "key": key, "parent": parent}));
    notes.store.create(notes.collection("notes"), draft, ACTOR.to_owned())
}

#[test]
fn a_bad_command_does_not_spoil_its_batch() {
    let notes = TestStore::new(NOTES);
    // While another connection holds the write lock, everything sent gathers in the queue.
    let gate = notes.sqlite();
    gate.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers: Vec<_> = (0..200)
        .map(|number| {
            let (key, parent) = match number % 5 {
                1 => ("same".to_owned(), None),
                2 => (number.to_string(), Some("nobody")),
                3 => (number.to_string(), Some("n000")),
                _ => (number.to_string(), None),
            };
            send(&notes, &format!("n{number:03}"), &key, parent)
        })
        .collect();
    gate.execute_batch("ROLLBACK").unwrap();

    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.wait();
        let id = format!("n{number:03}");
        // Another connection sees it as soon as it is answered.
        let seen = gate.prepare("SELECT 1 FROM notes WHERE id = ?").unwrap().exists([&id]).unwrap();
        match (number % 5, answer) {
            (1, Err(Error::UniqueViolation { fields })) if number != 1 => assert_eq!(fields, ["key"]),
            (2, Err(Error::ForeignKey { fields })) => assert_eq!(fields, ["parent"]),
            (_, Ok(document)) => {
                assert_eq!(notes.id("notes", &document), id);
                assert!(seen, "{id} is answered before it is there");
                continue;
            }
            (_, other) => panic!("{id}: {other:?}"),
        }
        assert!(!seen, "{id} failed and is there");
    }
    let changed = notes.changes().len();
    assert_eq!(changed, 200 - 40 - 39, "exactly the successful ones have changes");
    notes.store.integrity_check().wait().unwrap();
}

#[test]
fn a_write_goes_on_when_its_caller_does_not() {
    let notes = TestStore::new(NOTES);
    drop(send(&notes, "n1", "a", None));
    let mut polled = pin!(send(&notes, "n2", "b", None));
    let mut context = Context::from_waker(Waker::noop());
    drop(polled.as_mut().poll(&mut context));
    send(&notes, "n3", "c", None).wait().unwrap();
    assert_eq!(notes.list("notes", &[]).count, 3);
}

#[test]
fn a_deadline_that_passed_stops_what_has_not_begun() {
    let notes = TestStore::new(NOTES);
    let late = notes.store.with_deadline(Instant::now());
    let draft = notes.draft("notes", &json!({"id": "n1", "key": "a"}));
    let write = late.create(notes.collection("notes"), draft, ACTOR.to_owned()).wait();
    assert!(matches!(write, Err(Error::Interrupted)), "{write:?}");
    let read = late.get(notes.collection("notes"), "n1".to_owned()).wait();
    assert!(matches!(read, Err(Error::Interrupted)), "{read:?}");
    assert_eq!(notes.get("notes", "n1"), None);
}

#[test]
fn a_full_queue_says_so_and_keeps_what_it_took() {
    let notes = TestStore::new(NOTES);
    let gate = notes.sqlite();
    gate.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer holds one batch, the queue what it has room for.
    let most = limits::WRITE_QUEUE_MAX + limits::BATCH_MAX;
    let users = notes.schema.collections["notes"].clone();
    let draft = notes.draft("notes", &json!({"id": "x", "key": "x"}));
    let mut answers = Vec::new();
    let refused = loop {
        let number = answers.len();
        assert!(number <= most, "the queue has no bound");
        let mut draft = draft.clone();
        draft.values[0] = alyx_core::value::Value::Text(format!("n{number}"));
        draft.values[1] = alyx_core::value::Value::Text(format!("n{number}"));
        let mut answer = notes.store.create(Arc::clone(&users), draft, ACTOR.to_owned());
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::Pin::new(&mut answer).poll(&mut context) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => answers.push(answer),
        }
    };
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    assert!(notes.store.health().writes_waiting >= limits::WRITE_QUEUE_MAX - limits::BATCH_MAX);
    gate.execute_batch("ROLLBACK").unwrap();
    let accepted = answers.len();
    answers.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
    assert_eq!(notes.list("notes", &[("count", "true")]).total, Some(accepted as u64));
}

#[test]
fn a_full_disk_stops_writes_only_and_is_got_over() {
    let notes = TestStore::with(NOTES, |options| options.max_bytes = Some(1024 * 1024));
    let text = "x".repeat(60_000);
    let mut stored = 0;
    let error = loop {
        let body = json!({"id": format!("n{stored}"), "key": stored.to_string(), "text": text});
        match notes.create("notes", &body) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the limit does nothing");
    };
    assert!(matches!(error, Error::DiskFull), "{error:?}");
    assert!(matches!(notes.store.health().state, Health::Degraded(Error::DiskFull)));
    assert_eq!(notes.list("notes", &[]).count, stored);
    assert_eq!(notes.changes().len(), stored);
    notes.store.integrity_check().wait().unwrap();

    assert_eq!(notes.store.trim_changes(0, Timestamp::MAX).wait().unwrap(), stored as u64);
    notes.create("notes", &json!({"id": "again", "key": "again", "text": text})).unwrap();
    assert!(matches!(notes.store.health().state, Health::Ok));
    assert_eq!(notes.changes()[0].seq, stored as i64 + 1, "numbers are never used twice");
}

/// Not a test of speed, only a number to look at: `cargo test -p alyx-store -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput_of_creates() {
    let notes = Arc::new(TestStore::new(NOTES));
    for clients in [1, 8, 64] {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(3);
        let counts: Vec<_> = (0..clients)
            .map(|client| {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || {
                    let mut count = 0_u64;
                    while Instant::now() < deadline {
                        let key = format!("{clients}-{client}-{count}");
                        send(&notes, &key, &key, None).wait().unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let total: u64 = counts.into_iter().map(|thread| thread.join().unwrap()).sum();
        eprintln!("{clients} clients: {:.0} creates/s", total as f64 / started.elapsed().as_secs_f64());
    }
}
