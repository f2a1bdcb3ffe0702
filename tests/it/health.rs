//! What does not work is named, everywhere in the same words, and what does goes on.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use alyx_tests::page::{Step, blocks, steps};
use alyx_tests::server::daemon_alone;
use alyx_tests::wait::wait_for;
use alyx_tests::{Cli, Client, Project, TestServer, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::docs::follow;

const PATIENCE: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
version: 1
collections:
  notes:
    fields: { id: { type: id, primary: true, default: auto } }
    rules: { create: 'true' }
functions:
  snake: { runtime: python, rules: { invoke: 'true' } }
  script: { runtime: node, rules: { invoke: 'true' } }
";

fn project() -> Project {
    Project::schema(SCHEMA)
        .with("functions/snake/main.py", "def handler(ctx):\n    return 1\n")
        .with("functions/script/index.js", "export default () => 1;\n")
}

/// Python itself: what is on PATH may be a script that finds it.
fn python() -> PathBuf {
    let mut ask = std::process::Command::new("python3");
    let output =
        ask.args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Asserts that a component is degraded, for everybody who may look, for this reason.
async fn expect_degraded(server: &TestServer, component: &str, reason: &str) {
    let is_named = |health: &Value, place: &str| {
        let part = &health["components"][component];
        assert_eq!((health["state"].as_str(), part["state"].as_str()), (Some("degraded"), Some("degraded")));
        assert!(part["reason"].as_str().is_some_and(|text| text.contains(reason)), "{place}: {health}");
    };
    is_named(&server.anon().get_path("/health").await.expect_ok(), "/health");
    let status = server.over_admin_socket().get_path("/api/admin/status").await.expect_ok();
    is_named(&status["health"], "status");
    let doctor = server.cli().run(&["doctor", "--json"]).await.json();
    let checks = doctor["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == component);
    let check = check.unwrap_or_else(|| panic!("doctor does not name {component}: {doctor}"));
    assert_eq!(check["state"], "warning");
    assert!(check["detail"].as_str().is_some_and(|text| text.contains(reason)), "{check}");
    let metrics = server.over_admin_socket().get_path("/api/admin/metrics").await.expect_status(200).text();
    assert!(metrics.contains(&format!("alyx_health_state{{component=\"{component}\"}} 1\n")), "{metrics}");
}

#[tokio::test]
async fn a_language_that_is_missing_is_named_and_the_others_work() {
    let programs = tempfile::tempdir().unwrap();
    symlink(python(), programs.path().join("python3")).unwrap();
    let server = TestServer::start_with_programs(project(), programs.path()).await;
    expect_degraded(&server, "functions", "there is no node for functions").await;
    server.anon().invoke("snake", json!({})).await.expect_ok();
    let answer = server.anon().invoke("script", json!({})).await;
    assert!(answer.status.is_server_error(), "{}", answer.text());
    server.stop().await;
}

#[tokio::test]
async fn without_a_supervisor_documents_are_served_and_functions_are_refused() {
    let project = project();
    let socket = project.root().join("admin.sock");
    let mut daemon = daemon_alone(&project, &socket).spawn().unwrap();
    let admin = wait_for("the daemon to listen", PATIENCE, async || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok().then(|| Client::over_socket(&socket))
    })
    .await;
    let health = admin.get_path("/health").await.expect_ok();
    assert_eq!(health["state"], "degraded");
    assert_eq!(health["components"]["supervisor"]["state"], "degraded");
    // Nobody knows which languages there are.
    assert_eq!(health["components"]["functions"]["state"], "ok");
    assert_eq!(admin.get_path("/health/ready").await.expect_ok()["state"], "ok");
    admin.create("notes", json!({})).await.expect_created();
    admin.invoke("snake", json!({})).await.expect_error(503, "functions_unavailable");
    let said = Cli::in_folder(&project.folder()).with_socket(&socket).run(&["doctor"]).await;
    assert!(said.out.contains("the supervisor does not answer"), "{}", said.out);
    kill(Pid::from_raw(daemon.id().unwrap().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_page_about_operation_does_what_it_says() {
    let page = std::fs::read_to_string(tree::root().join("docs/operations.md")).unwrap();
    let steps: Vec<Step> = blocks(&page, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 5);
    let server = TestServer::start(project()).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    // Every component has its line, and no other has one.
    let health = server.anon().get_path("/health").await.expect_ok();
    let served: BTreeSet<&str> =
        health["components"].as_object().unwrap().keys().map(String::as_str).collect();
    let section = page.split_once("## Components of the health").unwrap().1.split_once("\n## ").unwrap().0;
    let named: BTreeSet<&str> =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    assert_eq!(served, named);
    server.stop().await;
}
