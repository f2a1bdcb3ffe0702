//! Who may do what with a document, against a real store.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts, UserIdentity};
use alyx_core::schema::parse;
use alyx_store::{Consent, Migration, Options, Store};
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Documents, Precondition};
use crate::hooks::WaitedHooks;
use crate::problem::ApiError;

const SCHEMA: &str = r#"version: 1
collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
      text: { type: string, maxLength: 10 }
    rules:
      create: "auth.id != null && doc.owner == auth.id"
      read: "doc.owner == auth.id"
      update: "old.owner == auth.id && doc.owner == old.owner"
      delete: "old.owner == auth.id"
  people:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
      pay: { type: int, default: 0, rules: { read: "doc.owner == auth.id", write: "old.id != null && auth.role == 'clerk'" } }
      rank: { type: int, nullable: true, rules: { read: "auth.role == 'clerk'", write: "doc.rank > old.rank || old.rank == null" } }
    rules:
      create: "true"
      read: "true"
      update: "auth.id != null"
  members:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
      person: { type: string }
      until: { type: int, nullable: true }
  rooms:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
    rules:
      create: "doc.owner == auth.id && request.body.owner == auth.id"
      read: "doc.owner == auth.id || collection('members').exists(m, m.room == doc.id && m.person == auth.id)"
  messages:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
      text: { type: string, rules: { read: "collection('rooms').get(doc.room).owner == auth.id" } }
    rules:
      create: "auth.id != null && collection('members').exists(m, m.room == doc.room && m.person == auth.id)"
      read: "collection('members').exists(m, m.room == doc.room && m.person == auth.id && m.until > 0)"
      delete: "!collection('members').exists(m, m.room == old.room && m.until > 0)"
  scanned:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
      n: { type: int }
    rules:
      create: "true"
      read: { rule: "doc.owner == auth.id && doc.owner.matches('^a') && doc.n % 3 == 0", post_filter: true }
  locked:
    fields:
      id: { type: id, primary: true, default: auto }
"#;

struct Bench {
    documents: Documents,
    _directory: TempDir,
}

async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(directory.path().join("data.db"))).unwrap();
    let schema = parse("schema.yaml", SCHEMA).unwrap();
    let migration = Migration {
        text: SCHEMA.to_owned(),
        schema: Arc::new(schema.clone()),
        files: Vec::new(),
        consent: Consent::Safe,
        backup: None,
        undo: None,
    };
    assert!(store.migrate(migration).await.unwrap().applied);
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::build("schema.yaml", schema).unwrap()));
    Bench { documents: Documents::new(store, catalog, WaitedHooks::default()), _directory: directory }
}

fn user(id: &str) -> Identity {
    Identity::User(UserIdentity {
        id: id.to_owned(),
        email: format!("{id}@example.com"),
        role: "user".to_owned(),
        verified: false,
        session: "s".to_owned(),
        metadata: Arc::default(),
        scopes: Arc::default(),
    })
}

fn clerk(id: &str) -> Identity {
    match user(id) {
        Identity::User(user) => Identity::User(UserIdentity { role: "clerk".to_owned(), ..user }),
        other => other,
    }
}

impl Bench {
    async fn create(&self, who: &Identity, collection: &str, body: Value) -> Result<Value, ApiError> {
        let body = body.to_string();
        let made =
            self.documents.create(who, &RequestFacts::default(), collection, body.as_bytes(), None).await?;
        Ok(serde_json::from_slice(&made.json).unwrap())
    }

    async fn update(&self, who: &Identity, id: &str, body: Value) -> Result<Value, ApiError> {
        let body = body.to_string();
        let made = self
            .documents
            .update(who, &RequestFacts::default(), "notes", id, body.as_bytes(), Precondition::None)
            .await?;
        Ok(serde_json::from_slice(&made.json).unwrap())
    }

    async fn get(&self, who: &Identity, id: &str) -> Result<Vec<u8>, ApiError> {
        self.documents.get(who, &RequestFacts::default(), "notes", id, &[]).await
    }

    async fn delete(&self, who: &Identity, id: &str) -> Result<(), ApiError> {
        self.documents.delete(who, &RequestFacts::default(), "notes", id, Precondition::None).await
    }

