//! What a browser sends along by itself opens nothing, and what nobody sent changes nothing.

use std::time::Duration;

use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab;

/// Methods and paths of the description of the API, with something in place of parameters.
async fn operations(anon: &Client) -> Vec<(Method, String, Value)> {
    let openapi = anon.get_path("/api/openapi.json").await.expect_ok();
    let mut found = Vec::new();
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            found.push((method, path.replace(['{', '}'], ""), operation.clone()));
        }
    }
    found
}

/// The cookies of a session of Ada in a browser.
async fn cookies(server: &TestServer) -> String {
    server.user("ada").await;
    let body = json!({ "email": "ada@example.org", "password": PASSWORD }).to_string();
    let headers = [("content-type", "application/json"), ("x-alyx-session", "cookie")];
    let answer = server.anon().raw(Method::POST, "/api/auth/login", &headers, body.into_bytes()).await;
    let set = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text"));
    let cookies: Vec<String> = set.filter_map(|cookie| cookie.split(';').next()).map(str::to_owned).collect();
    assert!(cookies.len() >= 3, "{cookies:?}");
    cookies.join("; ")
}

/// Sends bytes and reads until the other side ends the connection.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await.expect("connect");
    stream.write_all(bytes).await.expect("send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One route becomes a WebSocket, and only for pages of its own origin, with or without the cookies of a
/// session.
#[tokio::test]
async fn m14_no_page_elsewhere_opens_a_websocket() {
    let server = lab().await;
    let cookies = cookies(&server).await;
    let own = server.url().to_owned();
    let host = own.trim_start_matches("http://");
    let mut paths: Vec<String> =
        operations(&server.anon()).await.into_iter().map(|(_, path, _)| path).collect();
    paths.dedup();
    paths.extend(["/", "/ws", "/api/realtime", "/api/changes?follow=true"].map(str::to_owned));
    assert!(paths.len() > 50, "{paths:?}");
    // What a WebSocket would carry first: a text frame, masked.
    let frame = "\u{1}\u{5}hello";
    for path in &paths {
        for origin in ["https://evil.test", "null", own.as_str()] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncookie: {cookies}\r\n\
                 connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{frame}"
            );
            let answer = raw(&server, head.as_bytes()).await;
            let place = format!("{path} from {origin}: {answer}");
            if path == "/api/realtime" && origin == own {
                // The only route that does, for a page of its own. The frame was not masked.
                assert!(
                    answer.starts_with("HTTP/1.1 101 ") && answer.contains("not the protocol"),
                    "{place}"
                );
                continue;
            }
            assert!(answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.1 1"), "{place}");
            let told = answer.to_lowercase();
            assert!(!told.contains("sec-websocket-accept") && !told.contains("\r\nupgrade:"), "{place}");
            assert!(!told.contains("access-control-allow-"), "{place}");
            // The connection ends, so what follows is taken neither for a frame nor for a request.
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{place}");
            assert!(told.contains("\r\nconnection: close"), "{place}");
        }
    }
    // Other protocols are none of ours, either.
    for protocol in ["h2c", "TLS/1.2", "websocket, h2c"] {
        let head = format!(
            "GET /health/live HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade, HTTP2-Settings\r\n\
             upgrade: {protocol}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        let answer = raw(&server, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{protocol}: {answer}");
    }
    server.stop().await;
}

/// Credentials go with no origin at all: one that is allowed shows its tokens itself.
#[tokio::test]
async fn m14_no_origin_is_allowed_credentials_and_none_is_a_wildcard() {
    let allowed = "https://app.example.com";
    let config = format!("cors: {{ allowed_origins: ['{allowed}'] }}\n");
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &config)).await;
    let cookies = cookies(&server).await;
    for (method, path, _) in operations(&server.anon()).await {
        for origin in [allowed, "https://evil.test"] {
            let asked = method.to_string();
            let headers = [
                ("origin", origin),
                ("cookie", cookies.as_str()),
                ("access-control-request-method", asked.as_str()),
            ];
            let answer = server.anon().raw(Method::OPTIONS, &path, &headers, Vec::new()).await;
            let place = format!("{method} {path} from {origin}: {answer}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{place}");
            let told = answer.header("access-control-allow-origin");
            assert!(told.is_none_or(|told| told == origin && origin == allowed), "{place}");
        }
    }
    let project = server.stop().await;
    for wildcard in ["*", "https://*", "https://*.example.com", "null"] {
        let config = format!("cors: {{ allowed_origins: ['{wildcard}'] }}\n");
        project.write("alyx.yaml", &config);
        let file = project.folder().join("alyx.yaml");
        let output = tokio::process::Command::new(alyx_tests::tree::program("alyxd"))
            .args(["check-config", "--config"])
            .arg(&file)
            .output()
            .await
            .expect("run alyxd");
        let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains("cors.allowed_origins"), "{wildcard}: {text}");
    }
}

/// What anybody may ask for who is not signed in, of all that can change something. Each has limits of its
/// own, shows a secret in its body, or is signed. Whether somebody may write documents or call a function is said by
/// rules.
const OPEN: [&str; 19] = [
    "/api/auth/anonymous",
    "/api/auth/email/confirm",
    "/api/auth/login",
    "/api/auth/logout",
    "/api/auth/mfa/challenge",
    "/api/auth/oauth/exchange",
    "/api/auth/otp/request",
    "/api/auth/otp/verify",
    "/api/auth/passkey/login/begin",
    "/api/auth/passkey/login/finish",
    "/api/auth/password/forgot",
    "/api/auth/password/reset",
    "/api/auth/refresh",
    "/api/auth/register",
    "/api/auth/setup",
    "/api/auth/verify/confirm",
    "/api/auth/verify/request",
    "/auth/page",
    "/hooks/path",
];

#[tokio::test]
async fn m10_what_changes_something_takes_a_sign_in_or_is_named_here() {
    let server = lab().await;
    let anon = server.anon();
    let mut open = std::collections::BTreeSet::new();
    for (method, path, operation) in operations(&anon).await {
        let by_rule = ["/api/collections/", "/api/functions/", "/api/batch", "/api/realtime", "/api/events/"];
        if method == Method::GET || by_rule.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        if OPEN.contains(&path.as_str()) {
            assert_eq!(operation["security"], json!([]), "{method} {path}");
            open.insert(path);
            continue;
        }
        let answer = anon.send(method.clone(), &path, Some("{}".to_owned())).await;
        assert_eq!(answer.status, 401, "{method} {path}: {answer}");
        answer.expect_error(401, "unauthenticated");
    }
    assert_eq!(open.len(), OPEN.len(), "the list names what is not there: {open:?}");
    server.stop().await;
}
