//! The change feed over HTTP, under rules.

use std::collections::BTreeMap;
use std::time::Duration;

use alyx_tests::{Client, TestServer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{lab, post};

/// Changes after a place, and the next place.
async fn read(who: &Client, since: &str, more: &str) -> (Vec<Value>, String) {
    let answer = who.get_path(&format!("/api/changes?since={since}{more}")).await.expect_ok();
    (answer["changes"].as_array().unwrap().clone(), answer["next"].as_str().unwrap().to_owned())
}

async fn now(who: &Client) -> String {
    let answer = who.get_path("/api/changes").await.expect_ok();
    assert_eq!(answer["changes"], json!([]));
    answer["next"].as_str().unwrap().to_owned()
}

fn ops(changes: &[Value]) -> Vec<String> {
    let text = |change: &Value, member: &str| change[member].as_str().unwrap_or_default().to_owned();
    changes.iter().map(|one| format!("{} {}", text(one, "op"), text(one, "id"))).collect()
}

#[tokio::test]
async fn m01_the_feed_shows_only_what_the_read_rule_allows() {
    let server = lab().await;
    let (ada, bob, admin) = (server.user("ada").await, server.user("bob").await, server.over_admin_socket());
    let start = now(&ada).await;
    let draft = post(&ada, "mine", "draft").await;
    admin.create("closed", json!({ "name": "secret" })).await.expect_created();
    let id = draft.id();

    let (hers, _) = read(&ada, &start, "").await;
    assert_eq!(ops(&hers), [format!("create {id}")]);
    assert_eq!(hers[0]["after"], draft.0);
    assert!(hers[0].get("identity").is_none(), "who did it is for administrators: {hers:?}");
    let (his, his_next) = read(&bob, &start, "").await;
    assert!(his.is_empty(), "{his:?}");
    let (all, _) = read(&admin, &start, "&collections=posts,closed").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["identity"], format!("user:{}", ada.id()));
    assert!(all[0]["after"].get("internal_note").is_some(), "administrators see everything");
    bob.get_path(&format!("/api/changes?since={start}&collections=closed"))
        .await
        .expect_error(403, "forbidden");
    server.anon().get_path("/api/changes?collections=closed").await.expect_error(401, "unauthenticated");

    // It comes into Bob's sight, changes, and goes out of it.
    ada.patch("posts", id, json!({ "status": "published" })).await.expect_ok();
    ada.patch("posts", id, json!({ "title": "new" })).await.expect_ok();
    ada.patch("posts", id, json!({ "status": "draft", "title": "hidden again" })).await.expect_ok();
    ada.patch("posts", id, json!({ "title": "more" })).await.expect_ok();
    ada.delete("posts", id).await.expect_status(204);
    let (his, _) = read(&bob, &his_next, "").await;
    assert_eq!(ops(&his), [format!("create {id}"), format!("update {id}"), format!("delete {id}")]);
    assert!(his[0].get("before").is_none(), "what it was before he may not know: {his:?}");
    assert_eq!((&his[1]["before"]["title"], &his[1]["after"]["title"]), (&json!("mine"), &json!("new")));
    assert!(his[2].get("after").is_none() && his[2]["before"]["title"] == "new", "{his:?}");
    let told = serde_json::to_string(&his).unwrap();
    assert!(!told.contains("hidden again") && !told.contains("more\""), "{told}");
    let (hers, _) = read(&ada, &start, "").await;
    assert_eq!(hers.len(), 6);
    server.stop().await;
}

