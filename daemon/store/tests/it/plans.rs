//! How SQLite goes about what lists ask: by an index, without sorting or reading the whole.

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts, UserIdentity};
use alyx_core::migration::Class;
use alyx_core::query::{Reading, encode_cursor, parse_list};
use alyx_core::value::Value;
use alyx_store::Consent;
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

/// The id breaks ties within the index: nothing is left to sort.
#[test]
fn a_declared_index_gives_the_whole_order() {
    for params in [[("sort", "-at")], [("sort", "at")], [("sort", "-at,-id")]] {
        let found = steps(Some("ada"), &params, None);
        assert_eq!(found, "SEARCH d USING INDEX by_author_at (author=?)", "{params:?}");
    }
    let after = [Value::Text("2026-01-01T00:00:00.000000Z".to_owned()), Value::Text("p1".to_owned())];
    let page = steps(Some("ada"), &[("sort", "-at")], Some(&after));
    assert!(page.contains("by_author_at") && !page.contains("TEMP B-TREE"), "{page}");
}

#[test]
fn an_index_from_before_the_id_was_in_it_is_made_anew() {
    let store = TestStore::new(POSTS);
    let text = format!("version: 1\n{POSTS}");
    store.create("people", &json!({ "id": "ada" })).unwrap();
    store.create("posts", &json!({ "id": "p1", "author": "ada", "slug": "a", "n": 1 })).unwrap();
    let columns = |store: &TestStore| -> String {
        let sql = "SELECT group_concat(name) FROM pragma_index_info('by_author_at')";
        store.sqlite().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let old = "DROP INDEX by_author_at; CREATE INDEX by_author_at ON posts (author DESC, at DESC)";
    store.sqlite().execute_batch(old).unwrap();
    let store = store.reopen();
    let plan = crate::support::migrate(&store.store, &text, &store.schema, Consent::Try).unwrap();
    let words: Vec<_> = plan.changes.iter().map(|change| change.description.as_str()).collect();
    assert_eq!(words, ["make the index by_author_at anew, with the id behind its fields"]);
    assert_eq!(
        (plan.class(), columns(&store).as_str()),
        (Class::Safe, "author,at"),
        "a plan changes nothing"
    );
    let report = crate::support::migrate(&store.store, &text, &store.schema, Consent::Safe).unwrap();
    assert!(report.applied);
    assert_eq!(columns(&store), "author,at,id");
    assert_eq!(store.store.drift().wait().unwrap(), Vec::<String>::new());
    let again = crate::support::migrate(&store.store, &text, &store.schema, Consent::Safe).unwrap();
    assert_eq!(again.changes, Vec::new());
    assert_eq!(store.json("posts", "p1").unwrap()["n"], 1);
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
