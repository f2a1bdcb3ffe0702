//! Who may do what with a document, against a real store.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts, UserIdentity};
use alyx_core::migration::diff;
use alyx_core::schema::parse;
use alyx_store::{Options, Store};
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Documents;
use crate::auth::UserCache;
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
    store.apply(SCHEMA, &schema, &diff(None, &schema)).await.unwrap();
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::build("schema.yaml", schema).unwrap()));
    Bench { documents: Documents::new(store, catalog, UserCache::default()), _directory: directory }
}

fn user(id: &str) -> Identity {
    Identity::User(UserIdentity {
        id: id.to_owned(),
        email: format!("{id}@example.com"),
        role: "user".to_owned(),
        verified: false,
        session: "s".to_owned(),
    })
}

impl Bench {
    async fn create(&self, who: &Identity, collection: &str, body: Value) -> Result<Value, ApiError> {
        let body = body.to_string();
        let made = self.documents.create(who, &RequestFacts::default(), collection, body.as_bytes()).await?;
        Ok(serde_json::from_slice(&made).unwrap())
    }

    async fn update(&self, who: &Identity, id: &str, body: Value) -> Result<Value, ApiError> {
        let body = body.to_string();
        let made = self.documents.update(who, &RequestFacts::default(), "notes", id, body.as_bytes()).await?;
        Ok(serde_json::from_slice(&made).unwrap())
    }

    async fn get(&self, who: &Identity, id: &str) -> Result<Vec<u8>, ApiError> {
        self.documents.get(who, &RequestFacts::default(), "notes", id).await
    }

    async fn delete(&self, who: &Identity, id: &str) -> Result<(), ApiError> {
        self.documents.delete(who, &RequestFacts::default(), "notes", id).await
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
