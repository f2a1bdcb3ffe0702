//! The same document through every door: what a rule denies is denied by each of them, in the same way.

mod fields;
mod functions;
mod secrets;
mod upserts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{post, titles};

/// Beside the collections of the lab: one that refers to posts, and rules that only hold for somebody.
const MORE: &str = r#"
  shelves:
    fields:
      id: { type: id, primary: true, default: auto }
      post: { type: relation, relation: { collection: posts, onDelete: cascade } }
      slug: { type: string, unique: true, nullable: true }
      owner: { type: string, nullable: true }
    rules:
      read: "true"
      create: "auth.id != null && doc.owner == auth.id"
      update: "old.owner == auth.id && doc.owner == old.owner"
      delete: "old.owner == auth.id"
  vaults:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: string }
      slug: { type: string, unique: true }
      n: { type: int, default: 0 }
    rules:
      read: "doc.owner == auth.id"
      create: "auth.id != null && doc.owner == auth.id && doc.n < 5"
      update: "old.owner == auth.id && doc.owner == auth.id"
      delete: "old.owner == auth.id"
  signed:
    fields: { id: { type: id, primary: true, default: auto, client: true }, n: { type: int, default: 0 } }
    rules: { read: "auth.id != null", create: "auth.id != null", update: "auth.id != null", delete: "auth.id != null" }
  careless:
    fields: { id: { type: id, primary: true, default: auto, client: true }, n: { type: int, default: 0 } }
    rules:
      read: "auth.email.endsWith('@example.org')"
      create: "auth.id.size() > 0"
      update: "auth.role < 'z'"
      delete: "auth.verified || true == auth.verified"
  broken:
    fields: { id: { type: id, primary: true, default: auto }, name: { type: string }, n: { type: int, default: 0 } }
    rules:
      get: "1 / doc.n > 0"
      list: { rule: "1 / doc.n > 0", post_filter: true }
      subscribe: "1 / doc.n > 0"
      create: "1 / doc.n > 0"
      update: "1 / old.n > 0"
      delete: "1 / old.n > 0"

functions:"#;

async fn start() -> TestServer {
    let project = Project::fixture("lab");
    let schema = std::fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
    let schema = schema.replace("maxLength: 200 }", "maxLength: 200, search: true }");
    project.write("schema.yaml", &schema.replace("\nfunctions:", MORE));
    TestServer::start(project).await
}

