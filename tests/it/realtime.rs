//! Changes as they happen: what is told, to whom, and when it ends.

use std::time::Duration;

use alyx_tests::realtime::Socket;
use alyx_tests::{Client, PASSWORD, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{lab, post};

/// Long enough for what must not come to come.
const A_WHILE: Duration = Duration::from_millis(700);

async fn listed(who: &Client, query: &str) -> Vec<Value> {
    who.list("posts", query).await.expect_docs()
}

#[tokio::test]
async fn documents_come_into_sight_change_and_go() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let first = post(&ada, "first", "published").await;
    let mut told = Socket::open(&bob).await;
    let view = told.subscribe("posts", "posts", json!({ "sort": "-views,title" })).await;
    assert_eq!(view.each("title"), ["first"]);
    // A draft is hers alone, until it is published.
    let second = post(&ada, "second", "draft").await;
    ada.patch("posts", second.id(), json!({ "status": "published", "views": 5 })).await.expect_ok();
    let view = told.until("posts", |view| view.docs.len() == 2).await;
    assert_eq!(view.each("title"), ["second", "first"], "in the order of the list");
    assert_eq!(view.docs, listed(&bob, "sort=-views,title").await);
    ada.patch("posts", first.id(), json!({ "views": 9 })).await.expect_ok();
    told.until("posts", |view| view.each("title") == ["first", "second"]).await;
    ada.patch("posts", second.id(), json!({ "status": "draft" })).await.expect_ok();
    told.until("posts", |view| view.each("title") == ["first"]).await;
    ada.delete("posts", first.id()).await.expect_status(204);
    told.until("posts", |view| view.docs.is_empty()).await;
    told.say(json!({ "type": "unsubscribe", "id": "posts" })).await;
    told.expect("unsubscribed").await;
    post(&ada, "third", "published").await;
    assert_eq!(told.next_within(A_WHILE).await, None);
    server.stop().await;
}

