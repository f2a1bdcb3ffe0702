//! Sizes, names and bodies at the edge of what is allowed, through every kind of write.

use std::fmt::Write as _;

use alyx_tests::{Answer, Client, Project, TestServer, tree};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{lab, post};

const EVERY: &str = "where=%7B%7D&limit=10";

/// One body through each kind of write; `id` is a document that is there.
async fn write_everywhere(who: &Client, collection: &str, id: &str, body: &Value) -> Vec<(String, Answer)> {
    let many = format!("/api/collections/{collection}");
    let one = format!("{many}/{id}");
    let batch = |op: &str| match op {
        "create" => json!({ "operations": [{ "op": op, "collection": collection, "data": body }] }),
        _ => json!({ "operations": [{ "op": op, "collection": collection, "id": id, "data": body }] }),
    };
    let requests = [
        (Method::POST, many.clone(), body.clone()),
        (Method::PATCH, one.clone(), body.clone()),
        (Method::PUT, one, body.clone()),
        (Method::POST, format!("{many}?upsert=group-by"), body.clone()),
        (Method::PATCH, format!("{many}?{EVERY}"), body.clone()),
        (Method::POST, "/api/batch".to_owned(), batch("create")),
        (Method::POST, "/api/batch".to_owned(), batch("update")),
        (Method::POST, "/api/batch".to_owned(), batch("replace")),
    ];
    let mut answers = Vec::new();
    for (method, path, body) in requests {
        let label = format!("{method} {path} {body}");
        answers.push((label, who.send(method, &path, Some(body.to_string())).await));
    }
    answers
}

