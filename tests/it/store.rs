//! What was acknowledged stays; one slow caller does not hold up the others.

use std::time::{Duration, Instant};

use alyx_tests::TestServer;
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{lab, post};

#[tokio::test]
async fn m15_acknowledged_writes_survive_a_kill() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let author = ada.id().to_owned();
    let daemon = server.daemon();
    let writers = (0..8).map(|writer| {
        let (ada, author) = (ada.clone(), author.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let http = reqwest::Client::new();
            for number in 0..10_000 {
                let body =
                    json!({ "title": format!("{writer}-{number}"), "author": author, "status": "published" });
                let request =
                    http.post(format!("{}/api/collections/posts", ada.base())).bearer_auth(ada.token());
                match request.header("content-type", "application/json").body(body.to_string()).send().await {
                    Ok(answer) if answer.status() == 201 => acknowledged.push(format!("{writer}-{number}")),
                    _ => break,
                }
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let admin = server.over_admin_socket();
    alyx_tests::wait::wait_for("some writes", Duration::from_secs(30), async || {
        let list = admin.list("posts", "limit=1&count=true").await.json();
        (list["total"].as_u64() >= Some(200)).then_some(())
    })
    .await;
    kill(Pid::from_raw(daemon.pid), Signal::SIGKILL).unwrap();
    let acknowledged: Vec<String> =
        join_all(writers).await.into_iter().flat_map(|writer| writer.expect("a writer ended")).collect();
    assert!(acknowledged.len() >= 200, "{} writes", acknowledged.len());
    let project = server.wait_for_end().await;
    let server = TestServer::start(project).await;
    let admin = server.over_admin_socket();
    let mut stored = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = admin.list("posts", &format!("limit=1000&fields=title{cursor}")).await.expect_ok();
        stored.extend(
            page["docs"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|doc| doc["title"].as_str().map(str::to_owned)),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|title| !stored.contains(*title)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    server.stop().await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let created = post(&ada, "kept", "draft").await;
    let token = ada.token().to_owned();
    let server = server.restart().await;
    let same = server.anon().with_token(&token);
    assert_eq!(same.get("posts", created.id()).await.expect_ok(), created.0);
    let again = server.anon().login("ada@example.org", alyx_tests::server::PASSWORD).await;
    assert_eq!(again.get("posts", created.id()).await.expect_ok(), created.0);
    server.stop().await;
}

#[tokio::test]
async fn m16_a_slow_reader_blocks_nobody() {
    use tokio::io::AsyncWriteExt;
    let server = lab().await;
    let ada = server.user("ada").await;
    let text = "x".repeat(100_000);
    for _ in 0..50 {
        let body = json!({ "title": "large", "author": ada.id(), "body": text, "status": "published" });
        ada.create("posts", body).await.expect_created();
    }
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = b"GET /api/collections/posts?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        slow.push(stream);
    }
    let start = Instant::now();
    for _ in 0..20 {
        post(&ada, "quick", "published").await;
        ada.list("posts", "limit=1").await.expect_ok();
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn the_list_rule_holds_on_ten_thousand_documents() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let create = async |who: &alyx_tests::Client, from: usize| {
        for number in from..from + 1_250 {
            let status = if number % 10 == 0 { "published" } else { "draft" };
            let body = json!({ "title": format!("p{number:05}"), "author": who.id(), "status": status });
            who.create("posts", body).await.expect_created();
        }
    };
    let writers = (0..8).map(|part| create(if part < 6 { &ada } else { &bob }, part * 1_250));
    join_all(writers).await;
    let count = async |who: &alyx_tests::Client, query: &str| {
        who.list("posts", &format!("limit=1&count=true&{query}")).await.expect_ok()["total"].as_u64().unwrap()
    };
    // Ada wrote 7,500, Bob 2,500; each tenth is published.
    assert_eq!(count(&ada, "").await, 7_500 + 250);
    assert_eq!(count(&bob, "").await, 2_500 + 750);
    assert_eq!(count(&server.anon(), "").await, 1_000);
    assert_eq!(count(&bob, "filter=status:eq:draft").await, 2_250);
    assert_eq!(count(&server.anon(), "filter=status:eq:draft").await, 0);
    assert_eq!(count(&server.over_admin_socket(), "").await, 10_000);
    let page = bob.list("posts", "sort=-title&limit=1000&fields=title,author,status").await.expect_docs();
    assert_eq!(page.len(), 1_000);
    let denied = page.iter().filter(|doc| doc["author"] != bob.id() && doc["status"] != "published").count();
    assert_eq!(denied, 0);
    server.stop().await;
}
