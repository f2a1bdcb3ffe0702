//! Deletions that touch others: each has its change, and nothing is touched if one refuses.

use alyx_store::Error;
use serde_json::json;

use crate::support::TestStore;

const FORUM: &str = "
collections:
  rooms:
    fields:
      id: { type: string, primary: true }
      parent: { type: relation, nullable: true, relation: { collection: rooms, onDelete: cascade } }
  threads:
    fields:
      id: { type: string, primary: true }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
  posts:
    fields:
      id: { type: string, primary: true }
      thread: { type: relation, relation: { collection: threads, onDelete: cascade } }
      room: { type: relation, nullable: true, relation: { collection: rooms, onDelete: restrict } }
      answers: { type: relation, nullable: true, relation: { collection: posts, onDelete: set_null } }
      edited: { type: timestamp, default: now, onUpdate: now }
  pins:
    fields:
      id: { type: string, primary: true }
      post: { type: relation, relation: { collection: posts, onDelete: restrict } }
";

fn forum() -> TestStore {
    let forum = TestStore::new(FORUM);
    for (collection, body) in [
        ("rooms", json!({"id": "r1"})),
        ("rooms", json!({"id": "r2", "parent": "r1"})),
        ("threads", json!({"id": "t1", "room": "r2"})),
        ("threads", json!({"id": "t2", "room": "r1"})),
        ("rooms", json!({"id": "r3"})),
        ("threads", json!({"id": "t3", "room": "r3"})),
        ("posts", json!({"id": "p1", "thread": "t1", "room": "r2"})),
        ("posts", json!({"id": "p2", "thread": "t1", "answers": "p1"})),
        ("posts", json!({"id": "p3", "thread": "t3", "answers": "p1", "edited": "2020-01-01T00:00:00Z"})),
    ] {
        forum.create(collection, &body).unwrap();
    }
    forum
}

#[test]
fn everything_that_goes_is_in_the_change_feed() {
    let forum = forum();
    let before = forum.change_words().len();
    forum.delete("rooms", "r1").unwrap();
    let mut words = forum.change_words().split_off(before);
    words.sort();
    let expected = [
        "delete posts/p1",
        "delete posts/p2",
        "delete rooms/r1",
        "delete rooms/r2",
        "delete threads/t1",
        "delete threads/t2",
        "update posts/p3",
    ];
    assert_eq!(words, expected);
    let p3 = forum.json("posts", "p3").unwrap();
    assert_eq!(p3["answers"], json!(null));
    assert_eq!(p3["edited"], crate::support::NOW, "it is an update like any other");
    assert_eq!(forum.get("posts", "p3").unwrap().rev, 2);
    assert!(forum.get("posts", "p1").is_none());
    assert!(forum.get("rooms", "r3").is_some());
}

#[test]
fn a_restricting_document_stops_it_all() {
    let forum = forum();
    forum.create("pins", &json!({"id": "x", "post": "p2"})).unwrap();
    let words = forum.change_words();
    match forum.delete("rooms", "r1") {
        Err(Error::Restricted { collection, field }) => assert_eq!((&*collection, &*field), ("pins", "post")),
        other => panic!("{other:?}"),
    }
    assert_eq!(forum.change_words(), words);
    assert!(forum.get("posts", "p1").is_some());
    forum.delete("pins", "x").unwrap();
    forum.delete("rooms", "r1").unwrap();
}

#[test]
fn a_circle_goes_as_a_whole() {
    let forum = forum();
    let r1 = forum.get("rooms", "r1").unwrap();
    forum.update("rooms", &r1, &json!({"parent": "r2"})).unwrap();
    let r3 = forum.get("rooms", "r3").unwrap();
    forum.update("rooms", &r3, &json!({"parent": "r3"})).unwrap();
    forum.delete("rooms", "r2").unwrap();
    forum.delete("rooms", "r3").unwrap();
    for (collection, id) in [("rooms", "r1"), ("rooms", "r2"), ("rooms", "r3"), ("posts", "p3")] {
        assert_eq!(forum.get(collection, id), None, "{collection}/{id}");
    }
    assert_eq!(forum.list("posts", &[]).count, 0);
}