#[tokio::test]
async fn windows_filters_and_fields_hold_for_deltas() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let mut told = Socket::open(&ada).await;
    let top =
        json!({ "where": { "views": { "$gt": 0 } }, "sort": "-views", "limit": 2, "fields": ["title"] });
    told.subscribe("top", "posts", top).await;
    let mut ids = Vec::new();
    for views in 0..5 {
        let one = post(&ada, &format!("p{views}"), "draft").await;
        ada.patch("posts", one.id(), json!({ "views": views })).await.expect_ok();
        ids.push(one.id().to_owned());
    }
    let view = told.until("top", |view| view.each("title") == ["p4", "p3"]).await;
    let first = view.docs[0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["id", "title"], "the id travels always");
    // One leaves the window at its top, and another comes in at its end.
    ada.patch("posts", &ids[4], json!({ "views": 0 })).await.expect_ok();
    told.until("top", |view| view.each("title") == ["p3", "p2"]).await;
    ada.delete("posts", &ids[2]).await.expect_status(204);
    told.until("top", |view| view.each("title") == ["p3", "p1"]).await;
    // A change of nothing that is shown is no change.
    let before = told.views["top"].clone();
    ada.patch("posts", &ids[3], json!({ "body": "unseen" })).await.expect_ok();
    assert_eq!(told.next_within(A_WHILE).await, None);
    assert_eq!(told.views["top"].docs, before.docs);
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_is_told_as_one() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let mut told = Socket::open(&ada).await;
    told.subscribe("all", "posts", json!({ "limit": 500 })).await;
    for round in 1..=10_usize {
        let operations: Vec<Value> = (0..7)
            .map(|number| {
                let document = json!({ "title": format!("{round}-{number}"), "author": ada.id() });
                json!({ "op": "create", "collection": "posts", "data": document })
            })
            .collect();
        ada.post("/api/batch", json!({ "operations": operations })).await.expect_ok();
        while told.views["all"].docs.len() < round * 7 {
            told.expect_about("all").await;
            assert_eq!(told.views["all"].docs.len() % 7, 0, "all or nothing");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn m31_nothing_is_lost_between_the_snapshot_and_what_follows() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let writer = {
        let ada = ada.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                let one = post(&ada, &format!("{number}"), "published").await;
                if number % 3 == 0 {
                    ada.delete("posts", one.id()).await.expect_status(204);
                }
            }
        })
    };
    let mut all = Vec::new();
    while !writer.is_finished() {
        let mut told = Socket::open(&server.anon()).await;
        told.subscribe("posts", "posts", json!({ "limit": 500 })).await;
        all.push(told);
    }
    writer.await.unwrap();
    let expected = listed(&ada, "limit=500").await;
    assert_eq!(expected.len(), 40);
    assert!(all.len() > 1);
    for mut told in all {
        told.until("posts", |view| view.docs == expected).await;
        assert_eq!(told.views["posts"].snapshots, 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn m32_a_client_that_comes_back_goes_on_where_it_was() {
    let server = lab().await;
    let ada = server.user("ada").await;
    post(&ada, "one", "published").await;
    let mut told = Socket::open(&ada).await;
    let before = told.subscribe("posts", "posts", json!({})).await;
    drop(told);
    let two = post(&ada, "two", "published").await;
    // What was missed is told as a difference, and nothing else.
    let mut told = Socket::open(&ada).await;
    told.views.insert("posts".to_owned(), before.clone());
    let view = told.subscribe("posts", "posts", json!({ "since": before.seq })).await;
    assert_eq!((view.snapshots, view.each("title")), (1, vec![json!("one"), json!("two")]));
    // Also after a restart, if nothing happened since.
    ada.patch("posts", two.id(), json!({ "title": "deux" })).await.expect_ok();
    let before = told.until("posts", |view| view.each("title") == ["one", "deux"]).await;
    let server = server.restart().await;
    let ada = Client::new(server.url()).with_session(ada.session());
    let mut told = Socket::open(&ada).await;
    told.views.insert("posts".to_owned(), before.clone());
    let view = told.subscribe("posts", "posts", json!({ "since": before.seq })).await;
    assert_eq!((view.snapshots, view.each("title")), (1, vec![json!("one"), json!("deux")]));
    // Where it cannot be told what was missed, that is said and everything is told anew.
    let mut later = Socket::open(&ada).await;
    let [incarnation, _, print] = <[&str; 3]>::try_from(before.seq.split('.').collect::<Vec<_>>()).unwrap();
    let places = [
        format!("{}.0.{print}", "0".repeat(32)),
        format!("{incarnation}.1.{print}"),
        before.seq.replace(print, "0123456789abcdef"),
    ];
    for (number, since) in places.into_iter().enumerate() {
        let id = format!("{number}");
        later.say(json!({ "type": "subscribe", "id": id, "collection": "posts", "since": since })).await;
        let told = later.expect_about(&id).await;
        assert_eq!((told["type"].as_str(), told["reason"].as_str()), (Some("resync"), Some("changes_gone")));
        assert_eq!(later.expect_about(&id).await["docs"].as_array().unwrap().len(), 2);
    }
    server.stop().await;
}

#[tokio::test]
async fn m32_a_place_is_good_for_the_same_question_by_the_same_rights() {
    let server = lab().await;
    let (ada, admin, eve) = (server.user("ada").await, server.admin().await, server.user("eve").await);
    let set = async |role: &str| {
        let path = format!("/api/admin/users/{}", eve.id());
        admin.send(Method::PATCH, &path, Some(json!({ "role": role }).to_string())).await.expect_ok();
    };
    set("admin").await;
    post(&ada, "a draft", "draft").await;
    post(&ada, "published", "published").await;
    let all = json!({ "sort": "title" });
    let mut told = Socket::open(&eve).await;
    let before = told.subscribe("posts", "posts", all.clone()).await;
    assert_eq!(before.docs.len(), 2);
    // It is somebody else who goes on being told of the same.
    let mut other = Socket::open(&eve).await;
    other.subscribe("posts", "posts", all).await;
    drop(told);
    let come_back = async |wanted: Value| {
        let mut told = Socket::open(&eve).await;
        told.views.insert("posts".to_owned(), before.clone());
        let mut message =
            json!({ "type": "subscribe", "id": "posts", "collection": "posts", "since": before.seq });
        message.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        told.say(message).await;
        let first = told.expect_about("posts").await;
        (first["type"].as_str().unwrap().to_owned(), told.until("posts", |_| true).await)
    };
    let (kind, view) = come_back(json!({ "sort": "title" })).await;
    assert_eq!((kind.as_str(), view.docs.len()), ("delta", 2), "nothing is different");
    let (kind, _) = come_back(json!({ "sort": "title", "limit": 1 })).await;
    assert_eq!(kind, "resync", "another question");
    set("user").await;
    let (kind, _) = come_back(json!({ "sort": "title" })).await;
    assert_eq!(kind, "resync", "other rights");
    server.stop().await;
}

#[tokio::test]
async fn m32_a_token_that_ends_stops_what_is_told_until_there_is_another() {
    let project = Project::fixture("lab").with("alyx.yaml", "auth: { access_ttl: 6s }\n");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let mut told = Socket::open(&ada).await;
    told.subscribe("posts", "posts", json!({})).await;
    let problem = told.expect("error").await;
    assert_eq!(problem["problem"]["code"], "invalid_token", "{problem}");
    let document = json!({ "title": "while it was silent", "author": ada.id(), "status": "draft" });
    server.over_admin_socket().create("posts", document).await.expect_created();
    assert_eq!(told.next_within(A_WHILE).await, None, "nothing is told by a token that has ended");
    told.say(json!({ "type": "subscribe", "id": "more", "collection": "posts" })).await;
    assert_eq!(told.expect("error").await["problem"]["code"], "invalid_token");
    let mut bad = Socket::open(&server.anon()).await;
    bad.say(json!({ "type": "subscribe", "id": "before", "collection": "posts" })).await;
    assert_eq!(bad.expect_about("before").await["type"], "snapshot");
    bad.say(json!({ "type": "auth", "token": "nonsense" })).await;
    bad.say(json!({ "type": "subscribe", "id": "after", "collection": "posts" })).await;
    assert_eq!(bad.expect("error").await["problem"]["code"], "invalid_token");
    let refused = bad.expect_about("after").await;
    assert_eq!(refused["problem"]["code"], "invalid_token", "nobody becomes anonymous: {refused}");
    let fresh = server.anon().login("ada@example.org", PASSWORD).await;
    bad.say(json!({ "type": "auth", "token": fresh.token() })).await;
    bad.say(json!({ "type": "subscribe", "id": "after", "collection": "posts" })).await;
    assert_eq!(bad.expect_about("after").await["type"], "snapshot");
    told.say(json!({ "type": "auth", "token": "nonsense" })).await;
    assert_eq!(told.expect("error").await["problem"]["code"], "invalid_token");
    let ada = server.anon().login("ada@example.org", PASSWORD).await;
    told.say(json!({ "type": "auth", "token": ada.token() })).await;
    told.expect("authenticated").await;
    let view = told.until("posts", |view| view.docs.len() == 1).await;
    assert_eq!(view.snapshots, 1, "it goes on where it was");
    server.stop().await;
}

#[tokio::test]
async fn m32_whoever_loses_a_right_is_told_nothing_more() {
    let server = lab().await;
    let (ada, bob, admin) = (server.user("ada").await, server.user("bob").await, server.admin().await);
    let open = async |who: &Client| {
        let mut told = Socket::open(who).await;
        told.subscribe("posts", "posts", json!({})).await;
        told
    };
    // A session that ends.
    let mut told = open(&bob).await;
    let refresh = bob.session()["refresh_token"].clone();
    bob.post("/api/auth/logout", json!({ "refresh_token": refresh })).await.expect_status(204);
    post(&ada, "after", "published").await;
    let (code, messages) = told.end().await;
    assert_eq!(code, Some(4401), "{messages:?}");
    assert_eq!(messages.last().unwrap()["reason"], "session_ended");
    assert!(messages.iter().all(|message| message["type"] != "delta"), "{messages:?}");
    // An account that is disabled, and one that is gone.
    for (name, request) in [("carl", Method::PATCH), ("dora", Method::DELETE)] {
        let who = server.user(name).await;
        let mut told = open(&who).await;
        let path = format!("/api/admin/users/{}", who.id());
        let body = (request == Method::PATCH).then(|| json!({ "disabled": true }).to_string());
        let answer = admin.send(request, &path, body).await;
        assert!(answer.text().is_empty() || answer.json()["disabled"] == true, "{answer:?}");
        post(&ada, "more", "published").await;
        let (code, messages) = told.end().await;
        assert_eq!((code, messages.len()), (Some(4401), 1), "{name}: {messages:?}");
    }
    // An administrator who is none any more sees what everybody sees.
    let second = server.user("eve").await;
    let path = format!("/api/admin/users/{}", second.id());
    admin.send(Method::PATCH, &path, Some(json!({ "role": "admin" }).to_string())).await.expect_ok();
    post(&ada, "hers alone", "draft").await;
    let mut told = open(&second).await;
    assert!(told.views["posts"].each("title").contains(&json!("hers alone")));
    admin.send(Method::PATCH, &path, Some(json!({ "role": "user" }).to_string())).await.expect_ok();
    post(&ada, "also hers alone", "draft").await;
    let resync = told.expect("resync").await;
    assert_eq!(resync["reason"], "rights_changed");
    let expected = listed(&second, "").await;
    told.until("posts", |view| view.docs == expected).await;
    assert_eq!(told.next_within(A_WHILE).await, None);
    server.stop().await;
}

#[tokio::test]
async fn m34_nobody_speaks_for_another_or_sees_what_is_theirs() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mut hers = Socket::connect(server.url(), Some(ada.token())).await.unwrap();
    let connection = hers.expect("connected").await["connection"].as_str().unwrap().to_owned();
    hers.subscribe("posts", "posts", json!({})).await;
    let path = format!("/api/realtime/{connection}");
    let end = json!({ "type": "unsubscribe", "id": "posts" });
    bob.post(&path, end.clone()).await.expect_error(404, "connection_not_found");
    bob.post("/api/realtime/0", end).await.expect_error(404, "connection_not_found");
    let mut his = Socket::open(&bob).await;
    his.say(json!({ "type": "unsubscribe", "id": "posts" })).await;
    assert_eq!(his.expect("error").await["problem"]["code"], "not_found");
    his.subscribe("posts", "posts", json!({})).await;
    post(&ada, "mine", "draft").await;
    hers.until("posts", |view| view.docs.len() == 1).await;
    assert_eq!(his.next_within(A_WHILE).await, None);
    // What rules and schema keep back is kept back here as well.
    let refusals = [
        (json!({ "collection": "closed" }), "forbidden"),
        (json!({ "collection": "nothing" }), "collection_not_found"),
        (json!({ "collection": "posts", "where": { "internal_note": "x" } }), "invalid_parameter"),
        (json!({ "collection": "posts", "fields": "hidden_note" }), "invalid_parameter"),
        (json!({ "collection": "posts", "limit": 501 }), "invalid_parameter"),
        (json!({ "collection": "posts", "limit": 0 }), "invalid_parameter"),
        (json!({ "collection": "posts", "limit": "10" }), "validation_failed"),
        (json!({ "collection": "posts", "search": "x" }), "validation_failed"),
        (json!({ "collection": "posts", "since": "yesterday" }), "validation_failed"),
    ];
    for (wanted, code) in refusals {
        let mut message = json!({ "type": "subscribe", "id": "other" });
        message.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        his.say(message.clone()).await;
        let said = his.expect("error").await;
        assert_eq!((&said["problem"]["code"], &said["id"]), (&json!(code), &json!("other")), "{message}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_schema_and_stopping_are_told() {
    let server = lab().await;
    let admin = server.admin().await;
    let mut told = Socket::open(&admin).await;
    told.subscribe("closed", "closed", json!({})).await;
    admin.create("closed", json!({ "name": "one" })).await.expect_created();
    told.until("closed", |view| view.docs.len() == 1).await;
    server.stop().await;
    let (code, messages) = told.end().await;
    assert_eq!(code, Some(1012), "{messages:?}");
    let closing = messages.last().unwrap();
    assert_eq!(closing["reason"], "stopping");
    assert_eq!(closing["resume"]["closed"], told.views["closed"].seq);
}
