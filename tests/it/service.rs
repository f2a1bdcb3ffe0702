//! Start, stop and kill; and the manners of the HTTP surface.

use std::time::Duration;

use alyx_tests::{Client, Project, TestServer};
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::json;

use crate::{lab, post};

/// A worker of each runtime.
async fn warm(who: &Client) {
    for function in ["hostile-node", "hostile-python", "hostile-go"] {
        who.invoke(function, json!({ "mode": "fine" })).await.expect_ok();
    }
}

#[tokio::test]
async fn m30_a_stopped_service_leaves_nothing() {
    let server = lab().await;
    warm(&server.anon()).await;
    // `stop` looks for processes, mounts, sockets and temporary files.
    server.stop().await;
}

#[tokio::test]
async fn m30_a_killed_service_leaves_no_process_and_starts_again() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let kept = post(&ada, "kept", "published").await;
    warm(&ada).await;
    let project = server.kill().await;
    let server = TestServer::start(project).await;
    server.anon().get("posts", kept.id()).await.expect_ok();
    server.anon().invoke("hostile-python", json!({ "mode": "fine" })).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn m30_a_stop_during_calls_leaves_nothing() {
    let server = lab().await;
    let anon = server.anon();
    let calls: Vec<_> = ["hostile-node", "hostile-python"]
        .map(|function| {
            let anon = anon.clone();
            tokio::spawn(async move { anon.invoke(function, json!({ "mode": "sleep" })).await })
        })
        .into_iter()
        .collect();
    alyx_tests::wait_until("two workers", Duration::from_secs(30), || server.processes().len() >= 7).await;
    server.stop().await;
    for call in calls {
        // Answered or cut off, but not hanging.
        drop(tokio::time::timeout(Duration::from_secs(10), call).await.expect("the call ended"));
    }
}

#[tokio::test]
async fn a_second_instance_on_the_same_data_is_refused() {
    let server = lab().await;
    let data = server.project.data();
    let said = server.cli().run(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).await;
    let said = said.expect_code(1);
    assert!(said.err.contains("another `alyx dev`") && said.err.contains("hint:"), "{said:#?}");
    server.anon().get_path("/health").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_socket_path_that_is_too_long_is_refused() {
    let project = Project::fixture("lab");
    let data = project.root().join("d".repeat(120));
    let cli = alyx_tests::Cli::in_folder(&project.folder());
    let said =
        cli.run(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).await.expect_code(1);
    assert!(said.err.contains("socket path") && said.err.contains("--data"), "{said:#?}");
}

#[tokio::test]
async fn m40_errors_are_problem_documents() {
    let server = lab().await;
    let anon = server.anon();
    for path in [
        "/nothing",
        "/api",
        "/api/",
        "/api/nothing",
        "/health/nothing",
        "/api/collections",
        "/%00",
        "//",
        "/api/collections/posts/a/b",
    ] {
        let answer = anon.get_path(path).await;
        assert_eq!(answer.status.as_u16(), 404, "{answer}");
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "{kind}: {answer}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        let problem = answer.json();
        assert!(problem["request_id"].is_string() && problem["code"].is_string(), "{problem}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        anon.send(method, "/health", None).await.expect_error(405, "method_not_allowed");
    }
    let text = [("content-type", "text/plain")];
    let answer = anon.raw(Method::POST, "/api/collections/posts", &text, b"hello".to_vec()).await;
    assert!([401, 415].contains(&answer.status.as_u16()), "{answer}");
    let large = " ".repeat(64 << 20);
    let client = reqwest::Client::new();
    let request =
        client.post(format!("{}/api/auth/login", server.url())).header("content-type", "application/json");
    // The server may close the connection before it has read everything.
    if let Ok(answer) = request.body(large).send().await {
        assert_eq!(answer.status().as_u16(), 413);
    }
    server.stop().await;
}

#[tokio::test]
async fn health_says_what_works() {
    let server = lab().await;
    for path in ["/health", "/health/live", "/health/ready"] {
        server.anon().get_path(path).await.expect_ok();
    }
    let openapi = server.anon().get_path("/api/openapi.json").await.expect_ok();
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{openapi}");
    assert!(openapi["paths"]["/health"].is_object(), "{openapi}");
    server.stop().await;
}

#[tokio::test]
async fn m17_bad_requests_do_not_end_the_daemon() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = lab().await;
    let daemon = server.daemon();
    let address = server.url().trim_start_matches("http://").to_owned();
    let requests: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999999999\r\n\r\n{",
        b"POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
    ];
    for request in requests {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection ends after {request:?}");
    }
    let open = join_all((0..200).map(|_| tokio::net::TcpStream::connect(&address))).await;
    server.anon().get_path("/health").await.expect_ok();
    drop(open);
    assert!(daemon.is_alive());
    server.stop().await;
}

#[tokio::test]
async fn m41_a_stop_finishes_what_is_in_flight() {
    let server = lab().await;
    let anon = server.anon();
    anon.invoke("cold", json!({ "n": 0 })).await.expect_ok();
    let pid = server.daemon().pid;
    let calls: Vec<_> = (0..10)
        .map(|n| {
            let anon = anon.clone();
            tokio::spawn(async move { anon.invoke("cold", json!({ "n": n })).await })
        })
        .collect();
    let admin = server.over_admin_socket();
    alyx_tests::wait::wait_for("a call to be running", Duration::from_secs(10), async || {
        let text = admin.get_path("/api/admin/executions?function=cold").await.text();
        text.contains("cold").then_some(())
    })
    .await;
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    for call in calls {
        // A call that was accepted is answered; one that came too late is refused, not cut off.
        if let Ok(answer) = call.await {
            assert!([200, 503].contains(&answer.status.as_u16()), "{answer}");
        }
    }
}
