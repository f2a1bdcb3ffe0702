//! Rules through the daemon and the command: fields, other documents, tests of rules, explanations.

use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

const SCHEMA: &str = r#"version: 1
collections:
  rooms:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
      topic: { type: string }
    rules:
      create: "doc.owner == auth.id"
      read: "doc.owner == auth.id || collection('members').exists(m, m.room == doc.id && m.person == auth.id)"
  members:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
      person: { type: relation, relation: { collection: users, onDelete: cascade } }
    rules:
      create: "collection('rooms').get(doc.room).owner == auth.id"
      get: "doc.person == auth.id"
  messages:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
      author: { type: relation, relation: { collection: users, onDelete: cascade } }
      text: { type: string }
      pinned: { type: bool, default: false, rules: { write: "collection('rooms').get(doc.room).owner == auth.id" } }
      note: { type: string, nullable: true, rules: { read: "doc.author == auth.id" } }
    rules:
      create: "doc.author == auth.id && collection('members').exists(m, m.room == doc.room && m.person == auth.id)"
      read: "collection('members').exists(m, m.room == doc.room && m.person == auth.id)"
      update: "old.author == auth.id && doc.author == old.author && doc.room == old.room"
      delete: "old.author == auth.id || request.time < timestamp('2001-01-01T00:00:00Z')"
"#;

const TESTS: &str = r#"identities:
  ada: { id: ada, role: user }
  bob: { id: bob, role: user }
  eve: { id: eve, role: user }
documents:
  users:
    ada: { id: ada, email: ada@example.org }
    bob: { id: bob, email: bob@example.org }
    eve: { id: eve, email: eve@example.org }
  messages:
    hello: { id: m1, room: r1, author: bob, text: hi, note: mine }
  members:
    one: { room: r1, person: ada }
    two: { room: r1, person: bob }
  rooms:
    red: { id: r1, owner: ada, topic: red }
tests:
  - { name: the author, as: bob, document: messages.hello, allow: [get, list, subscribe, update, delete], sees: [note] }
  - { name: another member, as: ada, document: messages.hello, allow: [get, list], deny: [update, delete], hides: [note] }
  - { as: eve, document: messages.hello, deny: [get, list, subscribe, update, delete] }
  - { as: anonymous, document: messages.hello, deny: [get, list] }
  - { as: bob, document: messages.hello, change: { text: new }, allow: [update] }
  - { as: bob, document: messages.hello, change: { pinned: true }, deny: [update] }
  - { as: bob, document: messages.hello, change: { author: ada }, deny: [update] }
  - { as: bob, collection: messages, create: { room: r1, author: bob, text: x }, allow: [create] }
  - { as: eve, collection: messages, create: { room: r1, author: eve, text: x }, deny: [create] }
"#;

async fn chat() -> TestServer {
    TestServer::start(Project::schema(SCHEMA)).await
}

async fn make(who: &Client, collection: &str, document: Value) -> Value {
    who.create(collection, document).await.expect_created().0
}

#[tokio::test]
async fn m01_membership_rules_hold_for_documents_lists_counts_and_fields() {
    let server = chat().await;
    let (ada, bob, eve) = (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let room = make(&ada, "rooms", json!({ "owner": ada.id(), "topic": "red" })).await;
    for person in [&ada, &bob] {
        make(&ada, "members", json!({ "room": room["id"], "person": person.id() })).await;
    }
    let intruder = json!({ "room": room["id"], "person": eve.id() });
    eve.create("members", intruder).await.expect_error(403, "forbidden");
    let body = |who: &Client| json!({ "room": room["id"], "author": who.id(), "text": "hi", "note": "n" });
    let message = make(&bob, "messages", body(&bob)).await;
    eve.create("messages", body(&eve)).await.expect_error(403, "forbidden");
    let id = message["id"].as_str().unwrap();
    for (who, note) in [(&ada, None), (&bob, Some("n"))] {
        let found = who.get("messages", id).await.expect_ok();
        assert_eq!(found.get("note").and_then(Value::as_str), note);
        let list = who.list("messages", "count=true").await.expect_ok();
        assert_eq!((&list["total"], &list["docs"][0]), (&json!(1), &found));
        assert_eq!(who.list("rooms", "").await.expect_docs().len(), 1);
    }
    for who in [&eve, &server.anon()] {
        who.get("messages", id).await.expect_error(404, "document_not_found");
        assert_eq!(who.list("messages", "count=true").await.expect_ok()["total"], 0);
        assert!(who.list("rooms", "").await.expect_docs().is_empty());
    }
    // A field that only some documents show is, to a filter, one that does not exist.
    for query in ["filter=note:eq:n", "sort=note"] {
        let problem = bob.list("messages", query).await.expect_status(400).json();
        assert_eq!(problem["errors"][0]["code"], "unknown_field", "{problem}");
    }
    let refused = bob.patch("messages", id, json!({ "pinned": true })).await.expect_status(422).json();
    assert_eq!(refused["errors"][0]["code"], "field_not_writable", "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn rules_are_tested_explained_and_listed_by_the_command() {
    let server = chat().await;
    server.project.write("rules.test.yaml", TESTS);
    let cli = server.cli();
    let passed = cli.run(&["rules", "test"]).await;
    assert_eq!(passed.code, 0, "{passed:?}");
    assert!(passed.err.contains("23 passed, 0 failed"), "{passed:?}");

    let wrong = TESTS.replace("deny: [update, delete], hides", "deny: [update], allow: [delete], hides");
    server.project.write(
        "wrong.yaml",
        &wrong.replace("allow: [get, list], deny: [update], allow", "deny: [update], allow"),
    );
    let failed = cli.run(&["rules", "test", "wrong.yaml"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.contains("wrong.yaml:19: FAILED ada may not delete messages.hello"), "{failed:?}");

    server.project.write("bad.yaml", "tests:\n  - { as: nobody, document: messages.hello, allow: [fly] }\n");
    let bad = cli.run(&["rules", "test", "bad.yaml"]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.err.contains("bad.yaml:2:11") && bad.err.contains("there is no identity"), "{bad:?}");

    let ada = server.user("ada").await;
    let explained = cli.run(&["rules", "explain", "messages", "list", "--as", ada.id()]).await;
    assert_eq!(explained.code, 0, "{explained:?}");
    for part in ["EXISTS (SELECT 1 FROM \"members\" AS r0", ada.id(), "_alyx_index.members."] {
        assert!(explained.out.contains(part), "{part}: {explained:?}");
    }
    let nobody = cli.run(&["rules", "explain", "members", "list", "--as", "anonymous", "--json"]).await;
    assert_eq!(nobody.json()["selects"], "no document");
    let unknown = cli.run(&["rules", "explain", "members", "fly", "--as", "anonymous"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");

    let listed = cli.run(&["rules", "check", "--json"]).await;
    let listed = listed.json();
    let missing = listed["rules"]
        .as_array()
        .unwrap()
        .iter()
        .any(|row| row["collection"] == "members" && row["operation"] == "list" && row["rule"].is_null());
    assert!(missing, "{listed}");
    server.anon().post("/api/admin/rules/test", json!({ "file": "x", "text": "" })).await.expect_status(401);
    ada.post("/api/admin/rules/explain", json!({})).await.expect_status(403);
    server.stop().await;
}