async fn ctx(who: &Client, input: Value) -> alyx_tests::client::Answer {
    who.invoke("caller", input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn m01_every_door_shows_the_same_documents() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let since = bob.get_path("/api/changes").await.expect_ok()["next"].as_str().unwrap().to_owned();
    let drafts = [post(&ada, "ada draft", "draft").await, post(&bob, "bob draft", "draft").await];
    let open = post(&ada, "ada open", "published").await;
    for made in [&drafts[0], &drafts[1], &open] {
        let body = json!({ "post": made.id(), "owner": bob.id() });
        bob.create("shelves", body).await.expect_created();
    }
    let expected = ["ada open", "bob draft"];
    for query in ["", "&filter=views:eq:0", "&where=%7B%22$not%22:%7B%22title%22:%22x%22%7D%7D"] {
        let list = bob.list("posts", &format!("sort=title&count=true{query}")).await.expect_ok();
        assert_eq!(
            (titles(list["docs"].as_array().unwrap()), &list["total"]),
            (expected.to_vec(), &json!(2))
        );
    }
    let words = bob.list("posts", "sort=title&search=draft&count=true").await.expect_ok();
    assert_eq!((titles(words["docs"].as_array().unwrap()), &words["total"]), (vec!["bob draft"], &json!(1)));
    let groups = bob.get_path("/api/collections/posts/aggregate?group=title&count=true").await.expect_ok();
    let told = groups.to_string();
    assert!(told.contains("ada open") && told.contains("bob draft") && !told.contains("ada draft"), "{told}");
    let shelves = bob.list("shelves", "sort=id&expand=post").await.expect_docs();
    let shown: Vec<_> = shelves.iter().map(|shelf| &shelf["expand"]["post"]["title"]).collect();
    assert_eq!(shown, [&Value::Null, &json!("bob draft"), &json!("ada open")]);
    let through = bob.list("shelves", "filter=post.title:eq:ada%20draft").await.expect_docs();
    assert!(through.is_empty(), "{through:?}");
    for options in [json!({ "sort": "title" }), json!({ "sort": "title", "where": { "views": 0 } })] {
        let call = json!({ "op": "list", "collection": "posts", "options": options });
        assert_eq!(titles(ctx(&bob, call).await.expect_ok()["docs"].as_array().unwrap()), expected);
    }
    let found = json!({ "op": "list", "collection": "posts", "options": { "search": "draft" } });
    assert_eq!(titles(ctx(&bob, found).await.expect_ok()["docs"].as_array().unwrap()), ["bob draft"]);
    let feed = bob.get_path(&format!("/api/changes?since={since}&collections=posts")).await.text();
    assert!(feed.contains("ada open") && !feed.contains("ada draft"), "{feed}");
    // A bulk write counts, of what it may not see, nothing.
    let bulk = "/api/collections/posts?filter=status:eq:draft&limit=10&dry_run=true";
    assert_eq!(bob.send(Method::DELETE, bulk, None).await.expect_ok()["count"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m05_no_door_fails_for_want_of_an_identity() {
    let server = start().await;
    let (anon, admin) = (server.anon(), server.admin().await);
    for collection in ["signed", "careless"] {
        admin.create(collection, json!({ "id": "one" })).await.expect_created();
        let all = format!("/api/collections/{collection}");
        let one = format!("{all}/one");
        let body = || Some(json!({ "n": 1 }).to_string());
        let batch = |op: &str| {
            let operation = json!({ "op": op, "collection": collection, "id": "one", "data": { "n": 1 } });
            json!({ "operations": [operation] }).to_string()
        };
        let create =
            json!({ "operations": [{ "op": "create", "collection": collection, "data": { "n": 1 } }] });
        let delete = json!({ "operations": [{ "op": "delete", "collection": collection, "id": "one" }] });
        for (method, path, body) in [
            (Method::GET, one.clone(), None),
            (Method::PATCH, one.clone(), body()),
            (Method::PUT, one.clone(), body()),
            (Method::DELETE, one.clone(), None),
            (Method::POST, all.clone(), body()),
            (Method::PUT, format!("{all}/two"), body()),
            (Method::POST, "/api/batch".to_owned(), Some(create.to_string())),
            (Method::POST, "/api/batch".to_owned(), Some(batch("update"))),
            (Method::POST, "/api/batch".to_owned(), Some(delete.to_string())),
        ] {
            let answer = anon.send(method.clone(), &path, body).await;
            assert!([401, 403, 404].contains(&answer.status.as_u16()), "{method} {path}: {answer}");
        }
        for (method, body) in [(Method::PATCH, body()), (Method::DELETE, None)] {
            let answer = anon.send(method, &format!("{all}?filter=n:gte:0&limit=9"), body).await;
            let nothing = answer.status == 200 && answer.json()["count"] == 0;
            assert!(nothing || [401, 403].contains(&answer.status.as_u16()), "{answer}");
        }
        let list = anon.list(collection, "count=true").await.expect_ok();
        assert_eq!((&list["docs"], &list["total"]), (&json!([]), &json!(0)));
        let sum = anon.get_path(&format!("{all}/aggregate?count=true&max=n")).await.expect_ok();
        assert!(sum.to_string().contains("\"count\":0") || sum["groups"] == json!([]), "{sum}");
        let feed = anon.get_path(&format!("/api/changes?collections={collection}")).await;
        assert!([200, 401, 403].contains(&feed.status.as_u16()), "{feed}");
        assert_eq!(admin.get(collection, "one").await.expect_ok()["n"], 0);
        assert_eq!(admin.list(collection, "count=true").await.expect_ok()["total"], 1);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m06_no_door_gives_or_takes_ownership() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mine = post(&ada, "mine", "published").await;
    let shelf = json!({ "post": mine.id(), "owner": ada.id(), "slug": "s" });
    let shelf = ada.create("shelves", shelf).await.expect_created();
    let posts = "/api/collections/posts";
    let one = format!("{posts}/{}", mine.id());
    let batch = |op: &str, data: Value| {
        let operation = json!({ "op": op, "collection": "posts", "id": mine.id(), "data": data });
        (Method::POST, "/api/batch".to_owned(), json!({ "operations": [operation] }))
    };
    for (who, whose) in [(&ada, bob.id()), (&bob, bob.id()), (&bob, ada.id())] {
        let body = json!({ "title": "taken", "author": whose });
        for (method, path, body) in [
            (Method::PATCH, one.clone(), body.clone()),
            (Method::PUT, one.clone(), body.clone()),
            (Method::PATCH, format!("{posts}?filter=title:eq:mine&limit=5"), body.clone()),
            (
                Method::POST,
                "/api/collections/shelves?upsert=slug".to_owned(),
                json!({ "slug": "s", "post": mine.id(), "owner": bob.id() }),
            ),
            batch("update", body.clone()),
            batch("replace", body.clone()),
        ] {
            let answer = who.send(method.clone(), &path, Some(body.to_string())).await;
            assert!(answer.status.is_client_error(), "{method} {path}: {answer}");
        }
        let call = json!({ "op": "update", "collection": "posts", "id": mine.id(), "data": body });
        let answer = ctx(who, call).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    // In one transaction, neither before nor after an allowed change.
    let step = |data: Value| json!({ "op": "update", "collection": "posts", "id": mine.id(), "data": data });
    for steps in [
        json!([step(json!({ "title": "first" })), step(json!({ "author": bob.id() }))]),
        json!([step(json!({ "author": bob.id() })), step(json!({ "author": ada.id() }))]),
    ] {
        let answer = ada.post("/api/batch", json!({ "operations": steps })).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    for forged in [json!({ "title": "x", "author": ada.id() }), json!({ "title": "x", "author": "nobody" })] {
        bob.create("posts", forged.clone()).await.expect_error(403, "forbidden");
        let call = json!({ "op": "create", "collection": "posts", "data": forged });
        let answer = ctx(&bob, call).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    let now = ada.get("posts", mine.id()).await.expect_ok();
    assert_eq!(now, mine.0, "nothing was changed");
    assert_eq!(ada.get("shelves", shelf.id()).await.expect_ok(), shelf.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m07_no_door_tells_a_denied_document_from_an_absent_one() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let draft = post(&ada, "draft", "draft").await;
    let absent = "0".repeat(draft.id().len());
    let doors = |id: &str| {
        let one = format!("/api/collections/posts/{id}");
        let body = json!({ "title": "x", "author": bob.id() });
        let batch =
            |op: &str| json!({ "operations": [{ "op": op, "collection": "posts", "id": id, "data": body }] });
        let delete = json!({ "operations": [{ "op": "delete", "collection": "posts", "id": id }] });
        let call = |op: &str| json!({ "op": op, "collection": "posts", "id": id, "data": body });
        let caller = "/api/functions/caller".to_owned();
        vec![
            (Method::GET, one.clone(), None),
            (Method::GET, format!("{one}?fields=id"), None),
            (Method::GET, format!("{one}?expand=author"), None),
            (Method::PATCH, one.clone(), Some(body.clone())),
            (Method::PATCH, one.clone(), Some(json!({ "title": "" }))),
            (Method::PUT, one.clone(), Some(body.clone())),
            (Method::DELETE, one, None),
            (Method::GET, format!("/api/collections/posts?filter=id:eq:{id}&count=true"), None),
            (Method::GET, format!("/api/collections/posts/aggregate?filter=id:eq:{id}&count=true"), None),
            (
                Method::PATCH,
                format!("/api/collections/posts?filter=id:eq:{id}&limit=2"),
                Some(json!({ "title": "x" })),
            ),
            (Method::DELETE, format!("/api/collections/posts?filter=id:eq:{id}&limit=2"), None),
            (Method::POST, "/api/batch".to_owned(), Some(batch("update"))),
            (Method::POST, "/api/batch".to_owned(), Some(batch("replace"))),
            (Method::POST, "/api/batch".to_owned(), Some(delete)),
            (Method::POST, caller.clone(), Some(call("get"))),
            (Method::POST, caller.clone(), Some(call("update"))),
            (Method::POST, caller, Some(call("delete"))),
        ]
    };
    for who in [&bob, &server.anon()] {
        for (denied, missing) in doors(draft.id()).into_iter().zip(doors(&absent)) {
            let (denied, missing) = (ask(who, denied, draft.id()).await, ask(who, missing, &absent).await);
            assert_eq!(denied, missing);
        }
    }
    assert_eq!(ada.get("posts", draft.id()).await.expect_ok(), draft.0);
    server.stop().await;
}

/// Status, names of headers and body of an answer, without what is different in every answer.
async fn ask(who: &Client, door: (Method, String, Option<Value>), id: &str) -> String {
    let (method, path, body) = door;
    let answer = who.send(method.clone(), &path, body.map(|body| body.to_string())).await;
    let mut told = if answer.text().is_empty() { Value::Null } else { answer.json() };
    if let Some(members) = told.as_object_mut() {
        members.remove("request_id");
    }
    let place = path.replace(id, "ID");
    format!("{method} {place}: {} etag {} {}", answer.status, answer.header("etag").is_some(), told)
        .replace(id, "ID")
}

/// One door of a collection, and how many messages it shows.
type Door = (&'static str, fn(&Value) -> usize);

const MEMBERS_SCHEMA: &str = r#"version: 1
collections:
  members:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      person: { type: string }
    rules: {}
  messages:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      text: { type: string, search: true }
    rules: { read: "collection('members').exists(m, m.person == auth.id)" }
  pins:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      message: { type: relation, relation: { collection: messages } }
    rules: { read: "true" }
"#;

const DOORS: [Door; 6] = [
    ("/api/collections/messages", |answer| answer["docs"].as_array().map_or(0, Vec::len)),
    ("/api/collections/messages?limit=1&count=true", |answer| {
        usize::try_from(answer["total"].as_u64().unwrap_or(0)).unwrap()
    }),
    ("/api/collections/messages?search=hello", |answer| answer["docs"].as_array().map_or(0, Vec::len)),
    ("/api/collections/messages/aggregate?count=true", |answer| {
        usize::try_from(answer["groups"][0]["count"].as_u64().unwrap_or(0)).unwrap()
    }),
    ("/api/collections/pins?expand=message", |answer| {
        usize::from(answer["docs"][0]["expand"]["message"].is_object())
    }),
    ("/api/collections/messages/one", |answer| usize::from(answer["id"] == "one")),
];

/// How often a membership comes and goes.
fn rounds() -> usize {
    if std::env::var_os("ALYX_LONG").is_some() { 200 } else { 8 }
}

#[tokio::test(flavor = "multi_thread")]
async fn m01_nothing_is_seen_after_a_membership_is_removed() {
    let server = TestServer::start(Project::schema(MEMBERS_SCHEMA)).await;
    let (bob, admin) = (server.user("bob").await, server.admin().await);
    admin.create("messages", json!({ "id": "one", "text": "hello" })).await.expect_created();
    admin.create("pins", json!({ "message": "one" })).await.expect_created();
    // Odd while the membership is there, even while it is not; it changes after it is removed and
    // before it is there again, so what begins and ends in one even state began after the removal.
    let state = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let seen: Vec<_> = DOORS.iter().map(|_| Arc::new(AtomicUsize::new(usize::MAX))).collect();
    let readers: Vec<_> = DOORS
        .into_iter()
        .zip(&seen)
        .map(|(door, seen)| tokio::spawn(watch(bob.clone(), door, state.clone(), over.clone(), seen.clone())))
        .collect();
    let all_have_seen = async |wanted: usize| {
        wait_for("every door to be read", Duration::from_secs(120), async || {
            assert!(
                !readers.iter().any(tokio::task::JoinHandle::is_finished),
                "a door showed what it must not"
            );
            seen.iter().all(|seen| seen.load(Ordering::SeqCst) == wanted).then_some(())
        })
        .await;
    };
    for round in 0..rounds() {
        all_have_seen(2 * round).await;
        state.fetch_add(1, Ordering::SeqCst);
        admin.create("members", json!({ "id": "m", "person": bob.id() })).await.expect_created();
        all_have_seen(2 * round + 1).await;
        admin.delete("members", "m").await.expect_status(204);
        state.fetch_add(1, Ordering::SeqCst);
    }
    all_have_seen(2 * rounds()).await;
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    server.stop().await;
}

/// Reads a door again and again. Ends the test if it shows a message to somebody who is no member.
async fn watch(
    bob: Client,
    door: Door,
    state: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
) {
    let (path, count) = door;
    while !over.load(Ordering::SeqCst) {
        let before = state.load(Ordering::SeqCst);
        let answer = bob.get_path(path).await;
        assert!(!answer.status.is_server_error(), "{path}: {answer}");
        let shown = count(&answer.json());
        if state.load(Ordering::SeqCst) == before {
            let removed = before.is_multiple_of(2);
            assert!(!removed || shown == 0, "{path} in state {before}: {answer}");
            // A member sees it from the moment the creation is acknowledged, not before.
            if removed || shown > 0 {
                seen.store(before, Ordering::SeqCst);
            }
        }
    }
}
