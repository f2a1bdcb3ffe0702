//! The file: who may open it, what it looks like, what is left after closing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use alyx_store::{Consent, Error, Health, OpenCheck, Options, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{ACTOR, TestStore, migrate, options};

const NOTES: &str = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      text: { type: text, nullable: true }
";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_may_read_it() {
    let notes = TestStore::new(NOTES);
    for name in ["data.db", "data.db-wal", "data.db-shm", "data.db.lock"] {
        assert_eq!(mode(&notes.dir.path().join(name)), 0o600, "{name}");
    }
    let path = notes.path();
    let TestStore { dir, store, .. } = notes;
    store.close().unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&options(&dir)).unwrap();
    assert_eq!(mode(&path), 0o600);
    store.close().unwrap();
}

#[test]
fn a_second_opener_is_refused() {
    let notes = TestStore::new(NOTES);
    let second = Store::open(&options(&notes.dir));
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    notes.create("notes", &json!({"id": "n1"})).unwrap();
    let notes = notes.reopen();
    assert!(notes.get("notes", "n1").is_some());
    let TestStore { dir, store, .. } = notes;
    drop(store);
    Store::open(&options(&dir)).unwrap().close().unwrap();
}

#[test]
fn closing_leaves_nothing_to_repair_and_loses_nothing() {
    let notes = TestStore::new(NOTES);
    let (collection, clone) = (notes.collection("notes"), notes.store.clone());
    let answers: Vec<_> = (0..500)
        .map(|number| {
            let draft = notes.draft("notes", &json!({"id": format!("n{number}")}));
            clone.create(collection.clone(), draft, ACTOR.to_owned())
        })
        .collect();
    let path = notes.path();
    let TestStore { dir, store, .. } = notes;
    store.close().unwrap();
    answers.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
    assert!(!path.with_extension("db-wal").exists(), "the log is still there");

    assert!(matches!(clone.health().state, Health::Closed));
    let read = clone.get(collection.clone(), "n1".to_owned()).wait();
    assert!(matches!(read, Err(Error::Closed)), "{read:?}");
    let write = clone.end_session("s").wait();
    assert!(matches!(write, Err(Error::Closed)), "{write:?}");
    clone.close().unwrap();

    let store = Store::open(&options(&dir)).unwrap();
    assert!(store.get(collection, "n499".to_owned()).wait().unwrap().is_some());
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let check = |prepare: &dyn Fn(&Path), expected: fn(&Error) -> bool| {
        let dir = TempDir::new().unwrap();
        let options = Options { check: OpenCheck::Quick, ..options(&dir) };
        prepare(&options.path);
        let before = std::fs::read(&options.path).unwrap();
        match Store::open(&options) {
            Err(error) if expected(&error) => {}
            other => panic!("{other:?}"),
        }
        assert!(std::fs::read(&options.path).unwrap() == before, "the file was touched");
    };
    let sql = |text: &'static str| {
        move |path: &Path| rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap()
    };
    check(&sql("CREATE TABLE theirs (a)"), |error| matches!(error, Error::Foreign { .. }));
    check(&sql("PRAGMA application_id = 7"), |error| matches!(error, Error::Foreign { .. }));
    check(
        &|path| {
            std::fs::write(path, "this is no database, but it is long enough to look at".repeat(20)).unwrap()
        },
        |error| matches!(error, Error::Corrupt { .. }),
    );
    check(
        &|path| {
            drop(Store::open(&Options::new(path)).unwrap());
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.execute_batch("PRAGMA user_version = 99; PRAGMA journal_mode = DELETE").unwrap();
        },
        |error| matches!(error, Error::Newer { found: 99, .. }),
    );
}

#[test]
fn damage_is_told_from_other_failures() {
    let notes = TestStore::new(NOTES);
    for number in 0..200 {
        notes.create("notes", &json!({"id": format!("n{number}"), "text": "x".repeat(2_000)})).unwrap();
    }
    let path = notes.path();
    let TestStore { dir, store, schema } = notes;
    store.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let start = bytes.len() / 2 / 4096 * 4096;
    bytes[start..start + 16 * 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();

    let checked = Store::open(&Options { check: OpenCheck::Quick, ..options(&dir) });
    assert!(matches!(checked, Err(Error::Corrupt { .. })), "{checked:?}");
    let store = Store::open(&options(&dir)).unwrap();
    let checked = store.integrity_check().wait();
    assert!(matches!(checked, Err(Error::Corrupt { .. })), "{checked:?}");
    drop(schema);
}

#[test]
fn a_missing_directory_is_named() {
    let dir = TempDir::new().unwrap();
    let error = Store::open(&Options::new(dir.path().join("no/data.db"))).unwrap_err();
    assert!(error.to_string().contains("no/data.db"), "{error}");
}

/// `mount -t tmpfs -o size=3m` somewhere and name it in `TMPDIR`.
#[test]
#[ignore = "needs a small file system in TMPDIR"]
fn a_full_file_system_stops_writes_only() {
    let notes = TestStore::new(NOTES);
    let text = "x".repeat(30_000);
    let mut stored = 0;
    let error = loop {
        match notes.create("notes", &json!({"id": format!("n{stored}"), "text": text})) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "this file system is not small");
    };
    assert!(matches!(error, Error::DiskFull), "{error:?}");
    assert!(matches!(notes.store.health().state, Health::Degraded(Error::DiskFull)));
    assert_eq!(notes.list("notes", &[("count", "true")]).total, Some(stored));
    let TestStore { dir, store, schema } = notes;
    // There may be no room to move the log into the database; it stays where it is.
    if let Err(error) = store.close() {
        assert!(matches!(error, Error::DiskFull), "{error:?}");
    }
    let store = Store::open(&options(&dir)).unwrap();
    let text = store.applied_schema().wait().unwrap().unwrap();
    assert!(migrate(&store, &text, &schema, Consent::Safe).unwrap().applied);
    let notes = TestStore { dir, store, schema };
    notes.store.integrity_check().wait().unwrap();
    assert_eq!(notes.list("notes", &[("count", "true")]).total, Some(stored));
    assert_eq!(notes.changes().len() as u64, stored);
}
