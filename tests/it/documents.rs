//! Bodies, lists and names.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{lab, post};

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let body = json!({ "title": "", "views": "many", "status": "maybe", "colour": "red" });
    let problem = ada.create("posts", body).await.expect_error(422, "validation_failed");
    let mut found: Vec<(String, String)> =
        problem.errors.into_iter().map(|error| (error.field, error.code)).collect();
    found.sort();
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["author", "colour", "status", "title", "views"], "{found:?}");
    assert!(found.contains(&("author".to_owned(), "required".to_owned())), "{found:?}");
    assert!(found.contains(&("colour".to_owned(), "unknown_field".to_owned())), "{found:?}");
    server.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_and_change_nothing() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let bodies =
        ["", "{", "nul", "[]", "\"text\"", "{\"title\": \"a\", \"title\": \"b\"}", "{\"title\":\"\\ud800\"}"];
    for body in bodies {
        let answer = ada.send(Method::POST, "/api/collections/posts", Some(body.to_owned())).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body}: {answer}");
    }
    let nested = format!(r#"{{"meta": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let answer = ada.send(Method::POST, "/api/collections/posts", Some(nested)).await;
    assert!(answer.status.is_client_error(), "{answer}");
    assert!(ada.list("posts", "").await.expect_docs().is_empty());
    ada.create("nowhere", json!({})).await.expect_error(404, "collection_not_found");
    ada.list("nowhere", "").await.expect_error(404, "collection_not_found");
    server.stop().await;
}

#[tokio::test]
async fn m19_fields_of_the_server_cannot_be_forged() {
    let server = lab().await;
    let ada = server.user("ada").await;
    for field in ["id", "created_at", "updated_at", "internal_note"] {
        let mut body = json!({ "title": "x", "author": ada.id() });
        body[field] = json!("2001-01-01T00:00:00Z");
        let problem = ada.create("posts", body).await.expect_error(422, "validation_failed");
        assert_eq!(problem.errors[0].field, field);
    }
    let created = post(&ada, "x", "draft").await;
    let problem = ada.patch("posts", created.id(), json!({ "created_at": "2001-01-01T00:00:00Z" })).await;
    problem.expect_error(422, "validation_failed");
    server.stop().await;
}

