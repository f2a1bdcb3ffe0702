//! Attacks found by trying to break a running daemon, each kept as a test.

use std::time::Duration;

use alyx_tests::TestServer;
use alyx_tests::server::PASSWORD;
use alyx_tests::wait::wait_for;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab;

const MIB: u64 = 1024 * 1024;

async fn connect(server: &TestServer) -> TcpStream {
    let address = server.url().trim_start_matches("http://");
    TcpStream::connect(address).await.expect("connect")
}

/// Sends bytes and reads until the other side ends the connection.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = connect(server).await;
    stream.write_all(bytes).await.expect("send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_name_one_host() {
    let server = lab().await;
    let cases: [(&str, &str); 6] = [
        ("", "400"),
        ("host: a\r\nhost: b\r\n", "400"),
        ("host: a\r\nhost: a\r\n", "400"),
        ("host: a b\r\n", "400"),
        ("host: a\r\n", "200"),
        ("host: [::1]:8090\r\n", "200"),
    ];
    for (host, status) in cases {
        let request = format!("GET /health/live HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let answer = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host:?}: {answer}");
        assert!(status == "200" || answer.contains("\"invalid_request\""), "{host:?}: {answer}");
    }
    // HTTP/1.0 knows no hosts.
    let answer = raw(&server, b"GET /health/live HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn m12_the_throttle_does_not_remember_what_was_tried() {
    let server = lab().await;
    let daemon = server.daemon();
    let anon = server.anon();
    let attempt = async |number: usize| {
        let email = format!("{number}{}", "a".repeat(60_000));
        anon.post("/api/auth/login", json!({ "email": email, "password": "wrong horse" })).await;
    };
    // What the allocator keeps is not what the throttle keeps.
    for number in 0..100 {
        attempt(number).await;
    }
    let before = daemon.memory_bytes();
    for number in 100..1_100 {
        attempt(number).await;
    }
    let grown = daemon.memory_bytes().saturating_sub(before);
    assert!(grown < 30 * MIB, "1,000 attempts with 60 kB each left {} MiB", grown / MIB);
    server.stop().await;
}

#[tokio::test]
async fn m16_held_bodies_do_not_fill_the_memory() {
    const HEAD: &[u8] =
        b"POST /api/collections/posts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 8000000\r\n\r\n{\"title\":\"";
    let server = lab().await;
    let daemon = server.daemon();
    let before = daemon.memory_bytes();
    let held = join_all((0..100).map(async |_| {
        let mut stream = connect(&server).await;
        stream.write_all(HEAD).await.expect("send");
        // One that is refused is closed while it sends.
        drop(stream.write_all(&vec![b'a'; 7_900_000]).await);
        stream
    }))
    .await;
    let grown = daemon.memory_bytes().saturating_sub(before);
    assert!(grown < 400 * MIB, "100 held bodies of 8 MB take {} MiB", grown / MIB);
    // Those who send little are served meanwhile.
    let login = json!({ "email": "nobody@example.org", "password": PASSWORD });
    server.anon().post("/api/auth/login", login.clone()).await.expect_error(401, "invalid_credentials");
    drop(held);
    let ada = server.user("ada").await;
    let body = json!({ "title": "hi", "author": ada.id(), "body": "x".repeat(2_000_000) });
    wait_for("large bodies are taken again", Duration::from_secs(30), async || {
        (ada.create("posts", body.clone()).await.status == 201).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn m16_unread_answers_do_not_fill_the_memory() {
    const REQUEST: &[u8] = b"GET /api/collections/posts?sort=title HTTP/1.1\r\nhost: x\r\n\r\n";
    let server = lab().await;
    let ada = server.user("ada").await;
    for title in ["a", "b", "c", "d"] {
        let body = "x".repeat(3_000_000);
        let document = json!({ "title": title, "author": ada.id(), "status": "published", "body": body });
        ada.create("posts", document).await.expect_created();
    }
    let before = server.daemon().memory_bytes();
    let mut held = Vec::new();
    for group in 0..7 {
        let group = join_all((group * 6..(group + 1) * 6).map(async |_| {
            let mut stream = connect(&server).await;
            stream.write_all(REQUEST).await.expect("send");
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.expect("an answer begins");
            (stream, String::from_utf8_lossy(&status).into_owned())
        }));
        held.extend(group.await);
    }
    let grown = server.daemon().memory_bytes().saturating_sub(before);
    assert!(grown < 450 * MIB, "42 unread answers of 12 MB take {} MiB", grown / MIB);
    let refused = held.iter().filter(|(_, status)| status == "HTTP/1.1 503").count();
    assert!((1..42).contains(&refused), "{refused} of 42 were refused");
    // Small answers are served meanwhile, and large ones again when the others are gone.
    server.anon().list("posts", "fields=title").await.expect_ok();
    drop(held);
    wait_for("large answers are given again", Duration::from_secs(30), async || {
        (server.anon().list("posts", "sort=title").await.status == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn m27_an_input_does_not_end_a_worker() {
    let server = lab().await;
    let call = async |function: &str, input: String| {
        server.anon().send(Method::POST, &format!("/api/functions/{function}"), Some(input)).await
    };
    for function in ["hostile-node", "hostile-python", "hostile-go"] {
        for value in
            ["9".repeat(5_000), "1e999".to_owned(), r#""\ud800""#.to_owned(), r#"{"a":1,"a":2}"#.to_owned()]
        {
            let input = format!(r#"{{"mode":"fine","value":{value}}}"#);
            call(function, input).await.expect_error(400, "invalid_json");
        }
        for value in ["9".repeat(300), "1e-999".to_owned(), r#""\ud83c\udf89\u0000""#.to_owned()] {
            call(function, format!(r#"{{"mode":"fine","value":{value}}}"#)).await.expect_ok();
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn m09_a_disabled_account_does_not_get_its_sessions_back() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let admin = server.over_admin_socket();
    let set = async |disabled: bool| {
        admin.patch("users", ada.id(), json!({ "disabled": disabled })).await.expect_document();
    };
    ada.get_path("/api/auth/me").await.expect_ok();
    set(true).await;
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    set(false).await;
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let refresh = json!({ "refresh_token": ada.session()["refresh_token"] });
    let answer = server.anon().send(Method::POST, "/api/auth/refresh", Some(refresh.to_string())).await;
    answer.expect_error(401, "invalid_refresh_token");
    let again = server.anon().login("ada@example.org", PASSWORD).await;
    again.get_path("/api/auth/me").await.expect_ok();
    // Another write to the account ends nothing.
    admin.patch("users", ada.id(), json!({ "verified": true })).await.expect_document();
    again.get_path("/api/auth/me").await.expect_ok();
    server.stop().await;
}
