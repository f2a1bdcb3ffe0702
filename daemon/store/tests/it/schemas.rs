//! Schema changes: done as a whole or not at all.

use std::sync::Arc;

use alyx_core::migration::{Change, Class, Step, diff};
use alyx_store::Error;
use serde_json::json;

use crate::support::{TestStore, schema};

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

fn change(step: Step) -> Change {
    Change { class: Class::Safe, description: "a change".to_owned(), step }
}

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

/// All steps from [`BEFORE`] to [`AFTER`] without making a table anew.
fn steps(after: &alyx_core::schema::Schema) -> Vec<Change> {
    let notes = Arc::clone(&after.collections["notes"]);
    let fields = (3..8).map(|field| Step::AddField { collection: Arc::clone(&notes), field });
    let indexes = notes.all_indexes().into_iter().filter(|index| !index.name.ends_with(".topic"));
    let indexes = indexes.map(|index| Step::CreateIndex { collection: Arc::clone(&notes), index });
    fields.chain(indexes).map(change).collect()
}

#[test]
fn added_fields_have_their_defaults() {
    let mut notes = filled();
    let after = schema(AFTER);
    notes.store.apply("version: 1", &after, &steps(&after)).wait().unwrap();
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
}

#[test]
fn a_table_made_anew_keeps_its_documents_and_referrers() {
    let mut notes = filled();
    let after = schema(AFTER);
    let rebuild = |name: &str| {
        let collection = Arc::clone(&after.collections[name]);
        change(Step::Rebuild { collection, reason: "nullable".to_owned() })
    };
    let mut changes = vec![rebuild("notes"), rebuild("topics"), rebuild("users")];
    // What else the difference names is part of the new table already.
    changes.extend(steps(&after));
    changes.push(rebuild("notes"));
    notes.store.apply("version: 1", &after, &changes).wait().unwrap();
    notes.schema = after.clone();
    let n1 = notes.get("notes", "n1").unwrap();
    assert_eq!(notes.json("notes", "n1").unwrap()["topic"], "t");
    assert_eq!(notes.json("notes", "n1").unwrap()["place"], 7);
    let n1 = notes.update("notes", &n1, &json!({"text": null})).unwrap();
    assert_eq!(n1.rev, 2);
    // Foreign keys are in force again.
    let broken = notes.update("notes", &n1, &json!({"topic": "nobody"}));
    assert!(matches!(broken, Err(Error::ForeignKey { .. })), "{broken:?}");
    notes.delete("topics", "t").unwrap();
    assert!(notes.get("notes", "n1").is_none());
    assert!(objects(&notes).contains(&"_alyx_users_email".to_owned()));
}

#[test]
fn a_change_that_fails_leaves_all_as_it_was() {
    let notes = filled();
    let before = (objects(&notes), notes.store.applied_schema().wait().unwrap());
    let after = schema(&AFTER.replace("index: true", "unique: true"));
    let failed = notes.store.apply("version: 2", &after, &steps(&after)).wait();
    assert!(matches!(&failed, Err(Error::UniqueViolation { fields }) if fields == &["text"]), "{failed:?}");
    assert_eq!((objects(&notes), notes.store.applied_schema().wait().unwrap()), before);
    // Neither in memory: the old schema is still the one that counts.
    notes.delete("topics", "t").unwrap();
    assert!(notes.get("notes", "n1").is_none());
}

#[test]
fn a_change_that_may_lose_data_is_refused() {
    let notes = filled();
    let check = |class: Class, step: Step| {
        let change = Change { class, description: "drop it".to_owned(), step };
        let refused = notes.store.apply("version: 2", &notes.schema, &[change]).wait();
        assert!(matches!(refused, Err(Error::Schema { .. })), "{refused:?}");
    };
    check(Class::NeedsConfirmation, Step::None);
    check(Class::Impossible, Step::None);
    check(Class::Safe, Step::DropCollection { collection: "notes".to_owned() });
    check(Class::Safe, Step::DropField { collection: "notes".to_owned(), field: "text".to_owned() });
    assert!(notes.get("notes", "n1").is_some());
}

#[test]
fn a_required_field_can_be_added_to_an_empty_collection_only() {
    let after =
        schema(&BEFORE.replace(
            "      text: { type: string }",
            "      text: { type: string }\n      more: { type: int }",
        ));
    let notes = after.collections["notes"].clone();
    let (field, _) = notes.field("more").unwrap();
    let changes = [change(Step::AddField { collection: notes, field })];
    let filled = filled();
    let refused = filled.store.apply("version: 2", &after, &changes).wait();
    assert!(refused.is_err());
    TestStore::new(BEFORE).store.apply("version: 2", &after, &changes).wait().unwrap();
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
        let changes = diff(Some(&store.schema), &next);
        store.store.apply(&format!("version: 1\n{all}"), &next, &changes).wait().unwrap();
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
