//! Hostile and failing functions: the caller is told the cause, the next call works, and the daemon
//! is none the worse for it.

use std::time::{Duration, Instant};

use alyx_tests::{Client, TestServer, wait_until};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{lab, post};

/// Growth of the daemon that no single misbehaving worker may cause.
const GROWTH_MAX_BYTES: u64 = 96 << 20;

/// Calls `function` in a mode that goes wrong, checks the problem, and that the next call works.
async fn check(server: &TestServer, function: &str, mode: &str, expected: &[(u16, &str)]) {
    let anon = server.anon();
    let answer = anon.invoke(function, json!({ "mode": mode })).await;
    let problem = answer.json();
    let code = problem["code"].as_str().unwrap_or_default();
    let status = answer.status.as_u16();
    assert!(
        expected.contains(&(status, code)),
        "{function} {mode}: expected one of {expected:?}, got {answer}"
    );
    assert!(answer.header("x-alyx-execution").is_some(), "{answer:?}");
    assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{answer}");
    if mode == "fork" {
        // The children that it left share its link and end it with their own answers.
        alyx_tests::wait::wait_for("a worker without children", Duration::from_secs(30), async || {
            let calls = [(); 3].map(|()| anon.invoke(function, json!({ "mode": "fine" })));
            let [first, second, third] = calls;
            let statuses = [first.await.status, second.await.status, third.await.status];
            statuses.iter().all(|status| *status == 200).then_some(())
        })
        .await;
    }
    works(&anon, function).await;
}

async fn works(who: &Client, function: &str) {
    let answer = who.invoke(function, json!({ "mode": "fine" })).await;
    assert_eq!(answer.clone().expect_ok()["fine"], true, "{function} after a failure: {answer}");
}

/// Runs a table of failures and checks that the daemon's memory stayed flat.
async fn check_all(function: &str, cases: &[(&str, &[(u16, &str)])]) {
    let server = lab().await;
    works(&server.anon(), function).await;
    let (daemon, supervisor) = (server.daemon(), server.supervisor());
    let before = daemon.memory_bytes();
    for (mode, expected) in cases {
        check(&server, function, mode, expected).await;
    }
    assert!(daemon.is_alive() && supervisor.is_alive());
    let after = daemon.memory_bytes();
    assert!(after < before + GROWTH_MAX_BYTES, "the daemon grew from {before} to {after} bytes");
    server.stop().await;
}

