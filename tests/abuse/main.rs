//! The numbered list of hostile behaviours, each as a test named after its number.
//!
//! A probe of `fixtures/abuse` runs inside a worker and, as the positive control, outside it: an act
//! counts as contained only if it is refused inside and works where nothing stops it. Acts without a
//! harmless form outside have no control and say so by an empty list.
//! `docs/security.md` says for each number which layer stops it.

mod build;
mod files;
mod link;
mod local;
mod network;
mod processes;
mod resources;

use std::process::Command;
use std::time::Duration;

use alyx_tests::{Answer, Project, TestServer, tree};
use serde_json::{Value, json};

/// What a refusal may look like: which layer answers first differs with kernel and act.
const REFUSED: &[&str] = &["EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT"];

/// For conditions that hold within milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn server() -> TestServer {
    TestServer::start(Project::fixture("abuse")).await
}

/// Runs a probe natively, as the positive control.
fn control(probe: &str, arguments: &Value) -> Value {
    let script = tree::root().join("tests/fixtures/abuse/functions/probe/main.py");
    let output = Command::new("python3").arg(script).args([probe, &arguments.to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("control of {probe}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs a probe in a worker.
async fn call(server: &TestServer, function: &str, probe: &str, arguments: &Value) -> Answer {
    let mut input = arguments.clone();
    input["probe"] = json!(probe);
    server.anon().invoke(function, input).await
}

/// Runs a probe in a worker and returns what its handler returned.
async fn inside(server: &TestServer, function: &str, probe: &str, arguments: &Value) -> Value {
    call(server, function, probe, arguments).await.expect_ok()
}

/// The code of a problem document; empty for anything else.
fn code_of(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    body["code"].as_str().unwrap_or_default().to_owned()
}

/// Every act in `acts` is refused inside with one of `accepted`, and every one of `works` is `ok` outside.
async fn contained(probe: &str, arguments: Value, acts: &[&str], accepted: &[&str], works: &[&str]) {
    let server = server().await;
    contained_by(&server, probe, arguments, acts, accepted, works).await;
    server.stop().await;
}

async fn contained_by(
    server: &TestServer,
    probe: &str,
    arguments: Value,
    acts: &[&str],
    accepted: &[&str],
    works: &[&str],
) {
    let seen = inside(server, "probe", probe, &arguments).await;
    for act in acts {
        let outcome = seen[*act].as_str().unwrap_or_else(|| panic!("{probe} has no act {act}: {seen}"));
        assert!(
            accepted.contains(&outcome),
            "{probe}: {act} ended with {outcome} inside, wanted one of {accepted:?}"
        );
    }
    let outside = control(probe, &arguments);
    for act in works {
        let outcome = outside[*act].as_str().unwrap_or_default();
        assert!(
            outcome.is_empty() || outcome.starts_with("ok"),
            "control of {probe}: {act} ended with {outcome}"
        );
    }
}

/// The function answers a problem of one of these codes, and the next call works.
async fn fails_then_recovers(
    server: &TestServer,
    function: &str,
    probe: &str,
    arguments: Value,
    codes: &[&str],
) {
    let answer = call(server, function, probe, &arguments).await;
    let code = code_of(&answer);
    assert!(
        codes.contains(&code.as_str()),
        "{function} {probe} {arguments}: wanted one of {codes:?}, got {answer}"
    );
    works_again(server, function).await;
}

async fn works_again(server: &TestServer, function: &str) {
    call(server, function, "a001", &json!({ "paths": ["/nowhere"] })).await.expect_ok();
}

fn processes_named(name: &str) -> usize {
    let is_named = |entry: &std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(is_named).count()
}

fn descriptors(server: &TestServer) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.daemon().pid)).unwrap().count()
}

fn own_pid() -> u32 {
    std::process::id()
}
