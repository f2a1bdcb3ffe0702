//! Copies made while the database is in use.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use alyx_store::{Error, backup};
use serde_json::json;

use crate::support::TestStore;

const NOTES: &str = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      parent: { type: relation, nullable: true, relation: { collection: notes } }
      text: { type: text, nullable: true }
";

/// Documents and changes of a copy.
fn counts(path: &std::path::Path) -> (u64, u64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let count = |table: &str| {
        connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    };
    (count("notes"), count("_alyx_changes"))
}

#[test]
fn a_copy_is_one_moment_and_writers_go_on() {
    let notes = TestStore::new(NOTES);
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (notes, stop, written) = (&notes, &stop, &written);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let body = json!({"id": format!("{writer}-{number}"), "text": "x".repeat(2_000)});
                    notes.create("notes", &body).unwrap();
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..5 {
            let wanted = (round + 1) * 100;
            while written.load(Ordering::SeqCst) < wanted {
                std::thread::yield_now();
            }
            let path = notes.dir.path().join(format!("copy-{round}.db"));
            let before = written.load(Ordering::SeqCst);
            let copied = notes.store.copy_to(&path).wait().unwrap();
            let after = written.load(Ordering::SeqCst) + 4;
            assert!((before..=after).contains(&copied.seq), "{before} {copied:?} {after}");
            assert_eq!(backup::examine(&path).unwrap(), copied);
            assert_eq!(
                counts(&path),
                (copied.seq, copied.seq),
                "each document with its change, no half of one"
            );
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_failed_copy_leaves_no_file() {
    let notes = TestStore::new(NOTES);
    notes.create("notes", &json!({"id": "n1"})).unwrap();
    let path = notes.dir.path().join("copy.db");
    let late = notes.store.with_deadline(Instant::now()).copy_to(&path).wait();
    assert!(matches!(late, Err(Error::Interrupted)), "{late:?}");
    let nowhere = notes.store.copy_to(notes.dir.path().join("no/copy.db")).wait();
    assert!(matches!(nowhere, Err(Error::File { .. })), "{nowhere:?}");
    notes.store.copy_to(&path).wait().unwrap();
    let twice = notes.store.copy_to(&path).wait();
    assert!(matches!(twice, Err(Error::File { .. })), "{twice:?}");
    assert_eq!(counts(&path), (1, 1));
    let names: Vec<String> = std::fs::read_dir(notes.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy"))
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| !["copy.db", "copy.db-wal", "copy.db-shm"].contains(&name.as_str()))
            .count(),
        0,
        "{names:?}"
    );
}

#[test]
fn a_damaged_copy_is_found() {
    let notes = TestStore::new(NOTES);
    for number in 0..200 {
        notes.create("notes", &json!({"id": format!("n{number}"), "text": "x".repeat(2_000)})).unwrap();
    }
    let path = notes.dir.path().join("copy.db");
    notes.store.copy_to(&path).wait().unwrap();
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    let start = sound.len() / 2 / 4096 * 4096;
    damaged[start..start + 8 * 4096].fill(0xa5);
    for bytes in [damaged, sound[..sound.len() / 2].to_vec(), b"no database at all, but text".repeat(99)] {
        std::fs::write(&path, bytes).unwrap();
        let examined = backup::examine(&path);
        assert!(matches!(examined, Err(Error::Corrupt { .. })), "{examined:?}");
    }
    std::fs::write(&path, sound).unwrap();
    backup::examine(&path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; UPDATE notes SET parent = 'nobody' WHERE id = 'n1'")
        .unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    drop(connection);
    let examined = backup::examine(&path);
    assert!(matches!(examined, Err(Error::Corrupt { .. })), "{examined:?}");
}
