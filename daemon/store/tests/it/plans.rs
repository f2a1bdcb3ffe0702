//! How SQLite goes about what lists ask: by an index, without sorting or reading the whole.

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts, UserIdentity};
use alyx_core::query::{Reading, encode_cursor, parse_list};
use alyx_core::value::Value;
use serde_json::json;

use crate::support::{TestStore, pluck};

const POSTS: &str = "
collections:
  people:
    fields: { id: { type: string, primary: true } }
  posts:
    fields:
      id: { type: string, primary: true }
      author: { type: relation, relation: { collection: people, onDelete: cascade } }
      slug: { type: string, unique: true }
      n: { type: int, index: true }
      m: { type: int, index: true, nullable: true }
      text: { type: text, nullable: true, search: true }
      at: { type: timestamp, default: now, client: true }
    indexes:
      - { name: by_author_at, fields: [author, at], order: desc }
    rules: { read: \"doc.author == auth.id\" }
";

fn user(id: &str) -> Identity {
    Identity::User(UserIdentity {
        id: id.to_owned(),
        email: format!("{id}@example.org"),
        role: "user".to_owned(),
        verified: true,
        session: String::new(),
        metadata: std::sync::Arc::default(),
        scopes: std::sync::Arc::default(),
    })
}

/// The steps of a list by an administrator, or under the rule that an owner sees their own. `after` are
/// the sort keys of the last document of the page before.
fn steps(owner: Option<&str>, params: &[(&str, &str)], after: Option<&[Value]>) -> String {
    let store = TestStore::new(POSTS);
    let catalog = Catalog::build("schema.yaml", store.schema.clone()).unwrap();
    let identity = match owner {
        Some(id) => user(id),
        None => Identity::Admin(alyx_core::identity::AdminIdentity::Peer { uid: 0 }),
    };
    let facts = RequestFacts::default();
    let reading = Reading::new(&catalog, "posts", &identity, &facts).unwrap();
    let mut params: Vec<_> =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut query = parse_list(reading, &params).unwrap();
    if let Some(after) = after {
        params.push(("cursor".to_owned(), encode_cursor(&query, after)));
        query = parse_list(reading, &params).unwrap();
    }
    let rule = query.rule.clone();
    store.store.explain_list(store.collection("posts"), rule, query).wait().unwrap().steps.join("\n")
}

/// One step, which enters this index at this place, and at most the ties of the last key are sorted.
fn enters(steps: &str, index: &str, place: &str) {
    assert!(steps.starts_with(&format!("SEARCH d USING INDEX {index} ({place}")), "{steps}");
    assert!(!steps.contains("SCAN") && !steps.contains("TEMP B-TREE FOR ORDER BY"), "{steps}");
}

#[test]
fn a_document_by_its_id_or_by_a_unique_field_is_looked_up() {
    enters(&steps(None, &[("filter", "id:eq:p1")], None), "sqlite_autoindex_posts_1", "id=?");
    enters(&steps(None, &[("filter", "slug:eq:a")], None), "_alyx_unique.posts.slug", "slug=?");
    enters(&steps(None, &[("where", "{\"slug\":\"a\"}")], None), "_alyx_unique.posts.slug", "slug=?");
    enters(
        &steps(None, &[("filter", "slug:in:a,b"), ("sort", "slug")], None),
        "_alyx_unique.posts.slug",
        "slug=?",
    );
}

#[test]
fn the_list_of_an_owner_reads_what_is_theirs_in_its_order() {
    enters(&steps(Some("ada"), &[("sort", "-at")], None), "by_author_at", "author=?");
    enters(&steps(Some("ada"), &[], None), "_alyx_index.posts.author", "author=?");
    let both = steps(Some("ada"), &[("sort", "-at"), ("filter", "n:gt:5")], None);
    enters(&both, "by_author_at", "author=?");
    let counted = steps(Some("ada"), &[("filter", "author:eq:ada")], None);
    assert!(counted.starts_with("SEARCH d USING INDEX"), "{counted}");
}

#[test]
fn a_page_begins_where_the_one_before_ended() {
    let text = |text: &str| Value::Text(text.to_owned());
    let first = steps(None, &[], None);
    assert_eq!(first, "SCAN d USING INDEX sqlite_autoindex_posts_1", "in order, so it ends with the page");
    enters(&steps(None, &[], Some(&[text("p1")])), "sqlite_autoindex_posts_1", "id>?");
    enters(&steps(None, &[("sort", "-id")], Some(&[text("p1")])), "sqlite_autoindex_posts_1", "id<?");
    let n = [Value::Integer(5), text("p1")];
    enters(&steps(None, &[("sort", "n")], Some(&n)), "_alyx_index.posts.n", "n>?");
    enters(&steps(None, &[("sort", "-n")], Some(&n)), "_alyx_index.posts.n", "n<?");
    enters(&steps(None, &[("sort", "m")], Some(&n)), "_alyx_index.posts.m", "m>?");
    let nulls_last = steps(None, &[("sort", "-m")], Some(&n));
    assert_eq!(nulls_last, "SCAN d USING INDEX _alyx_index.posts.m", "in order, without a sort");
    let at = [text("2026-01-01T00:00:00.000000Z"), text("p1")];
    enters(&steps(Some("ada"), &[("sort", "-at")], Some(&at)), "by_author_at", "author=? AND at<?");
}

#[test]
fn a_search_outlives_a_vacuum_from_outside() {
    let store = TestStore::new(POSTS);
    store.create("people", &json!({ "id": "ada" })).unwrap();
    for number in 0..60 {
        let (id, word) = (format!("p{number:02}"), format!("word{number:02}"));
        let body = json!({ "id": id, "author": "ada", "slug": id, "n": number, "text": word });
        store.create("posts", &body).unwrap();
    }
    for number in (0..60).step_by(3) {
        store.delete("posts", &format!("p{number:02}")).unwrap();
    }
    // Alyx never does it. Rowids stay because every table has the index of its primary key.
    store.sqlite().execute_batch("VACUUM").unwrap();
    let store = store.reopen();
    for number in 0..60 {
        let found = pluck(&store.list("posts", &[("search", &format!("word{number:02}"))]), "id");
        let expected = if number % 3 == 0 { vec![] } else { vec![json!(format!("p{number:02}"))] };
        assert_eq!(found, expected);
    }
    store
        .sqlite()
        .execute_batch("INSERT INTO _alyx_fts_posts (_alyx_fts_posts, rank) VALUES ('integrity-check', 1)")
        .unwrap();
}
