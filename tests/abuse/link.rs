//! The worker link, its logs and calls, and what a long run leaves: numbers 77 to 104.

use std::time::Duration;

use alyx_tests::{Cli, Project, TestServer, wait_until};
use serde_json::{Value, json};

use crate::{PATIENCE, call, code_of, descriptors, fails_then_recovers, inside, server, works_again};

#[tokio::test]
async fn a077_a_worker_that_speaks_out_of_turn_is_ended() {
    let server = server().await;
    for how in [
        "garbage",
        "hello_twice",
        "ready_twice",
        "daemon_type",
        "unknown_type",
        "bad_json",
        "deep_json",
        "bad_utf8",
        "unknown_field",
    ] {
        fails_then_recovers(&server, "probe", "link", json!({ "how": how }), &["function_protocol_error"])
            .await;
    }
    fails_then_recovers(
        &server,
        "probe-node",
        "link",
        json!({ "how": "garbage" }),
        &["function_protocol_error"],
    )
    .await;
    fails_then_recovers(
        &server,
        "probe-go",
        "link",
        json!({ "how": "garbage" }),
        &["function_protocol_error"],
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a078_lying_lengths_cost_no_memory() {
    let server = server().await;
    let before = server.daemon().memory_bytes();
    for how in ["zero_length", "giant", "over_bound", "half"] {
        let answer = call(&server, "probe", "link", &json!({ "how": how })).await;
        let code = code_of(&answer);
        assert!(["function_protocol_error", "function_timeout"].contains(&code.as_str()), "{how}: {code}");
    }
    works_again(&server, "probe").await;
    let grown = server.daemon().memory_bytes().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "the daemon grew by {grown} bytes");
    server.stop().await;
}

#[tokio::test]
async fn a079_answers_to_unknown_invocations_end_the_worker() {
    let server = server().await;
    fails_then_recovers(
        &server,
        "probe",
        "link",
        json!({ "how": "unknown_invocation" }),
        &["function_protocol_error"],
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a081_calls_are_bounded() {
    let server = server().await;
    fails_then_recovers(
        &server,
        "probe",
        "link",
        json!({ "how": "many_calls" }),
        &["function_protocol_error", "function_timeout"],
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a082_forged_lines_are_only_logs() {
    let server = server().await;
    assert_eq!(inside(&server, "probe", "forged_lines", &json!({})).await, "real");
    server.stop().await;
}

#[tokio::test]
async fn a083_a_log_flood_is_cut_and_counted() {
    let server = server().await;
    let before = server.daemon().memory_bytes();
    for function in ["probe", "probe-node", "probe-go"] {
        let answer = call(&server, function, "print_flood", &json!({ "blocks": 50 })).await;
        assert_eq!(answer.expect_ok()["printed_mb"], 50, "{function}");
    }
    let grown = server.daemon().memory_bytes().saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "the daemon grew by {grown} bytes");
    for how in ["close", "stdout"] {
        let answer = call(&server, "probe", "link", &json!({ "how": how })).await;
        assert!(answer.status.as_u16() >= 500, "{how}");
    }
    works_again(&server, "probe").await;
    server.stop().await;
}

#[tokio::test]
async fn a084_descriptors_from_a_worker_are_dropped() {
    let server = server().await;
    let before = descriptors(&server);
    let answer = call(&server, "probe", "link", &json!({ "how": "descriptors" })).await;
    assert!(
        answer.status.as_u16() == 200 || code_of(&answer) == "function_protocol_error",
        "{}",
        answer.text()
    );
    works_again(&server, "probe").await;
    wait_until("the daemon holds none of them", PATIENCE, || descriptors(&server) <= before + 16).await;
    server.stop().await;
}

#[tokio::test]
async fn a085_a_call_for_another_invocation_is_refused() {
    let server = server().await;
    fails_then_recovers(
        &server,
        "probe",
        "link",
        json!({ "how": "foreign_call" }),
        &["function_protocol_error", "function_timeout"],
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a088_a_call_after_the_end_reaches_nothing() {
    let server = server().await;
    inside(&server, "probe", "late", &json!({ "invocation": 1 })).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    works_again(&server, "probe").await;
    server.stop().await;
}

#[tokio::test]
async fn a090_the_shim_cannot_be_subverted_by_the_environment() {
    let server = server().await;
    let seen = inside(&server, "probe-node", "a090", &json!({})).await;
    assert_eq!(seen["options"], Value::Null);
    server.stop().await;
    for name in ["NODE_OPTIONS", "LD_PRELOAD", "PYTHONPATH", "PATH"] {
        let project = Project::fixture("abuse");
        let schema = std::fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
        let entrypoint = "    entrypoint: main.py\n";
        project.write(
            "schema.yaml",
            &schema.replace(entrypoint, &format!("{entrypoint}    env: {{ {name}: x }}\n")),
        );
        let said = Cli::in_folder(&project.folder()).run(&["schema", "check"]).await.expect_code(1);
        assert!(said.err.contains(name), "the error names {name}: {said:?}");
    }
}

#[tokio::test]
async fn a091_the_daemons_environment_does_not_reach_functions() {
    let server = server().await;
    let own = std::fs::read(format!("/proc/{}/environ", server.daemon().pid)).unwrap();
    assert!(String::from_utf8_lossy(&own).contains("CARGO"), "the daemon has an environment that could leak");
    let seen = inside(&server, "probe", "environment", &json!({})).await;
    let names: Vec<&String> = seen.as_object().unwrap().keys().collect();
    let known = ["HOME", "LANG", "PATH", "TMPDIR", "TZ", "LC_CTYPE", "PYTHONUTF8"];
    let strange: Vec<_> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "the environment holds {strange:?}");
    server.stop().await;
}

#[tokio::test]
async fn a104_spawn_and_kill_cycles_leak_nothing() {
    let server = server().await;
    let exit = json!({ "how": "exit1" });
    for _ in 0..5 {
        works_again(&server, "probe").await;
        call(&server, "probe", "a044", &exit).await;
    }
    let before = Footprint::of(&server);
    for _ in 0..100 {
        // A function that only ever crashes is held back, so every worker serves something first.
        works_again(&server, "probe").await;
        assert_eq!(code_of(&call(&server, "probe", "a044", &exit).await), "function_exited");
    }
    wait_until("the footprint to be what it was", PATIENCE, || Footprint::of(&server).is_within(&before))
        .await;
    server.stop().await;
}

/// What a leak would make grow.
#[derive(Debug)]
struct Footprint {
    processes: usize,
    daemon_descriptors: usize,
    supervisor_descriptors: usize,
    mounts: usize,
}

impl Footprint {
    /// More than a warm worker more or less may explain.
    const SLACK: usize = 8;

    fn of(server: &TestServer) -> Self {
        let lines = |path: String| std::fs::read_to_string(path).unwrap().lines().count();
        let entries = |path: String| std::fs::read_dir(path).unwrap().count();
        Self {
            processes: server.processes().len(),
            daemon_descriptors: descriptors(server),
            supervisor_descriptors: entries(format!("/proc/{}/fd", server.supervisor().pid)),
            mounts: lines(format!("/proc/{}/mounts", server.supervisor().pid)),
        }
    }

    fn is_within(&self, before: &Self) -> bool {
        let close = |now: usize, then: usize| now <= then + Self::SLACK;
        close(self.processes, before.processes)
            && close(self.daemon_descriptors, before.daemon_descriptors)
            && close(self.supervisor_descriptors, before.supervisor_descriptors)
            && close(self.mounts, before.mounts)
    }
}

#[tokio::test]
async fn a089_nothing_of_a_worker_is_left_for_the_next() {
    let server = server().await;
    let seen = async || inside(&server, "probe", "marker", &json!({})).await["seen"].clone();
    assert_eq!(seen().await, false);
    assert_eq!(seen().await, true, "a warm worker serves further calls of its own function, as documented");
    assert!(call(&server, "probe", "a044", &json!({ "how": "exit1" })).await.status.as_u16() >= 500);
    assert_eq!(seen().await, false);
    server.stop().await;
}

#[tokio::test]
async fn a092_a_callback_does_not_tell_what_it_may_not_see_from_what_is_not_there() {
    let schema = "version: 1\ncollections:\n  secrets:\n    fields: { id: { type: id, primary: true, default: auto } }\n\
        functions:\n  ask:\n    runtime: python\n    entrypoint: main.py\n    rules: { invoke: \"true\" }\n";
    let code = "async def handler(ctx):\n    try:\n        return await ctx.db.get('secrets', ctx.input['id'])\n    except Exception as error:\n        return [getattr(error, 'code', None), getattr(error, 'status', None)]\n";
    let project = Project::schema(schema).with("functions/ask/main.py", code);
    let server = TestServer::start(project).await;
    let made = server.over_admin_socket().create("secrets", json!({})).await.json();
    let ask = async |id: &str| server.anon().invoke("ask", json!({ "id": id })).await;
    let (hidden, absent) = (ask(made["id"].as_str().unwrap()).await, ask("00000000000000000000").await);
    assert_eq!((hidden.status, hidden.text()), (absent.status, absent.text()));
    server.stop().await;
}

#[tokio::test]
async fn a093_half_closed_links_and_signal_storms_leave_a_clean_state() {
    let server = server().await;
    let before = descriptors(&server);
    for how in ["half_close_write", "half_close_read", "drip"] {
        let answer = call(&server, "probe", "link", &json!({ "how": how })).await;
        // It can still write: what it answers before its shim finds the end is an answer.
        let has_answered = how == "half_close_read" && answer.status.is_success();
        let code = if has_answered { String::new() } else { code_of(&answer) };
        assert!(
            has_answered || ["function_protocol_error", "function_timeout"].contains(&code.as_str()),
            "{how}: {answer}"
        );
        works_again(&server, "probe").await;
    }
    let answer = call(&server, "probe", "link", &json!({ "how": "interrupted" })).await;
    assert_eq!(answer.expect_ok()["interrupted"], true);
    wait_until("the links of ended workers to be closed", PATIENCE, || descriptors(&server) <= before + 16)
        .await;
    server.stop().await;
}
