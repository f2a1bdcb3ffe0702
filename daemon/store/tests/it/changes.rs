//! The change feed: ordered, unique, whole transactions, resumable, trimmed but never past a consumer.

use alyx_store::{ChangePage, Error, Options, Position, Since, Store};
use jiff::Timestamp;
use serde_json::json;

use crate::support::{TestStore, options};

const NOTES: &str = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      parent: { type: relation, nullable: true, relation: { collection: notes, onDelete: cascade } }
  other:
    fields:
      id: { type: string, primary: true }
";

fn page(store: &Store, since: Since, limit: u32) -> ChangePage {
    store.changes(since, Vec::new(), limit).wait().unwrap()
}

fn words(page: &ChangePage) -> Vec<String> {
    page.rows.iter().map(|row| format!("{} {}/{}", row.op, row.collection, row.id)).collect()
}

#[test]
fn pages_follow_one_another_and_end_with_a_transaction() {
    let notes = TestStore::new(NOTES);
    notes.create("notes", &json!({"id": "root"})).unwrap();
    for number in 0..5 {
        notes.create("notes", &json!({"id": format!("n{number}"), "parent": "root"})).unwrap();
    }
    notes.create("other", &json!({"id": "o1"})).unwrap();
    notes.delete("notes", "root").unwrap();
    notes.create("other", &json!({"id": "o2"})).unwrap();

    let (mut since, mut all, mut pages) = (Since::Start, Vec::new(), 0);
    loop {
        let page = page(&notes.store, since, 2);
        pages += 1;
        for rows in page.rows.chunk_by(|a, b| a.first_seq == b.first_seq) {
            assert_eq!(rows[0].seq, rows[0].first_seq, "a transaction begins in its page");
        }
        all.extend(page.rows);
        since = Since::After(page.next);
        if page.at_end {
            break;
        }
    }
    assert!(pages >= 4, "{pages}");
    let seqs: Vec<u64> = all.iter().map(|row| row.seq).collect();
    assert!(seqs.is_sorted() && seqs.len() == 14, "{seqs:?}");
    let deleted: Vec<_> = all.iter().filter(|row| row.op == "delete").collect();
    assert_eq!(deleted.len(), 6);
    assert!(deleted.iter().all(|row| row.first_seq == deleted[0].seq), "one transaction");

    let others = notes.store.changes(Since::Start, vec!["other".to_owned()], 100).wait().unwrap();
    assert_eq!(words(&others), ["create other/o1", "create other/o2"]);
    assert!(others.at_end && others.next.seq == *seqs.last().unwrap());
}

#[test]
fn a_place_that_is_not_of_this_feed_is_refused() {
    let notes = TestStore::new(NOTES);
    let start = notes.store.last_change().wait().unwrap();
    for number in 0..10 {
        notes.create("notes", &json!({"id": format!("n{number}")})).unwrap();
    }
    let end = notes.store.last_change().wait().unwrap();
    assert_eq!(end.seq, start.seq + 10);
    let gone = |position: Position| {
        let answer = notes.store.changes(Since::After(position), Vec::new(), 10).wait();
        matches!(answer, Err(Error::ChangesGone))
    };
    assert!(!gone(start.clone()) && !gone(end.clone()));
    assert!(gone(Position { seq: end.seq + 1, ..end.clone() }), "a place that was never reached");
    assert!(gone(Position { incarnation: "f".repeat(32), ..end.clone() }), "another database");
    notes.store.trim_changes(3, Timestamp::MIN).wait().unwrap();
    assert!(gone(start.clone()) && gone(Position { seq: end.seq - 4, ..end.clone() }));
    assert!(!gone(Position { seq: end.seq - 3, ..end.clone() }));
    notes.store.trim_changes(0, Timestamp::MAX).wait().unwrap();
    assert!(!gone(end.clone()), "whoever is up to date misses nothing");
    assert!(page(&notes.store, Since::Start, 10).rows.is_empty());
    assert_eq!(notes.reopen().store.last_change().wait().unwrap(), end, "also after a restart");
}

#[test]
fn nothing_is_trimmed_that_a_consumer_has_not_seen() {
    let notes = TestStore::new(NOTES);
    for number in 0..10 {
        notes.create("notes", &json!({"id": format!("n{number}")})).unwrap();
    }
    notes.store.set_consumer("slow", 4).wait().unwrap();
    notes.store.set_consumer("fast", 9).wait().unwrap();
    notes.store.set_consumer("fast", 2).wait().unwrap();
    let consumers = notes.store.consumers().wait().unwrap();
    let seen: Vec<_> = consumers.iter().map(|one| (one.name.as_str(), one.seq)).collect();
    assert_eq!(seen, [("fast", 9), ("slow", 4)]);
    let trim = || notes.store.trim_changes(0, Timestamp::MAX).wait().unwrap();
    assert_eq!(trim(), 4);
    assert_eq!(page(&notes.store, Since::Start, 100).rows[0].seq, 5);
    assert!(notes.store.remove_consumer("slow").wait().unwrap());
    assert!(!notes.store.remove_consumer("slow").wait().unwrap());
    assert_eq!(trim(), 5);
    assert_eq!(page(&notes.store, Since::Start, 100).rows.len(), 1);
}

#[test]
fn commits_with_changes_are_told() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let dir = tempfile::TempDir::new().unwrap();
    let on_change = alyx_store::OnChange(std::sync::Arc::new(move |seq| sender.send(seq).unwrap()));
    let store = Store::open(&Options { on_change, ..options(&dir) }).unwrap();
    let schema = crate::support::schema(NOTES);
    let text = format!("version: 1\n{NOTES}");
    crate::support::migrate(&store, &text, &schema, alyx_store::Consent::Safe).unwrap();
    let notes = TestStore { dir, store, schema };
    notes.create("notes", &json!({"id": "n1"})).unwrap();
    assert_eq!(receiver.recv().unwrap(), 1);
    notes.store.set_consumer("x", 1).wait().unwrap();
    notes.create("notes", &json!({"id": "n2"})).unwrap();
    assert_eq!(receiver.recv().unwrap(), 2, "a commit without changes is not told");
}
