//! Accounts that are written as documents of `users`: what that leaves in the audit log, and what it
//! cannot do.

use std::collections::BTreeSet;

use alyx_tests::server::PASSWORD;
use alyx_tests::{Answer, Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

/// Moderators change and delete accounts, everybody could delete their own, and a flat ends with its
/// house, and with a flat whoever lives there.
const SCHEMA: &str = r#"version: 1
collections:
  houses:
    fields:
      id: { type: id, primary: true, default: auto }
    rules: { create: "auth.id != null", read: "true", delete: "auth.id != null" }
  users:
    fields:
      name: { type: string, nullable: true }
      house: { type: relation, relation: { collection: houses, onDelete: cascade }, nullable: true }
    rules:
      read: "true"
      update: "auth.role == 'moderator' || doc.id == auth.id"
      delete: "auth.role == 'moderator' || doc.id == auth.id"
functions:
  caller: { runtime: node, timeout: 30s, rules: { invoke: "auth.id != null" } }
"#;

async fn start() -> TestServer {
    TestServer::start(Project::fixture("lab").with("schema.yaml", SCHEMA)).await
}

async fn rows(server: &TestServer, arguments: &[&str]) -> Vec<Value> {
    let said = server.cli().run(&[&["audit", "export"], arguments].concat()).await.expect_code(0);
    said.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The rows of a request that went well.
async fn rows_of(server: &TestServer, answer: &Answer) -> Vec<Value> {
    assert!(answer.status.is_success(), "{answer}");
    rows(server, &["--request-id", answer.header("x-request-id").expect("an id")]).await
}

async fn send(who: &Client, method: &str, path: &str, body: Value) -> Answer {
    who.send(method.parse().unwrap(), path, (!body.is_null()).then(|| body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_written_as_documents_leave_rows() {
    let server = start().await;
    let (admin, ada, bob) = (server.admin().await, server.user("ada").await, server.user("bob").await);
    let house = ada.create("houses", json!({})).await.expect_created();
    let path = |who: &Client| format!("/api/collections/users/{}", who.id());
    let many = |who: &Client| format!("/api/collections/users?limit=10&where={{\"id\":\"{}\"}}", who.id());
    let update = |data: Value| json!({ "op": "update", "collection": "users", "id": bob.id(), "data": data });
    let whole =
        json!({ "email": "canary-2@example.org", "role": "user", "verified": true, "disabled": false });
    let by_function = update(json!({ "name": "canary-5" }));
    let delete = json!({ "op": "delete", "collection": "users", "id": bob.id() });
    let batch = |operation: Value| json!({ "operations": [operation] });
    let batch_path = "/api/batch".to_owned();
    let acts: [(&str, String, Value, &[&str]); 9] = [
        ("PATCH", path(&bob), json!({ "role": "moderator" }), &["role"]),
        ("PATCH", path(&bob), json!({ "disabled": true }), &["disabled"]),
        (
            "PATCH",
            path(&bob),
            json!({ "email": "canary-1@example.org", "verified": true }),
            &["email", "verified"],
        ),
        ("PUT", path(&bob), whole, &["disabled", "email", "role"]),
        ("PATCH", many(&bob), json!({ "name": "canary-3" }), &["name"]),
        ("POST", batch_path.clone(), batch(update(json!({ "name": "canary-4" }))), &["name"]),
        ("POST", "/api/functions/caller".to_owned(), by_function, &["name"]),
        ("PATCH", format!("/api/admin/users/{}", bob.id()), json!({ "house": house.id() }), &["house"]),
        ("POST", batch_path, batch(delete), &[]),
    ];
    let target = format!("user:{}", bob.id());
    for (method, path, body, fields) in acts {
        let answer = send(&admin, method, &path, body.clone()).await;
        let found = rows_of(&server, &answer).await;
        assert_eq!(found.len(), 1, "{method} {path} {body}: {found:#?}");
        let row = &found[0];
        let action = if fields.is_empty() { "user.delete" } else { "user.update" };
        assert_eq!((&row["action"], &row["target"]), (&json!(action), &json!(target)), "{row}");
        assert_eq!((&row["outcome"], &row["address"]), (&json!("ok"), &json!("127.0.0.1")), "{row}");
        let identity = row["identity"].as_str().unwrap();
        let through = if path.starts_with("/api/functions") { "function:caller/admin:" } else { "admin:" };
        assert_eq!(identity, format!("{through}{}", admin.id()), "{row}");
        let named: BTreeSet<&str> =
            row["details"]["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(named, fields.iter().copied().collect(), "{row}");
        assert!(!row.to_string().contains("canary") && !row.to_string().contains("@"), "{row}");
    }
    // What is only tried leaves nothing, and every account that goes is told of.
    let dry = send(&admin, "DELETE", &format!("{}&dry_run=true", many(&ada)), Value::Null).await;
    assert_eq!((dry.json()["count"].clone(), rows_of(&server, &dry).await), (json!(1), Vec::new()));
    let carla = server.user("carla").await;
    for who in [&ada, &carla] {
        admin.patch("users", who.id(), json!({ "house": house.id() })).await.expect_ok();
    }
    let gone = admin.delete("houses", house.id()).await;
    let gone = rows_of(&server, &gone).await;
    let of: BTreeSet<_> = gone.iter().map(|row| (row["action"].as_str(), row["target"].as_str())).collect();
    let both = [&ada, &carla].map(|who| format!("user:{}", who.id()));
    assert_eq!(of, both.iter().map(|target| (Some("user.delete"), Some(target.as_str()))).collect());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ends_their_own_account_without_a_proof() {
    let server = start().await;
    let (admin, ada, bob) = (server.admin().await, server.user("ada").await, server.user("bob").await);
    let house = ada.create("houses", json!({})).await.expect_created();
    admin.patch("users", ada.id(), json!({ "house": house.id() })).await.expect_ok();
    let own = json!({ "op": "delete", "collection": "users", "id": ada.id() });
    let attempts = [
        ("DELETE", format!("/api/collections/users/{}", ada.id()), Value::Null),
        ("DELETE", "/api/collections/users?limit=10&where={}".to_owned(), Value::Null),
        ("POST", "/api/batch".to_owned(), json!({ "operations": [own] })),
        ("POST", "/api/functions/caller".to_owned(), own.clone()),
        ("POST", "/api/functions/caller".to_owned(), json!({ "op": "transaction", "operations": [own] })),
        // Nor along with what it refers to.
        ("DELETE", format!("/api/collections/houses/{}", house.id()), Value::Null),
    ];
    for (method, path, body) in attempts {
        send(&ada, method, &path, body.clone()).await.expect_error(403, "forbidden");
        ada.get_path("/api/auth/me").await.expect_ok();
    }
    assert_eq!(rows(&server, &["--action", "user.delete"]).await, Vec::<Value>::new());
    ada.get("houses", house.id()).await.expect_ok();
    // What somebody else may not delete stays hidden, and whom a rule lets does.
    ada.delete("users", bob.id()).await.expect_error(404, "document_not_found");
    admin.patch("users", bob.id(), json!({ "role": "moderator" })).await.expect_ok();
    let carla = server.user("carla").await;
    let deleted = rows_of(&server, &bob.delete("users", carla.id()).await).await;
    assert_eq!(
        (&deleted[0]["action"], &deleted[0]["identity"]),
        (&json!("user.delete"), &json!(format!("user:{}", bob.id())))
    );
    // One's own profile is changed as a document as well; that is told, too.
    let changed = rows_of(&server, &ada.patch("users", ada.id(), json!({ "name": "Ada" })).await).await;
    assert_eq!(
        (&changed[0]["action"], &changed[0]["details"]["fields"]),
        (&json!("account.update"), &json!(["name"]))
    );
    for taken in
        [json!({ "role": "admin" }), json!({ "verified": true }), json!({ "email": "x@example.org" })]
    {
        let refused = ada.patch("users", ada.id(), taken.clone()).await;
        assert_eq!(refused.status, 422, "{taken}: {refused}");
    }
    let wrong = json!({ "current_password": "canary-wrong" });
    send(&ada, "DELETE", "/api/auth/me", wrong).await.expect_error(403, "confirmation_failed");
    let proof = json!({ "current_password": PASSWORD });
    let ended = ada.send(Method::DELETE, "/api/auth/me", Some(proof.to_string())).await;
    assert_eq!(rows_of(&server, &ended).await[0]["action"], "account.delete");
    server.stop().await;
}