#[tokio::test]
async fn m16_readers_that_wait_hold_up_nobody() {
    let server = lab().await;
    let anon = server.anon();
    let next = anon.get_path("/api/changes").await.expect_ok()["next"].as_str().unwrap().to_owned();
    let polls: Vec<_> = (0..20)
        .map(|_| {
            let (anon, next) = (anon.clone(), next.clone());
            let path = format!("/api/changes?since={next}&collections=failing&wait=55");
            tokio::spawn(async move { anon.get_path(&path).await })
        })
        .collect();
    for order in 0..5 {
        let made = anon.create("select", json!({ "order": order })).await.expect_created();
        anon.patch("select", made.id(), json!({ "order": order + 1 })).await.expect_ok();
        anon.list("select", "count=true&sort=order").await.expect_docs();
    }
    assert!(polls.iter().all(|poll| !poll.is_finished()), "who does not wait is done before who waits");
    anon.create("failing", json!({ "n": 1 })).await.expect_created();
    for answer in join_all(polls).await {
        let answer = answer.unwrap().expect_ok();
        assert_eq!(answer["changes"].as_array().unwrap().len(), 1, "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m17_no_body_at_any_door_ends_the_daemon() {
    let server = lab().await;
    let (anon, daemon) = (server.anon(), server.daemon());
    let described = anon.get_path("/api/openapi.json").await.expect_ok();
    let bodies = [
        format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        "{\"password\":\"\\ud800\",\"email\":1e999,\"where\":-0}".to_owned(),
        "{\"operations\":[{\"op\":\"create\",\"collection\":\"\u{0}\",\"data\":{}}]}".to_owned(),
        "\"".to_owned(),
    ];
    let mut asked = 0;
    for (path, operations) in described["paths"].as_object().unwrap() {
        let path = path.split('/').map(|part| if part.starts_with('{') { "%F0%9F%99%82" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            if method == Method::GET {
                let query = format!("{path}?limit=%00&filter=%FF%FE&since=-1.&where=%7B");
                let status = anon.send(method, &query, None).await.status.as_u16();
                assert!(status < 500, "{query}: {status}");
                asked += 1;
                continue;
            }
            for body in &bodies {
                let answer = anon.send(method.clone(), &path, Some(body.clone())).await;
                assert!(answer.status.as_u16() < 500, "{answer}");
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert!(daemon.is_alive());
    anon.get_path("/health/ready").await.expect_ok();
    post(&server.user("ada").await, "still there", "published").await;
    server.stop().await;
}

#[tokio::test]
async fn m19_no_kind_of_write_sets_what_the_server_sets() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let made = post(&ada, "x", "draft").await;
    for field in ["created_at", "updated_at", "internal_note"] {
        let body = json!({ "title": "forged", "author": ada.id(), field: "2001-01-01T00:00:00Z" });
        for (label, answer) in write_everywhere(&ada, "posts", made.id(), &body).await {
            let status = answer.status.as_u16();
            assert!([400, 422].contains(&status), "{label}: {answer}");
        }
    }
    assert_eq!(ada.list("posts", "").await.expect_docs(), [made.0]);
    server.stop().await;
}

#[tokio::test]
async fn m20_unknown_fields_are_named_by_every_kind_of_write() {
    let server = lab().await;
    let anon = server.anon();
    let made = anon.create("select", json!({ "order": 5, "group-by": "g" })).await.expect_created();
    let body = json!({ "group-by": "h", "colour": 1 });
    for (label, answer) in write_everywhere(&anon, "select", made.id(), &body).await {
        let problem = answer.expect_error(422, "validation_failed");
        let named = |error: &alyx_protocol::api::FieldProblem| {
            error.field.ends_with("colour") && error.code == "unknown_field"
        };
        assert!(problem.errors.iter().any(named), "{label}: {problem:?}");
    }
    let more = json!({ "operations": [{ "op": "create", "collection": "select", "data": {}, "colour": 1 }] });
    assert!(anon.post("/api/batch", more).await.status.is_client_error());
    assert_eq!(anon.list("select", "").await.expect_docs(), [made.0]);
    server.stop().await;
}

#[tokio::test]
async fn m20_null_and_absent_differ_and_large_numbers_stay_apart() {
    let server = lab().await;
    let anon = server.anon();
    let large = 9_007_199_254_740_993_i64;
    let made = anon.create("select", json!({ "order": large, "group-by": "g" })).await.expect_created();
    let path = format!("/api/collections/select/{}", made.id());
    let get = async || anon.get_path(&path).await.expect_ok();
    anon.patch("select", made.id(), json!({})).await.expect_ok();
    assert_eq!(get().await, made.0);
    anon.patch("select", made.id(), json!({ "group-by": null })).await.expect_ok();
    assert_eq!((get().await["order"].as_i64(), get().await["group-by"].clone()), (Some(large), Value::Null));
    for (value, count) in [(large, 1), (large - 1, 0), (large + 1, 0)] {
        for query in [format!("filter=order:eq:{value}"), format!("where=%7B%22order%22:{value}%7D")] {
            assert_eq!(anon.list("select", &query).await.expect_docs().len(), count, "{query}");
        }
    }
    let replaced = anon.send(Method::PUT, &path, Some(json!({ "group-by": "h" }).to_string())).await;
    assert_eq!(replaced.expect_ok()["order"], Value::Null, "what a replacement leaves out is not kept");
    server.stop().await;
}

#[tokio::test]
async fn m21_ten_thousand_fields_are_answered() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let made = post(&ada, "x", "draft").await;
    let many = |count: usize| (0..count).map(|n| (format!("f{n}"), json!(n))).collect::<Value>();
    let mut body = many(10_000);
    body["title"] = json!("x");
    for (label, answer) in write_everywhere(&ada, "posts", made.id(), &body).await {
        let label = &label[..60];
        assert!([400, 422].contains(&answer.status.as_u16()), "{label}: {}", answer.status);
        assert!(answer.body.len() < 64 * 1024, "{label}: {} bytes", answer.body.len());
    }
    // As the value of one field they are welcome.
    let patched = ada.patch("posts", made.id(), json!({ "meta": many(10_000) })).await.expect_ok();
    assert_eq!(patched["meta"], many(10_000));
    let found = ada.list("posts", "filter=meta.f9999:eq:9999&fields=id").await.expect_docs();
    assert_eq!(found, [json!({ "id": made.id() })]);
    let names = (0..1_000).map(|n| format!("f{n}")).collect::<Vec<_>>().join(",");
    for parameter in ["sort", "fields", "expand"] {
        let answer = ada.list("posts", &format!("{parameter}={names}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{parameter}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m21_a_collection_may_have_as_many_fields_as_the_page_says() {
    let schema = |count: usize| {
        let mut text = "version: 1\ncollections:\n  wide:\n    fields:\n      id: { type: id, primary: true, default: auto }\n".to_owned();
        for field in 1..count {
            writeln!(text, "      f{field}: {{ type: int, nullable: true }}").unwrap();
        }
        text + "    rules: { create: 'true', read: 'true', update: 'true' }\n"
    };
    for count in [501, 10_000] {
        let project = Project::schema(&schema(count));
        let output = Command::new(tree::program("alyxd"))
            .arg("check-schema")
            .arg(project.folder().join("schema.yaml"))
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && said.contains("500"), "{count}: {said}");
    }
    let server = TestServer::start(Project::schema(&schema(500))).await;
    let anon = server.anon();
    let body: Value = (1..500).map(|n| (format!("f{n}"), json!(n))).collect();
    let made = anon.create("wide", body.clone()).await.expect_created();
    let doubled: Value = (1..500).map(|n| (format!("f{n}"), json!({ "$inc": n }))).collect();
    let patched = anon.patch("wide", made.id(), doubled).await.expect_ok();
    assert_eq!((&made.0["f499"], &patched["f499"]), (&json!(499), &json!(998)));
    assert_eq!(anon.list("wide", "sort=-f499&filter=f250:eq:500").await.expect_docs(), [patched]);
    server.stop().await;
}

#[tokio::test]
async fn m23_names_of_the_database_are_free_for_collections_and_fields() {
    let schema = "version: 1
collections:
  main:
    fields:
      id: { type: id, primary: true, default: auto }
      rowid: { type: int, nullable: true, index: true }
      oid: { type: string, nullable: true }
      rank: { type: int, nullable: true }
      text: { type: string, nullable: true, search: true }
    rules: { create: 'true', read: 'true', update: 'true', delete: 'true' }
  temp:
    fields:
      id: { type: id, primary: true, default: auto }
      main: { type: relation, relation: { collection: main, onDelete: cascade } }
    rules: { create: 'true', read: 'true' }
  sessions: { fields: { id: { type: id, primary: true, default: auto } }, rules: { create: 'true', read: 'true' } }
  changes: { fields: { id: { type: id, primary: true, default: auto } }, rules: { create: 'true', read: 'true' } }
";
    let server = TestServer::start(Project::schema(schema)).await;
    let anon = server.anon();
    let body = |n: i64| json!({ "rowid": 100 - n, "oid": "o", "rank": n, "text": format!("word{n} same") });
    let one = anon.create("main", body(1)).await.expect_created();
    let two = anon.create("main", body(2)).await.expect_created();
    assert_eq!(anon.list("main", "search=word1").await.expect_docs()[0], one.0);
    assert_eq!(anon.list("main", "search=same&sort=rowid").await.expect_docs()[0], two.0);
    assert_eq!(anon.list("main", "search=same&sort=-rank&filter=oid:eq:o").await.expect_docs()[0], two.0);
    anon.patch("main", one.id(), json!({ "rowid": 7, "text": "other" })).await.expect_ok();
    assert!(anon.list("main", "search=word1").await.expect_docs().is_empty());
    anon.create("temp", json!({ "main": one.id() })).await.expect_created();
    for collection in ["sessions", "changes"] {
        anon.create(collection, json!({})).await.expect_created();
        assert_eq!(anon.list(collection, "").await.expect_docs().len(), 1);
    }
    anon.delete("main", one.id()).await.expect_status(204);
    assert!(anon.list("temp", "").await.expect_docs().is_empty());
    server.stop().await;
    for name in ["rank", "rowid"] {
        let searched = schema.replacen(
            &format!("{name}: {{ type: int"),
            &format!("{name}: {{ search: true, type: string"),
            1,
        );
        let project = Project::schema(&searched);
        let file = project.folder().join("schema.yaml");
        let output =
            Command::new(tree::program("alyxd")).arg("check-schema").arg(file).output().await.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("a field named rank or rowid cannot be searched"), "{name}: {said}");
    }
}