    async fn list(&self, who: &Identity, collection: &str) -> Result<Value, ApiError> {
        let count = [("count".to_owned(), "true".to_owned())];
        let page = self.documents.list(who, &RequestFacts::default(), collection, &count).await?;
        Ok(serde_json::from_slice(&page).unwrap())
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>, status: u16, code: &str) {
    let error = outcome.expect_err("it was allowed");
    assert_eq!((error.problem().status, error.problem().code.as_str()), (status, code));
}

#[tokio::test]
async fn m03_fields_are_seen_and_asked_about_as_their_read_rules_say() {
    let (bench, ada, bob) = (bench().await, user("ada"), user("bob"));
    let clerk = clerk("eve");
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    let made = bench.create(&ada, "people", json!({ "owner": "ada", "rank": 3 })).await.unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let (whole, owners, clerks, others) = (
        json!({ "id": id, "owner": "ada", "pay": 0, "rank": 3 }),
        json!({ "id": id, "owner": "ada", "pay": 0 }),
        json!({ "id": id, "owner": "ada", "rank": 3 }),
        json!({ "id": id, "owner": "ada" }),
    );
    assert_eq!(made, owners, "the answer to a creation is no way round");
    let all = [
        (&admin, whole),
        (&ada, owners),
        (&clerk, clerks),
        (&bob, others.clone()),
        (&Identity::Anonymous, others),
    ];
    for (who, expected) in all {
        let got = bench.documents.get(who, &RequestFacts::default(), "people", &id, &[]).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&got).unwrap(), expected, "{}", who.label());
        assert_eq!(bench.list(who, "people").await.unwrap()["docs"], json!([expected]), "{}", who.label());
    }
    // A field that only some documents show cannot be asked about, and says the same as one that is not.
    let ask = async |who: &Identity, param: &str, value: &str| {
        let params = [(param.to_owned(), value.to_owned())];
        bench.documents.list(who, &RequestFacts::default(), "people", &params).await
    };
    let text = async |who, param, value: &str, field: &str| {
        format!("{:?}", ask(who, param, value).await.unwrap_err().problem()).replace(field, "FIELD")
    };
    let unknown = (text(&bob, "filter", "nope:eq:1", "nope").await, text(&bob, "sort", "nope", "nope").await);
    for (who, field) in [(&ada, "pay"), (&bob, "pay"), (&ada, "rank")] {
        assert_eq!(text(who, "filter", &format!("{field}:eq:1"), field).await, unknown.0);
        assert_eq!(text(who, "sort", field, field).await, unknown.1);
    }
    assert!(ask(&clerk, "filter", "rank:eq:3").await.is_ok() && ask(&admin, "sort", "pay").await.is_ok());
    assert!(ask(&bob, "fields", "rank").await.is_err());
    let selected = ask(&bob, "fields", "pay").await.unwrap();
    assert!(selected.starts_with(b"{\"docs\":[{}]"), "{}", String::from_utf8_lossy(&selected));
}

#[tokio::test]
async fn fields_are_set_as_their_write_rules_say() {
    let (bench, ada) = (bench().await, user("ada"));
    let clerk = clerk("eve");
    refused(
        bench.create(&clerk, "people", json!({ "owner": "a", "pay": 0 })).await,
        422,
        "validation_failed",
    );
    let made = bench.create(&ada, "people", json!({ "owner": "ada" })).await.unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let set = async |who: &Identity, body: Value| {
        bench
            .documents
            .update(
                who,
                &RequestFacts::default(),
                "people",
                &id,
                body.to_string().as_bytes(),
                Precondition::None,
            )
            .await
    };
    let problem = set(&ada, json!({ "owner": "x", "pay": 0 })).await.unwrap_err();
    let errors = format!("{:?}", problem.problem());
    assert!(errors.contains("field_not_writable") && errors.contains("pay"), "{errors}");
    set(&clerk, json!({ "pay": 7 })).await.unwrap();
    set(&ada, json!({ "rank": 2 })).await.unwrap();
    // Naming the value it has is refused like any other, so a value cannot be guessed.
    for rank in [1, 2] {
        refused(set(&ada, json!({ "rank": rank })).await, 422, "validation_failed");
    }
    set(&ada, json!({ "rank": 3 })).await.unwrap();
    // Comparing with null fails, which denies.
    refused(set(&ada, json!({ "rank": null })).await, 422, "validation_failed");
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    let kept = set(&admin, json!({ "rank": 1 })).await.unwrap();
    let kept: Value = serde_json::from_slice(&kept.json).unwrap();
    assert_eq!((&kept["owner"], &kept["pay"], &kept["rank"]), (&json!("ada"), &json!(7), &json!(1)));
}

