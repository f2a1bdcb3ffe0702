//! Create, get, update, delete, and what the database refuses.

use alyx_store::Error;
use serde_json::json;

use crate::support::{ACTOR, NOW, TestStore};

const BLOG: &str = "
collections:
  authors:
    fields:
      id: { type: string, primary: true }
      name: { type: string }
  posts:
    fields:
      id: { type: string, primary: true }
      slug: { type: string, unique: true, nullable: true }
      author: { type: relation, relation: { collection: authors, onDelete: restrict } }
      editor: { type: relation, nullable: true, relation: { collection: authors, onDelete: set_null } }
      section: { type: string, default: news }
      place: { type: int, default: 0 }
      score: { type: float, nullable: true }
      live: { type: bool, default: false }
      extra: { type: json, nullable: true }
      raw: { type: blob, nullable: true }
      secret: { type: string, nullable: true, internal: true }
      updated_at: { type: timestamp, default: now, onUpdate: now }
    indexes:
      - { name: one_per_place, fields: [section, place, author], unique: true }
";

fn blog() -> TestStore {
    let blog = TestStore::new(BLOG);
    blog.create("authors", &json!({"id": "ada", "name": "Ada"})).unwrap();
    blog
}

#[test]
fn a_document_comes_back_as_it_was_stored() {
    let blog = blog();
    let body = json!({
        "id": "p1", "slug": "a", "author": "ada", "place": i64::MAX, "score": 0.1, "live": true,
        "extra": {"b": [1, null, "\u{1F600}"]}, "raw": "AAEC/w==", "secret": "s",
    });
    let created = blog.create("posts", &body).unwrap();
    assert_eq!(created.rev, 1);
    let blog = blog.reopen();
    assert_eq!(blog.get("posts", "p1").unwrap(), created);
    let found = blog.json("posts", "p1").unwrap();
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&found[field], value, "{field}");
    }
    assert_eq!(found["updated_at"], NOW);
    assert_eq!(found["editor"], json!(null));
    assert_eq!(blog.get("posts", "p2"), None);
}

#[test]
fn every_write_leaves_its_change() {
    let blog = blog();
    let post = blog.create("posts", &json!({"id": "p1", "author": "ada", "secret": "s"})).unwrap();
    let post = blog.update("posts", &post, &json!({"place": 2})).unwrap();
    assert_eq!(post.rev, 2);
    blog.delete("posts", "p1").unwrap();

    let changes = blog.changes();
    let words: Vec<_> = changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(words, ["create authors/ada", "create posts/p1", "update posts/p1", "delete posts/p1"]);
    assert!(changes.iter().all(|change| change.identity == ACTOR));
    assert!(changes.iter().map(|change| change.seq).eq(1..=4));
    assert_eq!(changes[1].before, None);
    assert_eq!(changes[1].after, changes[2].before);
    assert_eq!(changes[2].after.as_ref().unwrap()["place"], 2);
    assert_eq!(changes[2].after.as_ref().unwrap()["secret"], "s", "the feed is complete");
    assert_eq!(changes[2].after, changes[3].before);
    assert_eq!(changes[3].after, None);
    assert_eq!(blog.store.change_count().wait().unwrap(), 4);
}

#[test]
fn a_duplicate_names_its_fields() {
    let blog = blog();
    blog.create("posts", &json!({"id": "p1", "slug": "a", "author": "ada"})).unwrap();
    let check = |body: serde_json::Value, expected: &[&str]| {
        let Err(Error::UniqueViolation { fields }) = blog.create("posts", &body) else {
            panic!("{body} was accepted or failed otherwise");
        };
        assert_eq!(fields, expected, "{body}");
    };
    check(json!({"id": "p1", "author": "ada", "place": 1}), &["id"]);
    check(json!({"id": "p2", "author": "ada", "place": 1, "slug": "a"}), &["slug"]);
    check(json!({"id": "p2", "author": "ada"}), &["section", "place", "author"]);
    blog.create("posts", &json!({"id": "p2", "author": "ada", "place": 1})).unwrap();
    blog.create("posts", &json!({"id": "p3", "author": "ada", "place": 2})).unwrap();
    assert_eq!(blog.change_words().len(), 4, "a refused write leaves no change");
}

