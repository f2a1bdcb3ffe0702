//! Replacing, versions, operators, upserts, bulk writes, batches and keys of requests that come twice.

use alyx_tests::{Answer, Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1
collections:
  rooms:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      name: { type: string, nullable: true }
    rules: { create: 'auth.id != null', read: 'true', update: 'auth.id != null', delete: 'auth.id != null' }
  members:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      user: { type: string }
    rules: { create: 'auth.id != null', read: 'true', delete: 'auth.id != null' }
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
      slug: { type: string, unique: true, nullable: true }
      text: { type: string, maxLength: 10, nullable: true }
      views: { type: int, default: 0 }
      room: { type: relation, nullable: true, relation: { collection: rooms, onDelete: cascade } }
    rules:
      create: 'auth.id != null && doc.owner == auth.id'
      read: 'true'
      update: 'old.owner == auth.id && doc.owner == old.owner'
      delete: 'old.owner == auth.id'
";

async fn server() -> TestServer {
    TestServer::start(Project::schema(SCHEMA)).await
}

async fn with(
    client: &Client,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Answer {
    let token = format!("Bearer {}", client.token());
    let mut all = vec![("authorization", token.as_str()), ("content-type", "application/json")];
    all.extend_from_slice(headers);
    client.raw(method, path, &all, body.map_or(Vec::new(), |body| body.to_string().into_bytes())).await
}

async fn note(client: &Client, slug: &str) -> alyx_tests::Document {
    client.create("notes", json!({ "owner": client.id(), "slug": slug })).await.expect_created()
}

#[tokio::test]
async fn versions_guard_writes_and_spare_answers() {
    let server = server().await;
    let ada = server.user("ada").await;
    let made = ada.create("notes", json!({ "owner": ada.id() })).await.expect_status(201);
    let tag = made.header("etag").expect("a version").to_owned();
    let path = format!("/api/collections/notes/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(path.as_str()));
    let got = ada.get_path(&path).await.expect_status(200);
    assert_eq!(got.header("etag"), Some(tag.as_str()));
    let seen = with(&ada, Method::GET, &path, &[("if-none-match", &tag)], None).await.expect_status(304);
    assert!(seen.body.is_empty());

    let change = json!({ "text": "a" });
    let changed = with(&ada, Method::PATCH, &path, &[("if-match", &tag)], Some(change.clone())).await;
    let changed = changed.expect_status(200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    let stale = with(&ada, Method::PATCH, &path, &[("if-match", &tag)], Some(change)).await;
    stale.expect_error(412, "precondition_failed");
    let stale = with(&ada, Method::DELETE, &path, &[("if-match", &tag)], None).await;
    stale.expect_error(412, "precondition_failed");
    let minimal = [("prefer", "return=minimal")];
    let answer = with(&ada, Method::PATCH, &path, &minimal, Some(json!({ "text": "b" }))).await;
    let answer = answer.expect_status(204);
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
    server.stop().await;
}

#[tokio::test]
async fn of_two_who_saw_the_same_version_one_writes() {
    let server = server().await;
    let ada = server.user("ada").await;
    let id = note(&ada, "a").await.id().to_owned();
    let path = format!("/api/collections/notes/{id}");
    let tag = ada.get_path(&path).await.header("etag").unwrap().to_owned();
    let headers = [("if-match", tag.as_str())];
    let (one, two) = tokio::join!(
        with(&ada, Method::PATCH, &path, &headers, Some(json!({ "text": "one" }))),
        with(&ada, Method::PATCH, &path, &headers, Some(json!({ "text": "two" }))),
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    server.stop().await;
}

#[tokio::test]
async fn increments_at_once_are_all_counted() {
    let server = server().await;
    let ada = server.user("ada").await;
    let id = note(&ada, "a").await.id().to_owned();
    let rounds = if std::env::var_os("ALYX_LONG").is_some() { 1_000 } else { 100 };
    let tasks = [(); 2].map(|()| {
        let (ada, id) = (ada.clone(), id.clone());
        tokio::spawn(async move {
            for _ in 0..rounds {
                ada.patch("notes", &id, json!({ "views": { "$inc": 1 } })).await.expect_document();
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(ada.get("notes", &id).await.expect_document().0["views"], rounds * 2);
    server.stop().await;
}

#[tokio::test]
async fn a_replacement_is_whole_and_creates_where_clients_choose_ids() {
    let server = server().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let made = note(&ada, "a").await;
    let path = format!("/api/collections/notes/{}", made.id());
    let put = |client: Client, path: String, headers: Vec<(&'static str, &'static str)>, body: Value| async move {
        with(&client, Method::PUT, &path, &headers, Some(body)).await
    };
    let replaced = put(ada.clone(), path.clone(), vec![], json!({ "owner": ada.id() })).await.expect_ok();
    assert_eq!((&replaced["slug"], &replaced["views"]), (&Value::Null, &json!(0)));
    put(bob.clone(), path, vec![], json!({ "owner": bob.id() }))
        .await
        .expect_error(404, "document_not_found");
    let absent = "/api/collections/notes/none".to_owned();
    put(ada.clone(), absent, vec![], json!({ "owner": ada.id() }))
        .await
        .expect_error(404, "document_not_found");

    let room = "/api/collections/rooms/lobby".to_owned();
    put(ada.clone(), room.clone(), vec![("if-match", "*")], json!({}))
        .await
        .expect_error(412, "precondition_failed");
    put(ada.clone(), room.clone(), vec![], json!({ "name": "x" })).await.expect_status(201);
    put(ada.clone(), room.clone(), vec![("if-none-match", "*")], json!({}))
        .await
        .expect_error(412, "precondition_failed");
    let problem = put(ada.clone(), room, vec![], json!({ "id": "other" })).await;
    assert_eq!(problem.expect_error(422, "validation_failed").errors[0].field, "id");
    server.stop().await;
}

#[tokio::test]
async fn an_upsert_creates_or_changes() {
    let server = server().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let upsert = |client: Client, body: Value| async move {
        client.post("/api/collections/notes?upsert=slug", body).await
    };
    let body = json!({ "owner": ada.id(), "slug": "a", "text": "1" });
    let made = upsert(ada.clone(), body).await.expect_created();
    let again = upsert(ada.clone(), json!({ "slug": "a", "views": { "$inc": 2 } })).await.expect_document();
    assert_eq!((again.id(), &again.0["views"], &again.0["text"]), (made.id(), &json!(2), &json!("1")));
    let problem = upsert(bob.clone(), json!({ "owner": bob.id(), "slug": "a" })).await;
    problem.expect_error(409, "unique_violation");
    upsert(ada.clone(), json!({ "owner": ada.id() })).await.expect_error(422, "validation_failed");
    let wrong = ada.post("/api/collections/notes?upsert=text", json!({ "owner": ada.id() })).await;
    wrong.expect_error(400, "invalid_parameter");
    server.stop().await;
}

#[tokio::test]
async fn a_bulk_write_is_all_or_nothing() {
    let server = server().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    for slug in ["a", "b", "c"] {
        note(&ada, slug).await;
    }
    note(&bob, "d").await;
    let patch = |query: &'static str, body: Value| {
        let ada = ada.clone();
        async move {
            ada.send(Method::PATCH, &format!("/api/collections/notes?{query}"), Some(body.to_string())).await
        }
    };
    let views = json!({ "views": { "$inc": 1 } });
    patch("filter=views:eq:0", views.clone()).await.expect_error(400, "invalid_parameter");
    patch("limit=10", views.clone()).await.expect_error(400, "invalid_parameter");
    patch("filter=views:eq:0&limit=10", views.clone()).await.expect_error(403, "forbidden");
    let dry = patch("filter=slug:in:a,b,c&limit=2&dry_run=true", views.clone()).await.expect_ok();
    assert_eq!(dry, json!({ "count": 2, "more": true, "dry_run": true }));
    let untouched = ada.list("notes", "filter=views:eq:0&count=true").await.expect_ok();
    assert_eq!(untouched["total"], 4);
    let done = patch("filter=slug:in:a,b,c&limit=10", views).await.expect_ok();
    assert_eq!(done, json!({ "count": 3, "more": false, "dry_run": false }));
    let invalid = patch("filter=slug:in:a,b&limit=10", json!({ "text": "far too long" })).await;
    invalid.expect_error(422, "validation_failed");
    let gone = ada.send(Method::DELETE, "/api/collections/notes?filter=views:eq:1&limit=10", None).await;
    assert_eq!(gone.expect_ok()["count"], 3);
    assert_eq!(ada.list("notes", "count=true").await.expect_ok()["total"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_batch_refers_to_itself_and_fails_whole() {
    let server = server().await;
    let ada = server.user("ada").await;
    let operations = |last: Value| {
        json!({ "operations": [
            { "name": "room", "op": "create", "collection": "rooms", "data": { "name": "r" } },
            { "name": "note", "op": "create", "collection": "notes",
              "data": { "owner": ada.id(), "room": { "$ref": "room.id" } } },
            { "op": "update", "collection": "notes", "id": { "$ref": "note.id" },
              "data": { "views": { "$inc": 5 } } },
            last,
        ] })
    };
    let failing = json!({ "name": "bad", "op": "delete", "collection": "notes", "id": "none" });
    let problem = ada.post("/api/batch", operations(failing)).await.expect_error(404, "document_not_found");
    assert_eq!(problem.details, Some(json!({ "operation": 3, "name": "bad" })));
    let dangling = json!({ "op": "delete", "collection": "notes", "id": { "$ref": "nope.id" } });
    ada.post("/api/batch", operations(dangling)).await.expect_error(422, "validation_failed");
    assert!(ada.list("rooms", "").await.expect_docs().is_empty());
    assert!(ada.list("notes", "").await.expect_docs().is_empty());

    let last = json!({ "op": "upsert", "collection": "notes", "field": "slug",
        "data": { "owner": ada.id(), "slug": "s" } });
    let results = ada.post("/api/batch", operations(last)).await.expect_ok();
    let statuses: Vec<_> = results["results"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!(201), &json!(201), &json!(200), &json!(201)]);
    assert_eq!(results["results"][2]["doc"]["room"], results["results"][0]["id"]);
    assert_eq!(results["results"][2]["doc"]["views"], 5);
    server.stop().await;
}

#[tokio::test]
async fn a_key_makes_a_request_be_done_once() {
    let server = server().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let path = "/api/collections/notes";
    let key = [("idempotency-key", "k-1")];
    let body = json!({ "owner": ada.id(), "text": "a" });
    let (one, two) = tokio::join!(
        with(&ada, Method::POST, path, &key, Some(body.clone())),
        with(&ada, Method::POST, path, &key, Some(body.clone())),
    );
    let (one, two) = (one.expect_created(), two.expect_created());
    assert_eq!(one.0, two.0);
    let other = json!({ "owner": ada.id(), "text": "b" });
    with(&ada, Method::POST, path, &key, Some(other)).await.expect_error(422, "idempotency_key_reused");
    let bobs =
        with(&bob, Method::POST, path, &key, Some(json!({ "owner": bob.id() }))).await.expect_created();
    assert_ne!(bobs.id(), one.id());

    // It outlives the death of the process.
    let (token, id) = (ada.token().to_owned(), one.id().to_owned());
    let server = TestServer::start(server.kill().await).await;
    let ada = server.anon().with_token(&token);
    let again = with(&ada, Method::POST, path, &key, Some(body)).await.expect_created();
    assert_eq!(again.id(), id);
    assert_eq!(ada.list("notes", "count=true").await.expect_ok()["total"], 2);
    server.stop().await;
}