#[tokio::test]
async fn m20_values_come_back_as_they_went() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let create = async |field: &str, value: &str| {
        let body = format!(r#"{{"title":"x","author":"{}","{field}":{value}}}"#, ada.id());
        ada.send(Method::POST, "/api/collections/posts", Some(body)).await
    };
    for (field, sent, stored) in [
        ("views", "9223372036854775807", "9223372036854775807"),
        ("views", "-9223372036854775808", "-9223372036854775808"),
        ("views", "9007199254740993", "9007199254740993"),
        ("rating", "0.1", "0.1"),
        ("rating", "1e300", "1e300"),
        ("due", r#""2026-01-02T03:04:05.123456+01:00""#, r#""2026-01-02T02:04:05.123456Z""#),
        ("due", r#""2026-01-02T03:04:05Z""#, r#""2026-01-02T03:04:05.000000Z""#),
        ("meta", r#"{"a":[1,2.50,null,"é\u0000"]}"#, r#"{"a":[1,2.50,null,"é\u0000"]}"#),
        ("body", r#""emoji 🙂 and \n""#, r#""emoji 🙂 and \n""#),
        ("body", "null", "null"),
    ] {
        let answer = create(field, sent).await.expect_status(201);
        let text = answer.text();
        let exact = text.contains(&format!(r#""{field}":{stored}"#));
        let equal = serde_json::from_str::<Value>(stored).is_ok_and(|stored| answer.json()[field] == stored);
        assert!(exact || (equal && field != "views"), "{field}: {sent} became {text}");
    }
    for (field, sent) in [
        ("views", "9223372036854775808"),
        ("views", "1.5"),
        ("views", "null"),
        ("views", "\"1\""),
        ("due", r#""2026-01-02T03:04:05""#),
        ("due", r#""2026-02-30T00:00:00Z""#),
        ("rating", "1e999"),
        ("title", "null"),
        ("body", r#""nul \u0000""#),
    ] {
        let answer = create(field, sent).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{field}: {sent}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m20_null_clears_and_absent_keeps() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let body = json!({ "title": "x", "author": ada.id(), "body": "text", "rating": 1.5 });
    let created = ada.create("posts", body).await.expect_created();
    let patched = ada.patch("posts", created.id(), json!({ "body": null })).await.expect_ok();
    assert_eq!((&patched["body"], &patched["rating"]), (&Value::Null, &json!(1.5)));
    server.stop().await;
}

#[tokio::test]
async fn m21_odd_paging_is_answered() {
    let server = lab().await;
    let ada = server.user("ada").await;
    post(&ada, "one", "published").await;
    for query in [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=x",
        "limit=",
        "offset=-1",
        "offset=x",
        "cursor=x",
        "filter=title",
        "filter=title:between:1",
        "filter=views:eq:x",
        "unknown=1",
        "limit=1&limit=2",
        "count=maybe",
        "sort=",
        "filter=",
        "limit=99999999999999999999",
    ] {
        let answer = ada.list("posts", query).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}: {answer}");
    }
    for query in
        ["", "limit=1", "limit=1000", "offset=1000000", "filter=title:eq:%F0%9F%99%82", "filter=title:in:"]
    {
        let answer = ada.list("posts", query).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{query}: {answer}");
    }
    let many = (0..10_000).map(|field| format!("\"f{field}\":1")).collect::<Vec<_>>().join(",");
    let answer = ada.send(Method::POST, "/api/collections/posts", Some(format!("{{{many}}}"))).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    server.stop().await;
}

#[tokio::test]
async fn m21_reserved_words_and_hyphens_are_plain_names() {
    let server = lab().await;
    let anon = server.anon();
    for order in [3, 1, 2] {
        let body = json!({ "order": order, "group-by": format!("g{order}") });
        anon.create("select", body).await.expect_created();
    }
    let docs = anon.list("select", "sort=-order&filter=group-by:ne:g2&fields=order").await.expect_docs();
    assert_eq!(docs, [json!({ "order": 3 }), json!({ "order": 1 })]);
    let again = anon.create("select", json!({ "group-by": "g1" })).await;
    again.expect_error(409, "unique_violation");
    server.stop().await;
}

#[tokio::test]
async fn m22_an_empty_list_is_a_list() {
    let server = lab().await;
    let list = server.anon().list("posts", "count=true").await.expect_ok();
    assert_eq!(list, json!({ "docs": [], "limit": 30, "total": 0 }));
    let ada = server.user("ada").await;
    let created = post(&ada, "x", "draft").await;
    let mut members: Vec<&String> = created.0.as_object().unwrap().keys().collect();
    members.sort();
    let expected = [
        "author",
        "body",
        "created_at",
        "due",
        "id",
        "meta",
        "rating",
        "status",
        "title",
        "updated_at",
        "views",
    ];
    assert_eq!(members, expected);
    server.stop().await;
}

#[tokio::test]
async fn cursors_walk_the_whole_list_once() {
    let server = lab().await;
    let ada = server.user("ada").await;
    for number in 0..25 {
        let body = json!({ "title": format!("t{}", number % 3), "author": ada.id(), "views": number });
        ada.create("posts", body).await.expect_created();
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ada.list("posts", &format!("sort=title,-views&limit=4{cursor}")).await.expect_ok();
        seen.extend(page["docs"].as_array().unwrap().iter().map(|doc| doc["views"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25);
    let mut expected: Vec<i64> = (0..25).collect();
    expected.sort_by_key(|number| (number % 3, -number));
    assert_eq!(seen, expected);
    let other = ada.list("posts", &format!("sort=views&limit=4{cursor}")).await;
    assert_eq!(other.status.as_u16(), 400, "a cursor of another query is refused: {other}");
    server.stop().await;
}