#[tokio::test]
async fn m24_m27_m29_node_failures_name_their_cause() {
    check_all(
        "hostile-node",
        &[
            ("loop", &[(504, "function_timeout"), (504, "function_cpu_time")]),
            ("sleep", &[(504, "function_timeout")]),
            ("memory", &[(507, "function_out_of_memory")]),
            ("exit", &[(502, "function_exited")]),
            ("throw", &[(500, "function_error")]),
            ("uncaught", &[(502, "function_crashed"), (502, "function_exited"), (500, "function_error")]),
            ("garbage", &[(502, "function_protocol_error")]),
            ("giant", &[(502, "function_protocol_error")]),
            ("output", &[(502, "function_output_too_large")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn m24_m27_m29_python_failures_name_their_cause() {
    let fork: &[(u16, &str)] = &[
        (500, "function_error"),
        (502, "function_protocol_error"),
        (502, "function_crashed"),
        (502, "function_exited"),
        (504, "function_timeout"),
        (504, "function_cpu_time"),
        (507, "function_out_of_memory"),
    ];
    check_all(
        "hostile-python",
        &[
            ("loop", &[(504, "function_timeout"), (504, "function_cpu_time")]),
            ("sleep", &[(504, "function_timeout")]),
            ("memory", &[(507, "function_out_of_memory")]),
            ("exit", &[(502, "function_exited")]),
            ("throw", &[(500, "function_error")]),
            ("garbage", &[(502, "function_protocol_error")]),
            ("giant", &[(502, "function_protocol_error")]),
            (
                "close",
                &[
                    (502, "function_protocol_error"),
                    (502, "function_crashed"),
                    (502, "function_exited"),
                    (503, "function_worker_lost"),
                ],
            ),
            ("fork", fork),
        ],
    )
    .await;
}

#[tokio::test]
async fn m24_m27_m29_go_failures_name_their_cause() {
    check_all(
        "hostile-go",
        &[
            ("loop", &[(504, "function_timeout"), (504, "function_cpu_time")]),
            ("sleep", &[(504, "function_timeout")]),
            ("memory", &[(507, "function_out_of_memory")]),
            ("exit", &[(502, "function_exited")]),
            ("panic", &[(502, "function_crashed"), (502, "function_exited")]),
            ("error", &[(500, "function_error")]),
            ("garbage", &[(502, "function_protocol_error")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn m24_the_record_says_which_limit_ended_it() {
    let server = lab().await;
    let admin = server.over_admin_socket();
    for (mode, member) in [("sleep", "timeout"), ("memory", "memory")] {
        let answer = server.anon().invoke("hostile-python", json!({ "mode": mode })).await;
        let details = &answer.json()["details"];
        assert!(details.to_string().contains(member), "{answer}");
        let id = answer.header("x-alyx-execution").unwrap().to_owned();
        let record =
            alyx_tests::wait::wait_for("the execution's record", Duration::from_secs(10), async || {
                let answer = admin.get_path(&format!("/api/admin/executions/{id}")).await;
                (answer.status == 200).then(|| answer.json())
            })
            .await;
        assert_eq!(record["function"], "hostile-python", "{record}");
        assert!(record.to_string().contains(member), "{record}");
        assert_eq!(record["error_code"], answer.json()["code"], "{record}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m24_a_print_flood_is_cut_and_the_call_succeeds() {
    let server = lab().await;
    let daemon = server.daemon();
    for function in ["hostile-node", "hostile-python"] {
        works(&server.anon(), function).await;
        let before = daemon.memory_bytes();
        let answer = server.anon().invoke(function, json!({ "mode": "flood" })).await;
        let ended = answer.status == 200 || answer.json()["code"] == "function_timeout";
        assert!(ended, "{answer}");
        works(&server.anon(), function).await;
        let after = daemon.memory_bytes();
        assert!(after < before + GROWTH_MAX_BYTES, "{function}: the daemon grew from {before} to {after}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m25_a_function_sees_nothing_of_the_daemon() {
    let server = lab().await;
    for function in ["hostile-node", "hostile-python"] {
        let environment = server.anon().invoke(function, json!({ "mode": "environment" })).await.expect_ok();
        let known = ["PATH", "LANG", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LC_CTYPE"];
        let foreign: Vec<&String> =
            environment.as_object().unwrap().keys().filter(|name| !known.contains(&name.as_str())).collect();
        let of_the_host: Vec<&&String> =
            foreign.iter().filter(|name| std::env::var_os(name.as_str()).is_some()).collect();
        assert!(of_the_host.is_empty(), "{function} sees {of_the_host:?}");
        assert_eq!(environment["HOME"], "/tmp");
    }
    let processes = server.anon().invoke("hostile-python", json!({ "mode": "processes" })).await.expect_ok();
    assert!(processes.as_array().unwrap().len() <= 3, "only its own processes: {processes}");
    let descriptors =
        server.anon().invoke("hostile-python", json!({ "mode": "descriptors" })).await.expect_ok();
    // 0 to 3, and the one that lists the folder; the shim may keep a few of its own.
    assert!(descriptors.as_array().unwrap().len() <= 8, "few descriptors: {descriptors}");
    server.stop().await;
}

#[tokio::test]
async fn m27_a_print_is_a_log_line() {
    let server = lab().await;
    let answer = server.anon().invoke("hostile-node", json!({ "mode": "print" })).await;
    assert_eq!(answer.expect_ok(), json!({ "printed": true }));
    let answer = server.anon().invoke("hostile-node", json!({ "mode": "logs" })).await;
    let id = answer.header("x-alyx-execution").unwrap().to_owned();
    answer.expect_ok();
    let admin = server.over_admin_socket();
    alyx_tests::wait::wait_for("both lines in the record", Duration::from_secs(10), async || {
        let text = admin.get_path(&format!("/api/admin/executions/{id}")).await.text();
        (text.contains("a line on stdout") && text.contains("a line on stderr")).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn m28_a_function_acts_with_its_callers_rights() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let draft = post(&ada, "ada's draft", "draft").await;
    let call = async |who: &Client, input: Value| who.invoke("caller", input).await;
    let list = json!({ "op": "list", "collection": "posts", "options": { "count": true } });
    assert_eq!(call(&ada, list.clone()).await.expect_ok()["total"], 1);
    assert_eq!(call(&bob, list).await.expect_ok()["total"], 0);
    let get = json!({ "op": "get", "collection": "posts", "id": draft.id() });
    let denied = call(&bob, get.clone()).await;
    assert!(denied.text().is_empty() || denied.text() == "null" || denied.status == 404, "{denied}");
    assert_eq!(call(&ada, get).await.expect_ok()["title"], "ada's draft");
    let steal =
        json!({ "op": "update", "collection": "posts", "id": draft.id(), "data": { "author": bob.id() } });
    assert!(call(&bob, steal).await.status.is_client_error());
    let forged =
        json!({ "op": "create", "collection": "posts", "data": { "title": "x", "author": ada.id() } });
    assert_eq!(call(&bob, forged).await.json()["code"], "forbidden");
    let invalid =
        json!({ "op": "create", "collection": "posts", "data": { "author": bob.id(), "colour": 1 } });
    assert_eq!(call(&bob, invalid).await.json()["code"], "validation_failed");
    assert_eq!(call(&bob, json!({ "op": "auth" })).await.expect_ok()["id"], bob.id());
    let own = call(&bob, json!({ "op": "nothing" })).await;
    own.expect_error(422, "no_such_op");
    server.stop().await;
}

#[tokio::test]
async fn m29_two_hundred_cold_calls_are_all_answered() {
    let server = lab().await;
    let before = server.processes().len();
    let clients: Vec<Client> = (0..200).map(|_| server.anon()).collect();
    let calls = clients.iter().enumerate().map(|(n, client)| client.invoke("cold", json!({ "n": n })));
    let start = Instant::now();
    let answers = join_all(calls).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.clone().expect_ok()["n"], n, "after {:?}", start.elapsed());
    }
    let functions = server.over_admin_socket().get_path("/api/admin/functions").await.expect_ok();
    // Three workers, each with its init.
    let grown = server.processes().len() - before;
    assert!(grown <= 3 * 2 + 2, "{grown} more processes for at most 3 workers: {functions}");
    server.stop().await;
}

#[tokio::test]
async fn m29_a_killed_supervisor_comes_back() {
    let server = lab().await;
    works(&server.anon(), "hostile-python").await;
    let supervisor = server.supervisor();
    let workers = server.processes();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor.pid), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    wait_until("the supervisor to be gone", Duration::from_secs(10), || !supervisor.is_alive()).await;
    alyx_tests::wait::wait_for("functions to work again", Duration::from_secs(30), async || {
        let answer = server.anon().invoke("hostile-python", json!({ "mode": "fine" })).await;
        assert!([200, 502, 503].contains(&answer.status.as_u16()), "{answer}");
        (answer.status == 200).then_some(())
    })
    .await;
    let daemon = server.daemon();
    let old: Vec<_> = workers.iter().filter(|process| process.command.contains("python")).collect();
    wait_until("the old workers to end", Duration::from_secs(10), || {
        !old.iter().any(|worker| worker.is_alive())
    })
    .await;
    assert!(daemon.is_alive());
    server.stop().await;
}

#[tokio::test]
async fn a_warm_worker_is_used_again() {
    let server = lab().await;
    let count = async || server.anon().invoke("hostile-node", json!({ "mode": "bleed" })).await.expect_ok();
    assert_eq!(count().await["count"], 1);
    assert_eq!(count().await["count"], 2);
    server.stop().await;
}

#[tokio::test]
async fn unknown_functions_and_bad_input_are_refused() {
    let server = lab().await;
    server.anon().invoke("nothing", json!({})).await.expect_error(404, "function_not_found");
    server.anon().invoke("..%2Fcold", json!({})).await.expect_status(404);
    let answer = server.anon().send(reqwest::Method::POST, "/api/functions/cold", Some("{".to_owned())).await;
    answer.expect_error(400, "invalid_json");
    server.stop().await;
}