#[tokio::test]
async fn owners_and_nobody_else() {
    let (bench, ada, bob, nobody) = (bench().await, user("ada"), user("bob"), Identity::Anonymous);
    let note = bench.create(&ada, "notes", json!({ "owner": "ada", "text": "hi" })).await.unwrap();
    let id = note["id"].as_str().unwrap();
    refused(bench.create(&bob, "notes", json!({ "owner": "ada", "text": "hi" })).await, 403, "forbidden");
    refused(
        bench.create(&nobody, "notes", json!({ "owner": "ada", "text": "x" })).await,
        401,
        "unauthenticated",
    );

    for stranger in [&bob, &nobody] {
        refused(bench.get(stranger, id).await, 404, "document_not_found");
        refused(bench.update(stranger, id, json!({ "text": "mine" })).await, 404, "document_not_found");
        // A wrong body does not tell that the document is there either.
        refused(bench.update(stranger, id, json!({ "zzz": 1 })).await, 404, "document_not_found");
        refused(bench.update(stranger, "missing", json!({ "zzz": 1 })).await, 404, "document_not_found");
        refused(bench.delete(stranger, id).await, 404, "document_not_found");
        assert_eq!(
            bench.list(stranger, "notes").await.unwrap(),
            json!({ "docs": [], "limit": 30, "total": 0 })
        );
    }
    assert_eq!(bench.list(&ada, "notes").await.unwrap()["total"], 1);
    refused(bench.update(&ada, id, json!({ "text": "far too long" })).await, 422, "validation_failed");
    assert_eq!(bench.update(&ada, id, json!({ "text": "new" })).await.unwrap()["text"], "new");
    bench.delete(&ada, id).await.unwrap();
    refused(bench.get(&ada, id).await, 404, "document_not_found");
}

#[tokio::test]
async fn m01_membership_in_another_collection_decides_in_memory_and_in_lists() {
    let (bench, ada, bob, eve) = (bench().await, user("ada"), user("bob"), user("eve"));
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    let room = bench.create(&ada, "rooms", json!({ "owner": "ada" })).await.unwrap();
    let room = room["id"].as_str().unwrap();
    let member = async |person: &str, until: Value| {
        let body = json!({ "room": room, "person": person, "until": until });
        bench.create(&admin, "members", body).await.unwrap();
    };
    member("ada", json!(1)).await;
    let write =
        async |who: &Identity| bench.create(who, "messages", json!({ "room": room, "text": "hi" })).await;
    refused(write(&bob).await, 403, "forbidden");
    refused(write(&Identity::Anonymous).await, 401, "unauthenticated");
    let message = write(&ada).await.unwrap();
    let id = message["id"].as_str().unwrap().to_owned();
    assert_eq!(message["text"], "hi");
    let sees = async |who: &Identity| {
        let found = bench.documents.get(who, &RequestFacts::default(), "messages", &id, &[]).await;
        let rooms = bench.list(who, "rooms").await.unwrap()["total"].as_u64();
        let listed = bench.list(who, "messages").await.unwrap();
        assert_eq!(listed["total"], u64::from(found.is_ok()), "{}", who.label());
        let alone = found.map(|text| serde_json::from_slice::<Value>(&text).unwrap()).unwrap_or_default();
        if !alone.is_null() {
            assert_eq!(listed["docs"], json!([alone]));
        }
        (alone, rooms)
    };
    assert_eq!(sees(&ada).await, (message.clone(), Some(1)));
    assert_eq!(sees(&bob).await, (Value::Null, Some(0)));
    member("bob", json!(2)).await;
    // The text is the room owner's alone.
    assert_eq!(sees(&bob).await, (json!({ "id": id, "room": room }), Some(1)));
    // A membership of which the condition fails does not count, and its opposite fails as well.
    member("eve", Value::Null).await;
    assert_eq!(sees(&eve).await, (Value::Null, Some(1)));
    let delete = async || {
        bench.documents.delete(&ada, &RequestFacts::default(), "messages", &id, Precondition::None).await
    };
    refused(delete().await, 404, "document_not_found");
}

