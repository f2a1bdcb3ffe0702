//! Names of fields, and collections without a rule that holds, at the doors that other suites do not
//! knock at: bulk writes, upserts, batches, the feed and `ctx.db`.

use alyx_tests::Client;
use alyx_tests::client::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ctx, start};
use crate::post;

/// Status and body of an answer, with one word for the name and without what is always different.
fn told(answer: &Answer, name: &str) -> String {
    let mut body = answer.json();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    format!("{} {body}", answer.status).replace(name, "NAME")
}

/// All that names a field without setting it.
async fn ask(who: &Client, name: &str) -> Vec<String> {
    let posts = "/api/collections/posts";
    let condition = |method: Method, query: String| {
        let body = (method == Method::PATCH).then(|| json!({ "title": "x" }).to_string());
        async move { who.send(method, &format!("{posts}?limit=5&{query}"), body).await }
    };
    let encoded = format!("%7B%22{name}%22:%7B%22$gt%22:%22a%22%7D%7D");
    let mut answers = Vec::new();
    for method in [Method::PATCH, Method::DELETE] {
        answers.push(condition(method.clone(), format!("filter={name}:eq:s3cret")).await);
        answers.push(condition(method.clone(), format!("dry_run=true&filter={name}:starts:s")).await);
        answers.push(condition(method, format!("where={encoded}")).await);
    }
    answers
        .push(who.post(&format!("{posts}?upsert={name}"), json!({ "title": "x", "author": who.id() })).await);
    for options in [
        json!({ "where": { name: "s3cret" } }),
        json!({ "where": { "$not": { name: { "$null": true } } } }),
        json!({ "sort": name }),
        json!({ "fields": name }),
        json!({ "expand": name }),
    ] {
        answers.push(ctx(who, json!({ "op": "list", "collection": "posts", "options": options })).await);
    }
    answers.iter().map(|answer| told(answer, name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn m02_names_of_writes_and_functions_are_fields_or_errors() {
    let server = start().await;
    let ada = server.user("ada").await;
    let mine = post(&ada, "mine", "published").await;
    for name in ["nope", "rowid", "_alyx_rev", "title)--", "TITLE", "author.nope", "1"] {
        for told in ask(&ada, name).await {
            assert!(told.starts_with("400 ") || told.starts_with("422 "), "{name}: {told}");
            assert!(!told.to_lowercase().contains("sql"), "{name}: {told}");
        }
    }
    for collection in ["nope", "_alyx_changes", "sqlite_master", "posts\" --", "POSTS"] {
        let path = format!("/api/changes?collections={}", collection.replace('"', "%22").replace(' ', "%20"));
        let answer = ada.get_path(&path).await;
        assert!(answer.status.is_client_error(), "{answer}");
        for operation in [
            json!({ "op": "create", "collection": collection, "data": { "title": "x" } }),
            json!({ "op": "delete", "collection": collection, "id": mine.id() }),
            json!({ "op": "upsert", "collection": collection, "field": "title", "data": { "title": "x" } }),
        ] {
            let answer = ada.post("/api/batch", json!({ "operations": [operation] })).await;
            assert!(answer.status.is_client_error(), "{answer}");
        }
        let answer = ctx(&ada, json!({ "op": "list", "collection": collection })).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    assert_eq!(ada.list("posts", "").await.expect_docs(), [mine.0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m03_no_door_tells_a_hidden_field_from_one_that_is_not_there() {
    let server = start().await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    let mine = post(&ada, "mine", "published").await;
    let secret = json!({ "internal_note": "s3cret-a", "hidden_note": "s3cret-b" });
    admin.patch("posts", mine.id(), secret).await.expect_ok();
    let absent = ask(&ada, "no_such_field").await;
    for field in ["internal_note", "hidden_note"] {
        assert_eq!(ask(&ada, field).await, absent, "{field}");
    }
    // What a write answers shows them no more than what a reading does.
    let update = json!({ "op": "update", "collection": "posts", "id": mine.id(), "data": { "views": 1 } });
    let batch = ada.post("/api/batch", json!({ "operations": [update.clone()] })).await;
    let answers = [
        ada.patch("posts", mine.id(), json!({ "views": 2 })).await,
        ctx(&ada, update).await,
        ctx(&ada, json!({ "op": "get", "collection": "posts", "id": mine.id() })).await,
        ctx(&ada, json!({ "op": "list", "collection": "posts" })).await,
        batch,
    ];
    for answer in answers {
        let text = answer.clone().expect_ok().to_string();
        assert!(text.contains("mine") && !text.contains("s3cret") && !text.contains("_note"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m04_no_door_opens_without_a_rule_that_holds() {
    let server = start().await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    for collection in ["closed", "broken"] {
        let kept = admin.create(collection, json!({ "name": "one" })).await.expect_created();
        let all = format!("/api/collections/{collection}");
        let one = format!("{all}/{}", kept.id());
        let body = json!({ "name": "x" });
        let of = |op: &str| json!({ "op": op, "collection": collection, "id": kept.id(), "data": body });
        let create = json!({ "op": "create", "collection": collection, "data": body });
        for who in [&ada, &server.anon()] {
            for (method, path, body) in [
                (Method::GET, one.clone(), None),
                (Method::POST, all.clone(), Some(body.clone())),
                (Method::PATCH, one.clone(), Some(body.clone())),
                (Method::PUT, one.clone(), Some(body.clone())),
                (Method::DELETE, one.clone(), None),
                (Method::POST, "/api/batch".to_owned(), Some(json!({ "operations": [create.clone()] }))),
                (Method::POST, "/api/batch".to_owned(), Some(json!({ "operations": [of("update")] }))),
                (Method::POST, "/api/batch".to_owned(), Some(json!({ "operations": [of("replace")] }))),
                (Method::POST, "/api/functions/caller".to_owned(), Some(create.clone())),
                (Method::POST, "/api/functions/caller".to_owned(), Some(of("update"))),
                (Method::POST, "/api/functions/caller".to_owned(), Some(of("delete"))),
            ] {
                let body: Option<Value> = body;
                let answer = who.send(method.clone(), &path, body.map(|body| body.to_string())).await;
                assert!([401, 403, 404].contains(&answer.status.as_u16()), "{method} {path}: {answer}");
            }
            for (method, body) in [(Method::PATCH, Some(body.to_string())), (Method::DELETE, None)] {
                let answer = who.send(method, &format!("{all}?filter=name:eq:one&limit=5"), body).await;
                closed(&answer, "\"count\":0");
            }
            closed(&who.list(collection, "count=true").await, "\"total\":0");
            let count = who.get_path(&format!("{all}/aggregate?count=true")).await;
            if collection == "broken" {
                // A rule that decides in memory has no calculations.
                count.expect_error(400, "invalid_parameter");
            } else {
                closed(&count, "\"count\":0");
            }
            let feed = who.get_path(&format!("/api/changes?collections={collection}")).await;
            closed(&feed, "\"changes\":[]");
            let got = ctx(who, of("get")).await;
            closed(&got, "null");
            closed(&ctx(who, json!({ "op": "list", "collection": collection })).await, "\"docs\":[]");
        }
        assert_eq!(admin.get(collection, kept.id()).await.expect_ok(), kept.0);
        assert_eq!(admin.list(collection, "count=true").await.expect_ok()["total"], 1);
    }
    server.stop().await;
}

/// Refused, or answered with nothing.
fn closed(answer: &Answer, nothing: &str) {
    let empty = answer.status == 200 && answer.text().contains(nothing);
    assert!(empty || [401, 403, 404].contains(&answer.status.as_u16()), "{answer}");
}
