//! What is on record of every call: how it came out, what it used, what it said.

use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer};
use serde_json::{Value, json};

const CODE: &str = "export default async (ctx) => {
  switch (ctx.input.do) {
    case 'fail': throw new Error('on purpose', { cause: new TypeError('the root of it') });
    case 'answer': return ctx.respond({ status: 400, body: 'no' });
    case 'long': return 'x'.repeat(2_000_000);
    case 'exit': process.exit(3);
    case 'sleep': await new Promise((done) => setTimeout(done, 20_000)); break;
    case 'spin': for (;;);
    case 'memory': { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); }
  }
  return { done: ctx.input.do, canary: ctx.secrets.KEY };
};";

fn schema(more: &str) -> String {
    format!(
        "version: 1
functions:
  f:
    runtime: node
    timeout: 2s
    concurrency: 1
    secrets: [KEY]
    limits: {{ memory: 96mb, output: 1mb }}
    rules: {{ invoke: \"true\" }}
{more}"
    )
}

async fn start(more: &str, config: &str) -> TestServer {
    let project = Project::schema(&schema(more)).with("functions/f/index.js", CODE).with("alyx.yaml", config);
    let server = TestServer::start(project).await;
    let admin = server.over_admin_socket();
    let value = json!({ "value": "canary-of-records" }).to_string();
    admin.send(reqwest::Method::PUT, "/api/admin/secrets/KEY", Some(value)).await.expect_status(204);
    server
}

/// The record of an answer.
async fn record(server: &TestServer, id: &str) -> Value {
    let path = format!("/api/admin/executions/{id}");
    wait_for("the record", Duration::from_secs(60), async || {
        let answer = server.over_admin_socket().get_path(&path).await;
        answer.status.is_success().then(|| answer.json())
    })
    .await
}

#[tokio::test]
async fn every_call_leaves_a_record_that_says_how_it_came_out() {
    let server = start("", "").await;
    let anon = server.anon();
    for (act, outcome, cause) in [
        ("nothing", "ok", Value::Null),
        ("answer", "ok", Value::Null),
        ("fail", "error", Value::Null),
        ("long", "error", json!("output_too_large")),
        ("exit", "crashed", json!("exited")),
        ("sleep", "timeout", json!("timeout")),
        ("spin", "timeout", Value::Null),
        ("memory", "oom", json!("out_of_memory")),
    ] {
        let answer = anon.invoke("f", json!({ "do": act })).await;
        let seen = record(&server, answer.header("x-alyx-execution").expect("an execution")).await;
        assert_eq!(seen["outcome"], outcome, "{act}: {seen}");
        if act != "spin" {
            assert_eq!(seen["cause"]["cause"], cause, "{act}: {seen}");
        }
        assert_eq!((&seen["trigger"], &seen["identity"]), (&json!("http"), &json!("anonymous")));
        assert!(seen["lowered"].is_array() && seen["version"].is_string(), "{seen}");
        assert!(seen["run_us"].as_u64().unwrap() > 0 && seen["input_bytes"].as_u64().unwrap() > 0, "{seen}");
        assert_eq!((seen.get("input"), seen.get("output")), (None, None), "only if the function says so");
        let path = format!("/api/admin/executions?outcome={outcome}");
        let listed = server.over_admin_socket().get_path(&path).await.expect_ok();
        let ids: Vec<&Value> =
            listed["executions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert!(ids.contains(&&seen["id"]), "{act}: {listed}");
    }
    let log = server.cli().run(&["functions", "logs", "f"]).await.expect_ok().out;
    assert!(log.contains("caused by TypeError: the root of it"), "{log}");
    for wrong in ["outcome=ended", "trigger=cron"] {
        let path = format!("/api/admin/executions?{wrong}");
        server.over_admin_socket().get_path(&path).await.expect_error(400, "invalid_parameter");
    }
    server.stop().await;
}

#[tokio::test]
async fn calls_that_nobody_waits_for_or_that_never_ran_leave_a_record() {
    let server = start("    instances: { max: 1 }\n", "functions: { queue: 1 }\n").await;
    let outcomes = async |outcome: &str, count: usize| {
        let path = format!("/api/admin/executions?outcome={outcome}");
        wait_for("the records", Duration::from_secs(60), async || {
            let listed = server.over_admin_socket().get_path(&path).await.expect_ok();
            let found = listed["executions"].as_array().unwrap().clone();
            (found.len() >= count).then_some(found)
        })
        .await
    };
    let anon = server.anon();
    anon.invoke("f", json!({ "do": "nothing" })).await.expect_ok();
    // One runs, one waits, and there is no room for more.
    let asked =
        futures_util::future::join_all((0..6).map(|_| anon.invoke("f", json!({ "do": "sleep" })))).await;
    assert!(asked.iter().any(|answer| answer.status == 503), "{asked:?}");
    let refused = outcomes("refused", 1).await;
    assert_eq!(refused[0]["cause"]["cause"], "queue_full");
    assert_eq!(refused[0]["run_us"], 0);
    let client = reqwest::Client::new();
    let gone = client
        .post(format!("{}/api/functions/f", server.url()))
        .header("content-type", "application/json")
        .body(r#"{"do":"sleep"}"#)
        .timeout(Duration::from_millis(500))
        .send()
        .await;
    assert!(gone.is_err());
    assert_eq!(outcomes("cancelled", 1).await[0]["cause"]["cause"], "client_gone");
    server.stop().await;
}

#[tokio::test]
async fn input_and_output_are_kept_where_the_function_says_so_without_its_secrets() {
    let server = start("    record: [input, output]\n", "").await;
    let anon = server.anon();
    let input = json!({ "do": "it", "said": "canary-of-records", "long": "y".repeat(9_000) });
    let answer = anon.invoke("f", input).await;
    let text = answer.text();
    assert!(text.contains("canary-of-records"), "the caller gets it: {text}");
    let seen = record(&server, answer.header("x-alyx-execution").unwrap()).await;
    let (input, output) = (seen["input"].as_str().unwrap(), seen["output"].as_str().unwrap());
    assert!(input.starts_with(r#"{"do":"it","#) && (4_000..4_200).contains(&input.len()), "{input}");
    assert_eq!(output, r#"{"done":"it","canary":"[secret KEY]"}"#);
    assert!(!seen.to_string().contains("canary-of-records"), "{seen}");
    assert_eq!(seen["input_bytes"].as_u64().unwrap(), 9_048);
    // Lists stay short.
    let listed = server.over_admin_socket().get_path("/api/admin/executions").await.expect_ok();
    assert!(listed["executions"][0].get("input").is_none(), "{listed}");
    server.stop().await;
}

#[tokio::test]
async fn old_records_are_removed() {
    let server = start("", "executions: { keep_count: 2 }\n").await;
    let anon = server.anon();
    for _ in 0..5 {
        anon.invoke("f", json!({ "do": "nothing" })).await.expect_ok();
    }
    let count = async |server: &TestServer| {
        let listed = server.over_admin_socket().get_path("/api/admin/executions").await.expect_ok();
        listed["executions"].as_array().unwrap().len()
    };
    wait_for("the records", Duration::from_secs(60), async || (count(&server).await == 5).then_some(()))
        .await;
    // The first sweep is at the start.
    let server = server.restart().await;
    wait_for("the sweep", Duration::from_secs(60), async || (count(&server).await == 2).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn the_log_of_a_function_outlives_the_daemon() {
    let code = "export default (ctx) => { ctx.log(`said ${ctx.input.n}`); };";
    let schema = "version: 1\nfunctions: { f: { runtime: node, rules: { invoke: 'true' } } }\n";
    let mut project = Project::schema(schema).with("functions/f/index.js", code);
    let mut expected = Vec::new();
    for n in 0..3 {
        let server = TestServer::start(project).await;
        server.anon().invoke("f", json!({ "n": n })).await.expect_status(204);
        expected.push(format!("said {n}"));
        // Once each, in order, and with the call that it belongs to.
        let said = server.cli().run(&["--json", "functions", "logs", "f"]).await.expect_ok().json();
        let lines = said["lines"].as_array().unwrap();
        let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(messages, expected);
        assert!(lines.iter().all(|line| line["execution"].is_string()), "{said}");
        let last = server.cli().run(&["logs", "--function", "f", "-n", "1"]).await.expect_ok();
        assert!(last.out.trim_end().ends_with(&expected[n]) && last.out.lines().count() == 1, "{last:?}");
        project = server.stop().await;
    }
}
