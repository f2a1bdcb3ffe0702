//! `ctx.db` as a door: lists, searches, aggregates, expansions, bulk writes, batches and transactions of
//! a function show and allow what HTTP shows and allows its caller.

use alyx_tests::Client;
use serde_json::{Value, json};

use super::{ctx, start};
use crate::{post, titles};

/// Plain, and as the only operation of a transaction.
async fn both(who: &Client, call: Value) -> [Value; 2] {
    let plain = ctx(who, call.clone()).await;
    let inside = ctx(who, json!({ "op": "transaction", "operations": [call] })).await;
    let inside = if inside.status == 200 { inside.json()[0].clone() } else { inside.json() };
    let without_id = |mut answer: Value| {
        answer.as_object_mut().map(|members| members.remove("request_id"));
        answer
    };
    [without_id(plain.json()), without_id(inside)]
}

/// What both ways answer.
async fn asked(who: &Client, call: Value) -> Value {
    let [plain, inside] = both(who, call.clone()).await;
    assert_eq!(plain, inside, "{call}");
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn m01_functions_show_what_their_callers_may_see() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let hidden = post(&ada, "ada draft", "draft").await;
    for made in [&hidden, &post(&bob, "bob draft", "draft").await, &post(&ada, "ada open", "published").await]
    {
        bob.create("shelves", json!({ "post": made.id(), "owner": bob.id() })).await.expect_created();
    }
    let posts = |op: &str, options: Value| json!({ "op": op, "collection": "posts", "options": options });
    let all = asked(&bob, posts("list", json!({ "sort": "title", "count": true }))).await;
    assert_eq!(titles(all["docs"].as_array().unwrap()), ["ada open", "bob draft"]);
    assert_eq!(all["total"], 2);
    let found = asked(&bob, posts("list", json!({ "search": "draft", "count": true }))).await;
    assert_eq!((titles(found["docs"].as_array().unwrap()), &found["total"]), (vec!["bob draft"], &json!(1)));
    let groups =
        asked(&bob, posts("aggregate", json!({ "group": "title", "count": true }))).await.to_string();
    assert!(groups.contains("ada open") && groups.contains("bob draft"), "{groups}");
    assert!(!groups.contains("ada draft"), "{groups}");
    let most = asked(&bob, posts("aggregate", json!({ "count": true, "max": "title" }))).await;
    assert_eq!(
        (&most["groups"][0]["count"], &most["groups"][0]["max"]["title"]),
        (&json!(2), &json!("bob draft"))
    );
    let shelves = json!({ "sort": "id", "expand": "post" });
    let shelves = asked(&bob, json!({ "op": "list", "collection": "shelves", "options": shelves })).await;
    let shown: Vec<_> =
        shelves["docs"].as_array().unwrap().iter().map(|shelf| &shelf["expand"]["post"]["title"]).collect();
    assert_eq!(shown, [&Value::Null, &json!("bob draft"), &json!("ada open")]);
    let one =
        json!({ "op": "get", "collection": "posts", "id": hidden.id(), "options": { "expand": "author" } });
    assert_eq!(asked(&bob, one).await, Value::Null);
    let bulk = json!({ "filter": "status:eq:draft", "limit": 10, "dryRun": true });
    assert_eq!(asked(&bob, posts("delete_many", bulk)).await["count"], 1);
    // Nobody sees nothing.
    let nothing = ctx(&server.anon(), posts("list", json!({ "search": "draft" }))).await;
    assert!(
        [401, 403].contains(&nothing.status.as_u16()) || nothing.json()["docs"] == json!([]),
        "{nothing}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m02_m03_functions_cannot_ask_for_what_is_not_theirs() {
    let server = start().await;
    let ada = server.user("ada").await;
    post(&ada, "one", "published").await;
    for name in
        ["internal_note", "hidden_note", "author.hidden_note", "no_such", "id\") --", "_alyx_rev", "rowid"]
    {
        for (op, options) in [
            ("list", json!({ "filter": format!("{name}:gt:a") })),
            ("list", json!({ "sort": name })),
            ("list", json!({ "fields": name })),
            ("list", json!({ "expand": name })),
            ("list", json!({ "where": { name: "a" } })),
            ("aggregate", json!({ "group": name })),
            ("aggregate", json!({ "max": name })),
            ("delete_many", json!({ "filter": format!("{name}:gt:a"), "limit": 5 })),
        ] {
            let call = json!({ "op": op, "collection": "posts", "options": options });
            let answer = asked(&ada, call.clone()).await;
            assert_eq!(answer["status"], 400, "{call}: {answer}");
        }
    }
    assert_eq!(ada.list("posts", "count=true").await.expect_ok()["total"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m06_m07_functions_neither_take_nor_tell_what_is_hidden() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let hidden = post(&ada, "hidden", "draft").await;
    let absent = "0".repeat(hidden.id().len());
    let calls = |id: &str| {
        let data = json!({ "title": "taken", "author": bob.id() });
        let with = |op: &str, data: Option<&Value>| {
            let mut call = json!({ "op": op, "collection": "posts", "id": id });
            if let Some(data) = data {
                call["data"] = data.clone();
            }
            call
        };
        let batch = |operation: Value| json!({ "op": "batch", "operations": [operation] });
        let (update, replace) = (with("update", Some(&data)), with("replace", Some(&data)));
        let delete = with("delete", None);
        let batches = [batch(update.clone()), batch(replace.clone()), batch(delete.clone())];
        [update, replace, delete].into_iter().chain(batches)
    };
    for (there, missing) in calls(hidden.id()).zip(calls(&absent)) {
        let op = there["op"].clone();
        let there = asked(&bob, there).await.to_string().replace(hidden.id(), "ID");
        let missing = asked(&bob, missing).await.to_string().replace(&absent, "ID");
        assert_eq!(there, missing, "{op}");
        assert!(there.contains("document_not_found"), "{op}: {there}");
    }
    // The owner cannot give it away either, and what a transaction did before is undone with it.
    let step =
        |data: Value| json!({ "op": "update", "collection": "posts", "id": hidden.id(), "data": data });
    for steps in [
        json!([step(json!({ "title": "first" })), step(json!({ "author": bob.id() }))]),
        json!([step(json!({ "author": bob.id() })), step(json!({ "author": ada.id() }))]),
    ] {
        for op in ["batch", "transaction"] {
            let answer = ctx(&ada, json!({ "op": op, "operations": steps })).await;
            assert_eq!(answer.status, 404, "{op}: {answer}");
        }
    }
    assert_eq!(ada.get("posts", hidden.id()).await.expect_ok(), hidden.0);
    server.stop().await;
}