#[test]
fn a_reference_to_nothing_names_its_field() {
    let blog = blog();
    let check = |result: Result<_, Error>, expected: &[&str]| match result {
        Err(Error::ForeignKey { fields }) => assert_eq!(fields, expected),
        other => panic!("{other:?}"),
    };
    check(blog.create("posts", &json!({"id": "p1", "author": "bob"})), &["author"]);
    check(
        blog.create("posts", &json!({"id": "p1", "author": "bob", "editor": "eve"})),
        &["author", "editor"],
    );
    let post = blog.create("posts", &json!({"id": "p1", "author": "ada"})).unwrap();
    check(blog.update("posts", &post, &json!({"editor": "eve"})), &["editor"]);
    assert_eq!(blog.get("posts", "p1").unwrap(), post);
}

#[test]
fn a_write_to_another_revision_is_stale() {
    let blog = blog();
    let first = blog.create("posts", &json!({"id": "p1", "author": "ada"})).unwrap();
    let second = blog.update("posts", &first, &json!({"place": 1})).unwrap();
    let again = blog.update("posts", &first, &json!({"place": 2}));
    assert!(matches!(again, Err(Error::Stale)), "{again:?}");
    let posts = blog.collection("posts");
    let gone = blog.store.delete(posts.clone(), "p1".to_owned(), first.rev, ACTOR.to_owned()).wait();
    assert!(matches!(gone, Err(Error::Stale)), "{gone:?}");
    assert_eq!(blog.get("posts", "p1").unwrap(), second);
    let missing = blog.store.delete(posts.clone(), "p9".to_owned(), 1, ACTOR.to_owned()).wait();
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    let missing = blog.store.update(posts, "p9".to_owned(), 1, first, ACTOR.to_owned()).wait();
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
}

#[test]
fn an_update_cannot_move_a_document() {
    let blog = blog();
    let post = blog.create("posts", &json!({"id": "p1", "author": "ada"})).unwrap();
    let mut moved = post.clone();
    moved.values[0] = alyx_core::value::Value::Text("p2".to_owned());
    let kept = blog
        .store
        .update(blog.collection("posts"), "p1".to_owned(), 1, moved, ACTOR.to_owned())
        .wait()
        .unwrap();
    assert_eq!(blog.id("posts", &kept), "p1");
    assert_eq!(blog.get("posts", "p2"), None);
}

#[test]
fn names_are_only_names() {
    let store = TestStore::new(
        "
collections:
  order:
    fields:
      select: { type: string, primary: true }
      group: { type: string, index: true, nullable: true }
      by-line: { type: int, default: 1, unique: true }
      rowid: { type: string, default: r }
      where: { type: relation, nullable: true, relation: { collection: from-here, onDelete: cascade } }
  from-here:
    fields:
      table: { type: string, primary: true }
    indexes:
      - { name: index, fields: [table], order: desc }
  index_order:
    fields:
      id: { type: string, primary: true }
",
    );
    store.create("from-here", &json!({"table": "a'; DROP TABLE \"order\"; --"})).unwrap();
    let order = store
        .create(
            "order",
            &json!({"select": "\"x\"", "group": "\u{1F600}", "where": "a'; DROP TABLE \"order\"; --"}),
        )
        .unwrap();
    let order = store.update("order", &order, &json!({"by-line": 7, "rowid": "s"})).unwrap();
    assert_eq!(store.get("order", "\"x\"").unwrap(), order);
    let page = store.list(
        "order",
        &[
            ("filter", "group:eq:\u{1F600}"),
            ("filter", "by-line:gt:3"),
            ("sort", "-rowid,by-line"),
            ("count", "true"),
        ],
    );
    assert_eq!((page.count, page.total), (1, Some(1)));
    store.delete("from-here", "a'; DROP TABLE \"order\"; --").unwrap();
    assert_eq!(store.get("order", "\"x\""), None);
}