#[tokio::test]
async fn m03_the_feed_reveals_no_hidden_or_internal_field() {
    let server = lab().await;
    let (ada, admin) = (server.user("ada").await, server.over_admin_socket());
    let start = now(&ada).await;
    let body = json!({ "title": "t", "author": ada.id(), "hidden_note": "canary-1" });
    let note = ada.create("posts", body).await.expect_created();
    admin.patch("posts", note.id(), json!({ "internal_note": "canary-2" })).await.expect_ok();
    admin.patch("posts", note.id(), json!({ "hidden_note": "canary-3" })).await.expect_ok();
    let (changes, _) = read(&ada, &start, "").await;
    let text = serde_json::to_string(&changes).unwrap();
    assert!(!text.contains("canary") && !text.contains("_note"), "{text}");
    let (changes, _) = read(&admin, &start, "&collections=posts").await;
    let text = serde_json::to_string(&changes).unwrap();
    assert!((1..=3).all(|number| text.contains(&format!("canary-{number}"))), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn m31_no_change_is_lost_or_told_twice() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let (start, daemon) = (now(&ada).await, server.daemon());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let ada = ada.clone();
            tokio::spawn(async move {
                for number in 0..60 {
                    let made = post(&ada, &format!("{writer}-{number}"), "draft").await;
                    ada.patch("posts", made.id(), json!({ "title": format!("{writer}-{number}+") }))
                        .await
                        .expect_ok();
                    if number % 3 == 0 {
                        ada.delete("posts", made.id()).await.expect_status(204);
                    }
                }
            })
        })
        .collect();
    // One follows with long polls while they write, and stops at the end.
    let (mut since, mut told) = (start.clone(), Vec::new());
    let deletions = 4 * 20;
    while told.len() < 4 * 60 * 2 + deletions {
        let (changes, next) = read(&ada, &since, "&wait=20&limit=7").await;
        assert!(!changes.is_empty(), "waited in vain after {}", told.len());
        told.extend(changes);
        since = next;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // Another reads it all afterwards and is told the same.
    let (mut place, mut again) = (start.clone(), Vec::new());
    loop {
        let (changes, next) = read(&ada, &place, "&limit=1000").await;
        if changes.is_empty() {
            break;
        }
        again.extend(changes);
        place = next;
    }
    assert_eq!(told, again);
    let seqs: Vec<u64> = told.iter().map(|change| change["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "ordered and unique");

    // What was told, one after the other, gives the documents that are there.
    let mut known = BTreeMap::new();
    for change in &told {
        let id = change["id"].as_str().unwrap().to_owned();
        let before = match change["op"].as_str().unwrap() {
            "delete" => known.remove(&id),
            _ => known.insert(id, change["after"].clone()),
        };
        assert_eq!(before.as_ref(), change.get("before"), "the previous value is right");
    }
    let docs = ada.list("posts", "limit=1000&sort=id").await.expect_docs();
    assert_eq!(known.into_values().collect::<Vec<_>>(), docs);

    // Nothing changes by dying.
    kill(Pid::from_raw(daemon.pid), Signal::SIGKILL).unwrap();
    let server = TestServer::start(server.wait_for_end().await).await;
    let ada = server.anon().with_token(ada.token());
    let (mut place, mut after_death) = (start, Vec::new());
    while after_death.len() < told.len() {
        let (changes, next) = read(&ada, &place, "&limit=1000").await;
        assert!(!changes.is_empty(), "{} of {}", after_death.len(), told.len());
        after_death.extend(changes);
        place = next;
    }
    assert_eq!(after_death, told);
    let (rest, _) = read(&ada, &place, "").await;
    assert!(rest.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_cascade_is_told_as_a_whole() {
    let server = lab().await;
    let (ada, admin) = (server.user("ada").await, server.over_admin_socket());
    for number in 0..10 {
        post(&ada, &number.to_string(), "published").await;
    }
    let start = now(&admin).await;
    admin.delete("users", ada.id()).await.expect_status(204);
    let (changes, _) = read(&admin, &start, "&limit=3").await;
    assert_eq!(changes.len(), 11, "a transaction is not cut: {changes:?}");
    assert!(changes.iter().all(|change| change["tx"] == changes[0]["seq"]));
    server.stop().await;
}

#[tokio::test]
async fn places_that_are_gone_ask_for_a_new_start() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let place = now(&ada).await;
    let (incarnation, seq) = place.split_once('.').unwrap();
    let other = format!("{}.{seq}", "0".repeat(32));
    let future = format!("{incarnation}.{}", seq.parse::<u64>().unwrap() + 1_000);
    for gone in [other, future] {
        ada.get_path(&format!("/api/changes?since={gone}")).await.expect_error(410, "resync_required");
    }
    for bad in [
        "since=",
        "since=x",
        "since=1",
        "since=%00",
        "limit=0",
        "limit=1001",
        "wait=56",
        "wait=-1",
        "nope=1",
        "collections=posts&collections=posts",
    ] {
        ada.get_path(&format!("/api/changes?{bad}")).await.expect_error(400, "invalid_parameter");
    }
    ada.get_path("/api/changes?collections=nothing").await.expect_error(404, "collection_not_found");
    ada.get_path("/api/changes?collections=").await.expect_error(404, "collection_not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_a_change_its_time_or_the_daemon() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let start = now(&ada).await;
    let waiting = |who: &Client, seconds: u32| {
        let (who, start) = (who.clone(), start.clone());
        tokio::spawn(async move { read(&who, &start, &format!("&wait={seconds}")).await })
    };
    let (hers, his) = (waiting(&ada, 50), waiting(&bob, 1));
    let made = post(&ada, "draft", "draft").await;
    let (changes, _) =
        tokio::time::timeout(Duration::from_secs(30), hers).await.expect("it was told").unwrap();
    assert_eq!(ops(&changes), [format!("create {}", made.id())]);
    let (changes, next) = his.await.unwrap();
    assert!(changes.is_empty() && next != start, "he is told how far the feed has come");
    // Stopping does not wait for them.
    let last = waiting(&bob, 55);
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop().await;
    let (changes, _) = last.await.unwrap();
    assert!(changes.is_empty());
}

#[tokio::test]
async fn m33_the_feed_does_not_grow_without_bound() {
    let project = alyx_tests::Project::fixture("lab").with("alyx.yaml", "changes: { keep_count: 5 }\n");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let start = now(&ada).await;
    for number in 0..20 {
        post(&ada, &number.to_string(), "published").await;
    }
    // Old changes are removed at a start, and every ten minutes.
    let server = server.restart().await;
    let ada = server.anon().with_token(ada.token());
    alyx_tests::wait::wait_for("old changes to go", Duration::from_secs(60), async || {
        let answer = ada.get_path(&format!("/api/changes?since={start}")).await;
        (answer.status == 410).then_some(())
    })
    .await;
    let (kept, _) = read(&ada, "start", "").await;
    assert_eq!(kept.len(), 5);
    server.stop().await;
}
