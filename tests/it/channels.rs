//! Channels: who may listen, speak and be there, and what they are told.

use std::time::Duration;

use alyx_tests::realtime::{Events, Socket};
use alyx_tests::{Client, PASSWORD, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const A_WHILE: Duration = Duration::from_millis(700);

const SCHEMA: &str = "
version: 1
collections:
  members:
    fields:
      id: { type: id, primary: true, default: auto }
      room: { type: string }
      person: { type: relation, relation: { collection: users, onDelete: cascade } }
channels:
  rooms:
    rules:
      subscribe: &member \"collection('members').exists(m, m.room == doc.key && m.person == auth.id)\"
      broadcast: \"doc.event == 'say' && collection('members').exists(m, m.room == doc.key && m.person == auth.id)\"
      presence: *member
  lobby: { rules: { subscribe: 'true', broadcast: 'auth.id != null', presence: 'true' } }
  editors: { rules: { subscribe: \"auth.role == 'editor'\", presence: \"auth.role == 'editor'\" } }
  closed: {}
  orders: { events: [order.paid], rules: { subscribe: \"auth.id != null\" } }
events:
  order.paid: {}
  order.lost: {}
";

async fn start() -> TestServer {
    TestServer::start(Project::schema(SCHEMA)).await
}

fn say(channel: &str, payload: Value) -> Value {
    json!({ "type": "broadcast", "channel": channel, "event": "say", "payload": payload })
}

fn be_there(channel: &str, state: Value) -> Value {
    json!({ "type": "presence", "channel": channel, "state": state })
}

/// Subscribes; answers who is there.
async fn listen(told: &mut Socket, id: &str, channel: &str) -> Value {
    told.say(json!({ "type": "subscribe", "id": id, "channel": channel })).await;
    let joined = told.expect_about(id).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    joined["present"].clone()
}

async fn member(admin: &Client, room: &str, who: &Client) -> String {
    let document = json!({ "room": room, "person": who.id() });
    admin.create("members", document).await.expect_created().id().to_owned()
}

#[tokio::test]
async fn what_is_said_reaches_everybody_who_may_listen() {
    let server = start().await;
    let (ada, bob, eve) = (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let admin = server.over_admin_socket();
    member(&admin, "7", &ada).await;
    let his = member(&admin, "7", &bob).await;
    let mut hers = Socket::open(&ada).await;
    assert_eq!(listen(&mut hers, "r", "rooms/7").await, json!([]));
    let mut events =
        Events::open(&bob, "?subscribe=%7B%22id%22:%22x%22,%22channel%22:%22rooms/7%22%7D").await;
    events.next().await;
    assert_eq!(events.next().await["type"], "joined");
    // Lines would end an event early.
    let text = json!({ "type": "broadcast", "channel": "rooms/7", "event": "say", "payload": { "n": 1 } });
    hers.say(text).await;
    let said = hers.expect_about("r").await;
    assert_eq!((&said["payload"], &said["user"]), (&json!({ "n": 1 }), &json!(ada.id())));
    let path = "/api/realtime";
    let pretty =
        "{\n  \"channel\": \"rooms/7\",\n  \"event\": \"say\",\n  \"payload\": {\n \"n\":\r 2.50 }\n}\n";
    let sent = bob.send(Method::POST, path, Some(pretty.to_owned())).await;
    sent.expect_status(204);
    let said = hers.expect_about("r").await;
    let expected = |id: &str| json!({ "id": id, "type": "broadcast", "event": "say", "payload": { "n": 2.50 }, "user": bob.id() });
    assert_eq!(said, expected("r"));
    assert_eq!(events.next().await["payload"], json!({ "n": 1 }));
    assert_eq!(events.next().await, expected("x"));
    // Who is no member neither hears nor speaks; in no other room does a member.
    let mut other = Socket::open(&eve).await;
    for (said, code) in [
        (json!({ "type": "subscribe", "id": "r", "channel": "rooms/7" }), "forbidden"),
        (say("rooms/7", json!("hello")), "forbidden"),
        (be_there("rooms/7", json!({})), "forbidden"),
        (json!({ "type": "subscribe", "id": "c", "channel": "closed" }), "forbidden"),
        (json!({ "type": "subscribe", "id": "n", "channel": "nowhere" }), "channel_not_found"),
    ] {
        other.say(said.clone()).await;
        assert_eq!(other.expect("error").await["problem"]["code"], code, "{said}");
    }
    ada.post(path, say("rooms/8", json!(1))).await.expect_error(403, "forbidden");
    ada.post(path, json!({ "channel": "rooms/7", "event": "sing" })).await.expect_error(403, "forbidden");
    server.anon().post(path, say("lobby", json!(1))).await.expect_error(401, "unauthenticated");
    admin.post(path, say("rooms/8", json!("nobody listens"))).await.expect_status(204);
    // Whoever is a member no more is told nothing that is said later.
    admin.delete("members", &his).await.expect_status(204);
    ada.post(path, say("rooms/7", json!("between us"))).await.expect_status(204);
    assert_eq!(hers.expect_about("r").await["payload"], "between us");
    let ended = events.next().await;
    assert_eq!((&ended["id"], &ended["problem"]["code"]), (&json!("x"), &json!("forbidden")));
    server.stop().await;
}

#[tokio::test]
async fn who_is_there_is_shown() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (mut hers, mut his) = (Socket::open(&ada).await, Socket::open(&bob).await);
    listen(&mut hers, "l", "lobby").await;
    hers.say(be_there("lobby", json!({ "mood": "calm" }))).await;
    let came = hers.expect_about("l").await;
    let reference = came["present"][0]["ref"].clone();
    let expected = json!([{ "ref": reference, "user": ada.id(), "state": { "mood": "calm" } }]);
    assert_eq!((&came["type"], &came["present"], &came["gone"]), (&json!("presence"), &expected, &json!([])));
    assert_eq!(listen(&mut his, "l", "lobby").await, expected);
    // The same again is nothing new.
    hers.say(be_there("lobby", json!({ "mood": "calm" }))).await;
    hers.say(be_there("lobby", json!({ "mood": "gay" }))).await;
    for told in [&mut hers, &mut his] {
        let changed = told.expect_about("l").await;
        assert_eq!(changed["present"][0]["state"], json!({ "mood": "gay" }));
        assert_eq!(changed["present"][0]["ref"], reference);
    }
    // Being there does not need listening, and ends with the connection.
    let mut third = Socket::open(&server.anon()).await;
    third.say(be_there("lobby", json!(1))).await;
    let came = his.expect_about("l").await;
    assert_eq!((&came["present"][0]["user"], &came["present"][0]["state"]), (&Value::Null, &json!(1)));
    drop(third);
    let gone = his.expect_about("l").await;
    assert_eq!((&gone["gone"][0], &gone["present"]), (&came["present"][0]["ref"], &json!([])));
    hers.say(be_there("lobby", Value::Null)).await;
    assert_eq!(his.expect_about("l").await["gone"], json!([reference]));
    assert_eq!(listen(&mut hers, "again", "lobby").await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn whoever_loses_a_right_leaves_channels() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let admin = server.admin().await;
    let set = async |who: &Client, role: &str| {
        let path = format!("/api/admin/users/{}", who.id());
        admin.send(Method::PATCH, &path, Some(json!({ "role": role }).to_string())).await.expect_ok();
    };
    set(&ada, "editor").await;
    set(&bob, "editor").await;
    let (mut hers, mut his) = (Socket::open(&ada).await, Socket::open(&bob).await);
    listen(&mut his, "e", "editors").await;
    listen(&mut hers, "e", "editors").await;
    hers.say(be_there("editors", json!({}))).await;
    hers.expect_about("e").await;
    assert_eq!(his.expect_about("e").await["type"], "presence");
    set(&ada, "user").await;
    admin.post("/api/realtime", say("editors", json!("secret"))).await.expect_status(204);
    let told = [his.expect_about("e").await, his.expect_about("e").await];
    assert!(told.iter().any(|said| said["gone"].as_array().is_some_and(|gone| gone.len() == 1)), "{told:?}");
    assert!(told.iter().any(|said| said["payload"] == "secret"), "{told:?}");
    let errors = [hers.expect("error").await, hers.expect("error").await];
    assert!(errors.iter().all(|error| error["problem"]["code"] == "forbidden"), "{errors:?}");
    assert_eq!(hers.next_within(A_WHILE).await, None);
    // Whoever has another identity begins anew.
    his.say(json!({ "type": "auth", "token": admin.token() })).await;
    let resync = his.expect("resync").await;
    assert_eq!((&resync["reason"], &resync["missed"]), (&json!("rights_changed"), &json!(0)));
    assert_eq!(his.expect_about("e").await["type"], "joined");
    // A schema without the channel ends it.
    server.project.write("schema.yaml", &SCHEMA.replace("  editors:", "  others:"));
    let ended = his.expect("error").await;
    assert_eq!((&ended["id"], &ended["problem"]["code"]), (&json!("e"), &json!("channel_not_found")));
    server.stop().await;
}

#[tokio::test]
async fn what_is_said_meanwhile_is_told_or_counted() {
    let server =
        TestServer::start(Project::schema(SCHEMA).with("alyx.yaml", "auth: { access_ttl: 6s }\n")).await;
    let ada = server.user("ada").await;
    let admin = server.over_admin_socket();
    let mut told = Socket::open(&ada).await;
    listen(&mut told, "l", "lobby").await;
    let mut n = 0;
    for count in [3, 100] {
        let ended = told.expect("error").await;
        assert_eq!(ended["problem"]["code"], "invalid_token");
        for _ in 0..count {
            admin.post("/api/realtime", say("lobby", json!(n))).await.expect_status(204);
            n += 1;
        }
        told.say(say("lobby", json!("by a token that has ended"))).await;
        assert_eq!(told.expect("error").await["problem"]["code"], "invalid_token");
        let again = server.anon().login("ada@example.org", PASSWORD).await;
        told.say(json!({ "type": "auth", "token": again.token() })).await;
        told.expect("authenticated").await;
        let mut next = told.expect_about("l").await;
        let mut known = n - count;
        if next["type"] == "resync" {
            assert_eq!((count, &next["reason"]), (100, &json!("slow")));
            known += next["missed"].as_i64().unwrap();
            assert_eq!(told.expect_about("l").await["type"], "joined");
            next = told.expect_about("l").await;
        }
        loop {
            assert_eq!(next["payload"], known);
            known += 1;
            if known == n {
                break;
            }
            next = told.expect_about("l").await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_speak_on_channels_they_have_a_scope_for() {
    let server = start().await;
    let admin = server.admin().await;
    let make = async |scope: &str| {
        let body = json!({ "name": "k", "scopes": [scope] });
        let made = admin.post("/api/admin/api-keys", body).await.expect_status(201).json();
        server.anon().with_token(made["key"].as_str().expect("the key is shown once"))
    };
    let (speaks, other) = (make("channels:closed").await, make("channels:rooms").await);
    let mut told = Socket::open(&speaks).await;
    listen(&mut told, "c", "closed/1").await;
    speaks.post("/api/realtime", say("closed/1", json!("hi"))).await.expect_status(204);
    let said = told.expect_about("c").await;
    assert_eq!((&said["payload"], &said["user"]), (&json!("hi"), &Value::Null));
    other.post("/api/realtime", say("closed/1", json!("hi"))).await.expect_error(403, "forbidden");
    server.stop().await;
}

#[tokio::test]
async fn events_reach_channels_that_name_them() {
    let server = start().await;
    let admin = server.over_admin_socket();
    let publish = async |name: &str, text: &str| {
        let path = format!("/api/events/{name}");
        admin.send(Method::POST, &path, Some(text.to_owned())).await.expect_status(202);
    };
    publish("order.paid", "\"before anybody listens\"").await;
    let mut told = Socket::open(&server.user("ada").await).await;
    listen(&mut told, "o", "orders").await;
    listen(&mut told, "k", "orders/1").await;
    publish("order.lost", "1").await;
    for n in 0..150 {
        publish("order.paid", &format!("{{\n\"n\": {n}\n}}")).await;
    }
    for n in 0..150 {
        let said = told.expect("broadcast").await;
        let expected = json!({
            "id": "o", "type": "broadcast", "event": "order.paid", "payload": { "n": n }, "user": null,
        });
        assert_eq!(said, expected);
    }
    assert_eq!(told.next_within(A_WHILE).await, None);
    // Nobody says what looks like an event, not even who may say anything.
    let say = |channel: &str, event: &str| json!({ "channel": channel, "event": event, "payload": 1 });
    let forged = admin.post("/api/realtime", say("orders", "order.paid")).await;
    let problem = forged.expect_error(422, "validation_failed");
    assert!(problem.detail.contains("is an event of the project"), "{problem:?}");
    admin.post("/api/realtime", say("orders", "order.lost")).await.expect_status(204);
    assert_eq!(told.expect("broadcast").await["event"], "order.lost");
    server.stop().await;
}

#[tokio::test]
async fn wrong_messages_about_channels_are_told_what_is_wrong() {
    let server = start().await;
    let ada = server.user("ada").await;
    let mut told = Socket::open(&ada).await;
    let long = "x".repeat(65);
    let cases = [
        (json!({ "type": "broadcast", "channel": "lobby" }), "validation_failed"),
        (json!({ "type": "broadcast", "channel": "lobby", "event": "" }), "validation_failed"),
        (json!({ "type": "broadcast", "channel": "lobby", "event": long }), "validation_failed"),
        (json!({ "type": "broadcast", "channel": "lobby", "event": "e", "more": 1 }), "validation_failed"),
        (json!({ "type": "broadcast", "channel": "lobby/", "event": "e" }), "channel_not_found"),
        (json!({ "type": "broadcast", "channel": "lobby/\u{7}", "event": "e" }), "channel_not_found"),
        (be_there("lobby", json!("x".repeat(5_000))), "validation_failed"),
        (json!({ "type": "subscribe", "id": "x", "channel": "lobby", "limit": 3 }), "validation_failed"),
        (json!({ "type": "subscribe", "id": long, "channel": "lobby" }), "validation_failed"),
    ];
    for (said, code) in cases {
        told.say(said.clone()).await;
        assert_eq!(told.expect("error").await["problem"]["code"], code, "{said}");
    }
    for text in [
        r#"{"channel":"lobby","event":"e","payload":{"a":1,"a":2}}"#,
        r#"{"channel":"lobby","event":"e","payload":1e999}"#,
    ] {
        let answer = ada.send(Method::POST, "/api/realtime", Some(text.to_owned())).await;
        answer.expect_error(422, "validation_failed");
    }
    let answer = ada.send(Method::POST, "/api/realtime", Some("{".to_owned())).await;
    answer.expect_error(400, "invalid_json");
    // A subscription is one, whatever it is to.
    listen(&mut told, "x", "lobby").await;
    told.say(json!({ "type": "subscribe", "id": "x", "channel": "lobby" })).await;
    assert_eq!(told.expect("error").await["problem"]["code"], "conflict");
    told.say(json!({ "type": "unsubscribe", "id": "x" })).await;
    told.expect("unsubscribed").await;
    ada.post("/api/realtime", say("lobby", json!(1))).await.expect_status(204);
    assert_eq!(told.next_within(A_WHILE).await, None);
    server.stop().await;
}