#[tokio::test]
async fn m04_the_opposite_of_a_lookup_that_fails_denies() {
    let (bench, ada) = (bench().await, user("ada"));
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    let room = bench.create(&ada, "rooms", json!({ "owner": "ada" })).await.unwrap();
    let make = async |collection: &str, body: Value| bench.create(&admin, collection, body).await.unwrap();
    let message = make("messages", json!({ "room": room["id"], "text": "x" })).await;
    make("members", json!({ "room": room["id"], "person": "x", "until": null })).await;
    let id = message["id"].as_str().unwrap();
    let outcome =
        bench.documents.delete(&ada, &RequestFacts::default(), "messages", id, Precondition::None).await;
    refused(outcome, 404, "document_not_found");
}

#[tokio::test]
async fn a_post_filter_pages_counts_and_skips_like_any_rule() {
    let (bench, ada, bob) = (bench().await, user("ada"), user("bob"));
    for n in 0..20 {
        for owner in ["ada", "bob"] {
            bench.create(&ada, "scanned", json!({ "owner": owner, "n": n })).await.unwrap();
        }
    }
    assert_eq!(bench.list(&bob, "scanned").await.unwrap()["total"], 0, "bob does not begin with a");
    let expected: Vec<i64> = (0..20).filter(|n| n % 3 == 0).collect();
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut params: Vec<(String, String)> = [("limit", "2"), ("sort", "n"), ("count", "true")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into();
        params.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
        let page = bench.documents.list(&ada, &RequestFacts::default(), "scanned", &params).await.unwrap();
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["total"], expected.len());
        found.extend(page["docs"].as_array().unwrap().iter().map(|doc| doc["n"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(found, expected);
    let skipped = [("offset".to_owned(), "3".to_owned()), ("sort".to_owned(), "-n".to_owned())];
    let page = bench.documents.list(&ada, &RequestFacts::default(), "scanned", &skipped).await.unwrap();
    let page: Value = serde_json::from_slice(&page).unwrap();
    assert_eq!(page["docs"][0]["n"], 9);
}

#[tokio::test]
async fn an_update_cannot_give_a_document_away_or_take_it() {
    let (bench, ada, bob) = (bench().await, user("ada"), user("bob"));
    let note = bench.create(&ada, "notes", json!({ "owner": "ada", "text": "hi" })).await.unwrap();
    let id = note["id"].as_str().unwrap();
    refused(bench.update(&ada, id, json!({ "owner": "bob" })).await, 404, "document_not_found");
    refused(bench.update(&bob, id, json!({ "owner": "bob" })).await, 404, "document_not_found");
    assert!(bench.get(&ada, id).await.is_ok());
}

#[tokio::test]
async fn a_missing_rule_denies_everyone_but_administrators() {
    let (bench, ada) = (bench().await, user("ada"));
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    refused(bench.create(&ada, "locked", json!({})).await, 403, "forbidden");
    refused(bench.list(&ada, "locked").await, 403, "forbidden");
    refused(bench.list(&Identity::Anonymous, "locked").await, 401, "unauthenticated");
    bench.create(&admin, "locked", json!({})).await.unwrap();
    assert_eq!(bench.list(&admin, "locked").await.unwrap()["total"], 1);
}

#[tokio::test]
async fn a_function_has_the_rights_of_its_caller() {
    let (bench, ada) = (bench().await, user("ada"));
    let acting_for = |who: Identity| Identity::Function { name: "f".to_owned(), on_behalf_of: Box::new(who) };
    let body = json!({ "owner": "ada", "text": "hi" });
    bench.create(&acting_for(ada), "notes", body.clone()).await.unwrap();
    refused(bench.create(&acting_for(user("bob")), "notes", body.clone()).await, 403, "forbidden");
    refused(bench.create(&acting_for(Identity::Anonymous), "notes", body).await, 401, "unauthenticated");
}

#[tokio::test]
async fn accounts_and_unknown_collections_are_not_created_here() {
    let bench = bench().await;
    let admin = Identity::Admin(AdminIdentity::Peer { uid: 0 });
    refused(bench.create(&admin, "users", json!({ "email": "a@example.com" })).await, 403, "forbidden");
    refused(bench.create(&admin, "nope", json!({})).await, 404, "collection_not_found");
    refused(bench.create(&admin, "_alyx_sessions", json!({})).await, 404, "collection_not_found");
}
