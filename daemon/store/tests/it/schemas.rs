//! Schema changes: done as a whole or not at all.

use alyx_core::migration::Class;
use alyx_store::{Consent, Error};
use serde_json::json;

use crate::support::{TestStore, migrate, schema};

const BEFORE: &str = "
collections:
  topics:
    fields:
      id: { type: string, primary: true }
  notes:
    fields:
      id: { type: string, primary: true }
      text: { type: string }
      topic: { type: relation, nullable: true, relation: { collection: topics, onDelete: cascade } }
";

const AFTER: &str = "
collections:
  topics:
    fields:
      id: { type: string, primary: true }
  notes:
    fields:
      id: { type: string, primary: true }
      text: { type: string, nullable: true, index: true }
      topic: { type: relation, nullable: true, relation: { collection: topics, onDelete: cascade } }
      place: { type: int, default: 7 }
      live: { type: bool, default: true }
      extra: { type: json, nullable: true }
      quote: { type: string, default: \"it's\" }
      at: { type: timestamp, default: now }
    indexes:
      - { name: by_place, fields: [place, text], order: desc }
";

fn filled() -> TestStore {
    let notes = TestStore::new(BEFORE);
    notes.create("topics", &json!({"id": "t"})).unwrap();
    notes.create("notes", &json!({"id": "n1", "text": "same", "topic": "t"})).unwrap();
    notes.create("notes", &json!({"id": "n2", "text": "same"})).unwrap();
    notes
}

fn objects(notes: &TestStore) -> Vec<String> {
    let connection = notes.sqlite();
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn added_fields_have_their_defaults() {
    let mut notes = filled();
    let after = schema(AFTER);
    assert!(migrate(&notes.store, "version: 1", &after, Consent::Safe).unwrap().applied);
    notes.schema = after;
    let expected = json!({
        "id": "n1", "text": "same", "topic": "t", "place": 7, "live": true, "extra": null, "quote": "it's",
        "at": crate::support::NOW,
    });
    assert_eq!(notes.json("notes", "n1").unwrap(), expected);
    let names = objects(&notes);
    for index in ["by_place", "_alyx_index.notes.text"] {
        assert!(names.iter().any(|name| name == index), "{index} is not among {names:?}");
    }
    assert_eq!(notes.store.applied_schema().wait().unwrap().as_deref(), Some("version: 1"));
    assert_eq!(notes.change_words().len(), 3, "documents did not change");
    notes.store.integrity_check().wait().unwrap();
    assert_eq!(notes.store.drift().wait().unwrap(), Vec::<String>::new());
    // The table was made anew, and foreign keys are in force again.
    let n1 = notes.get("notes", "n1").unwrap();
    let n1 = notes.update("notes", &n1, &json!({"text": null})).unwrap();
    assert_eq!(n1.rev, 2);
    let broken = notes.update("notes", &n1, &json!({"topic": "nobody"}));
    assert!(matches!(broken, Err(Error::ForeignKey { .. })), "{broken:?}");
    notes.delete("topics", "t").unwrap();
    assert!(notes.get("notes", "n1").is_none());
    assert!(objects(&notes).contains(&"_alyx_users_email".to_owned()));
}

#[test]
fn a_change_that_is_impossible_leaves_all_as_it_was() {
    let notes = filled();
    let before = (objects(&notes), notes.store.applied_schema().wait().unwrap());
    let after = schema(&AFTER.replace("index: true", "unique: true"));
    let report = migrate(&notes.store, "version: 2", &after, Consent::Confirmed).unwrap();
    assert!(!report.applied && report.class() == Class::Impossible, "{report:#?}");
    let unique = report.changes.iter().find(|change| change.class == Class::Impossible).unwrap();
    assert_eq!(unique.documents, Some(2), "{unique:?}");
    assert_eq!((objects(&notes), notes.store.applied_schema().wait().unwrap()), before);
    // Neither in memory: the old schema is still the one that counts.
    notes.delete("topics", "t").unwrap();
    assert!(notes.get("notes", "n1").is_none());
}

/// Class and count of what is not safe between [`BEFORE`] and the same with a replacement.
fn unsafe_changes(store: &TestStore, from: &str, to: &str) -> Vec<(Class, Option<u64>)> {
    assert!(BEFORE.contains(from), "{from}");
    let after = schema(&BEFORE.replace(from, to));
    let report = migrate(&store.store, "version: 2", &after, Consent::Safe).unwrap();
    assert_eq!(report.applied, report.class() == Class::Safe);
    let unsafe_ones = report.changes.into_iter().filter(|change| change.class != Class::Safe);
    unsafe_ones.map(|change| (change.class, change.documents)).collect()
}

#[test]
fn what_may_lose_data_is_counted_and_not_done_unasked() {
    let text = "      text: { type: string }\n";
    let check = |from: &str, to: &str, expected: (Class, Option<u64>)| {
        let notes = filled();
        assert_eq!(unsafe_changes(&notes, from, to), [expected], "{to}");
        assert_eq!(notes.json("notes", "n1").unwrap()["text"], "same");
        // Without documents nothing can be lost.
        assert_eq!(unsafe_changes(&TestStore::new(BEFORE), from, to), [], "{to}");
    };
    let confirm = Class::NeedsConfirmation;
    check(text, "", (confirm, Some(2)));
    check(text, "      text: { type: int }\n", (Class::Impossible, Some(2)));
    check(text, "      text: { type: json }\n", (confirm, Some(2)));
    check(text, "      text: { type: string, unique: true }\n", (Class::Impossible, Some(2)));
    check(text, "      text: { type: string }\n      more: { type: int }\n", (Class::Impossible, Some(2)));
    let topic =
        "topic: { type: relation, nullable: true, relation: { collection: topics, onDelete: cascade } }";
    check(topic, "topic: { type: relation, relation: { collection: topics } }", (Class::Impossible, Some(1)));
    let found = unsafe_changes(
        &filled(),
        topic,
        "topic: { type: relation, nullable: true, relation: { collection: users } }",
    );
    assert_eq!(found.last(), Some(&(Class::Impossible, Some(1))), "nobody is called t");
    let notes = filled();
    let without = schema(&BEFORE[..BEFORE.find("  notes:").unwrap()]);
    let report = migrate(&notes.store, "version: 2", &without, Consent::Confirmed).unwrap();
    assert!(report.applied, "{report:#?}");
    assert!(!objects(&notes).contains(&"notes".to_owned()));
    notes.store.integrity_check().wait().unwrap();
}

#[test]
fn a_plan_changes_nothing() {
    let notes = filled();
    let before = (objects(&notes), notes.changes());
    let report = migrate(&notes.store, "version: 2", &schema(AFTER), Consent::Try).unwrap();
    assert!(!report.applied && report.class() == Class::Safe && report.changes.len() > 5, "{report:#?}");
    assert_eq!((objects(&notes), notes.changes()), before);
}

#[test]
fn drift_is_found_and_never_overwritten() {
    let notes = filled();
    notes.sqlite().execute_batch("ALTER TABLE notes ADD COLUMN extra TEXT; CREATE TABLE other (a); DROP INDEX \"_alyx_index.notes.topic\"; CREATE VIEW v AS SELECT 1").unwrap();
    let drift = notes.store.drift().wait().unwrap().join("\n");
    for part in [
        "notes: unknown column extra",
        "other does not belong",
        "missing index _alyx_index.notes.topic",
        "v does not belong",
    ] {
        assert!(drift.contains(part), "{part} is not in {drift}");
    }
    let report = migrate(&notes.store, "version: 2", &schema(AFTER), Consent::Confirmed).unwrap();
    assert!(!report.applied && report.class() == Class::Impossible, "{report:#?}");
    assert!(notes.sqlite().prepare("SELECT extra FROM notes").is_ok(), "it is still there");
}

#[test]
fn the_applied_schema_is_known_after_opening() {
    let notes = filled().reopen();
    assert!(notes.store.applied_schema().wait().unwrap().unwrap().contains("onDelete"));
    notes.delete("topics", "t").unwrap();
    assert_eq!(notes.change_words().split_off(3), ["delete topics/t", "delete notes/n1"]);
}

/// From one valid schema to the next as the daemon does it.
#[test]
fn a_project_grows() {
    let id = "id: { type: id, primary: true, default: auto }";
    let (mut fields, mut collections) = (id.to_owned(), String::new());
    let mut store = TestStore::new(&format!("collections:\n  c: {{ fields: {{ {fields} }} }}\n"));
    let mut count = 0;
    for further in [
        "a: { type: int, nullable: true, index: true }",
        "b: { type: string, default: x, index: true }",
        "d: { type: relation, nullable: true, relation: { collection: users, onDelete: cascade } }",
        "e: { type: relation, nullable: true, relation: { collection: c, onDelete: set_null } }",
        "f: { type: string, nullable: true, unique: true }",
        "g: { type: select, select: { values: [p, q], maxSelect: 2 }, default: [q] }",
        "h: { type: blob, nullable: true }, i: { type: float, default: 1 }, j: { type: json, default: { k: [1] } }",
    ] {
        fields = format!("{fields}, {further}");
        collections.push_str(&format!("  new{count}: {{ fields: {{ {id} }} }}\n"));
        let all = format!("collections:\n  c: {{ fields: {{ {fields} }} }}\n{collections}");
        let next = schema(&all);
        let report = migrate(&store.store, &format!("version: 1\n{all}"), &next, Consent::Safe).unwrap();
        assert!(report.applied, "{report:#?}");
        store.schema = next;
        count += 1;
        store.create("c", &json!({})).unwrap();
        store.create("new0", &json!({})).unwrap();
    }
    let store = store.reopen();
    assert_eq!(store.list("c", &[("count", "true")]).total, Some(count));
    // A document made before the fields were is the same as one made after.
    let docs = store.list("c", &[("sort", "id")]).docs_json;
    let mut docs: Vec<serde_json::Value> = serde_json::from_slice(&docs).unwrap();
    docs.iter_mut().for_each(|doc| drop(doc["id"].take()));
    assert!(docs.windows(2).all(|pair| pair[0] == pair[1]), "{docs:#?}");
}

/// SQLite keeps what it knows of a full-text index; an attempt that is taken back must not spoil the next.
#[test]
fn a_collection_that_is_searched_changes_also_after_attempts_that_were_taken_back() {
    let before = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      text: { type: string, search: true }
      kind: { type: string, default: tea }
      extra: { type: string, nullable: true }
";
    let after = before.replace("      extra: { type: string, nullable: true }\n", "");
    let mut notes = TestStore::new(before);
    let target = schema(&after);
    let finds = |notes: &TestStore, word: &str| notes.list("notes", &[("search", word)]).count;
    for round in 0..3 {
        let body = json!({ "id": format!("n{round}"), "text": format!("word{round}"), "extra": "x" });
        notes.create("notes", &body).unwrap();
        for consent in [Consent::Safe, Consent::Try] {
            let report = migrate(&notes.store, &after, &target, consent).unwrap();
            assert_eq!((report.applied, report.class()), (false, Class::NeedsConfirmation));
        }
        assert_eq!(finds(&notes, &format!("word{round}")), 1);
    }
    assert!(migrate(&notes.store, &after, &target, Consent::Confirmed).unwrap().applied);
    notes.schema = target;
    notes.create("notes", &json!({ "id": "n3", "text": "word3" })).unwrap();
    for round in 0..4 {
        assert_eq!(finds(&notes, &format!("word{round}")), 1);
    }
    // An attempt that touches nothing but the index.
    let more = after.replace("default: tea }", "default: tea, search: true }");
    let target = schema(&more);
    for _ in 0..2 {
        assert!(!migrate(&notes.store, &more, &target, Consent::Try).unwrap().applied);
        assert_eq!(finds(&notes, "word3"), 1);
    }
    assert!(migrate(&notes.store, &more, &target, Consent::Safe).unwrap().applied);
    notes.schema = target;
    assert_eq!((finds(&notes, "tea"), finds(&notes, "word3")), (4, 1));
    let check = "INSERT INTO _alyx_fts_notes (_alyx_fts_notes, rank) VALUES ('integrity-check', 1)";
    notes.sqlite().execute_batch(check).unwrap();
}
