//! What is counted: complete, as `promtool` of Prometheus wants it, and for nobody who may not see it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::page::{Step, blocks, steps};
use alyx_tests::realtime::Socket;
use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer, peers, tree};
use serde_json::{Value, json};

use crate::docs::follow;

const PATIENCE: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
version: 1
collections:
  notes:
    fields: { id: { type: id, primary: true, default: auto }, text: { type: string } }
    rules: { read: 'true', create: 'true' }
functions:
  hello: { runtime: python, rules: { invoke: 'true' } }
  fails: { runtime: python, rules: { invoke: 'true' } }
hooks:
  - { on: notes, actions: [create], function: hello }
";

fn project() -> Project {
    Project::schema(SCHEMA)
        .with("functions/hello/main.py", "def handler(ctx):\n    return 1\n")
        .with("functions/fails/main.py", "def handler(ctx):\n    raise ValueError('on purpose')\n")
        .with("alyx.yaml", "metrics:\n  listen: 127.0.0.1:0\n")
}

/// The address that is for metrics alone.
async fn open_door(server: &TestServer) -> Client {
    let status = server.over_admin_socket().get_path("/api/admin/status").await.expect_ok();
    Client::new(&format!("http://{}", status["metrics_listen"].as_str().unwrap()))
}

/// The value of the line that begins so.
fn value(text: &str, line: &str) -> Option<f64> {
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
    Some(found.parse().unwrap())
}

/// Names as the page has them.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(tree::root().join("docs/metrics.md")).unwrap();
    let names = page.lines().filter_map(|line| line.strip_prefix("| `alyx_")?.split_once('`'));
    names.map(|(name, _)| format!("alyx_{name}")).collect()
}

/// Makes everything happen that is counted only when it does.
async fn use_everything(server: &TestServer) -> Socket {
    let anon = server.anon();
    anon.invoke("hello", json!({})).await.expect_ok();
    anon.invoke("fails", json!({})).await.expect_status(500);
    let mut socket = Socket::open(&anon).await;
    socket.subscribe("s", "notes", json!({})).await;
    anon.create("notes", json!({ "text": "x" })).await.expect_created();
    socket.expect("delta").await;
    anon.get_path("/nowhere/at/all").await.expect_status(404);
    server.over_admin_socket().post("/api/admin/backups", json!({})).await.expect_status(201);
    socket
}

#[tokio::test]
async fn everything_on_the_page_is_counted_and_nothing_else() {
    let server = TestServer::start(project()).await;
    let door = open_door(&server).await;
    let _socket = use_everything(&server).await;
    let text = wait_for("the hook to be counted", PATIENCE, async || {
        let text = door.get_path("/metrics").await.expect_status(200).text();
        let is_there = value(&text, "alyx_job_attempts_total{kind=\"hook\",result=\"done\"}") == Some(1.0);
        is_there.then_some(text)
    })
    .await;
    let served: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE alyx_")?.split_once(' '))
        .map(|(name, _)| format!("alyx_{name}"))
        .collect();
    // Those by kind are there while there is a job; processor time is watched in what takes longer.
    let sometimes = ["alyx_jobs", "alyx_job_lateness_seconds", "alyx_function_cpu_seconds_total"];
    let sometimes = sometimes.map(str::to_owned);
    let missing: Vec<_> =
        documented().difference(&served).filter(|name| !sometimes.contains(name)).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}\n{text}");
    assert!(served.is_subset(&documented()), "{served:?}");

    let check = |line: &str, expected: f64| assert_eq!(value(&text, line), Some(expected), "{line}\n{text}");
    check("alyx_function_invocations_total{function=\"fails\",outcome=\"error\"}", 1.0);
    check("alyx_function_invocations_total{function=\"hello\",outcome=\"ok\"}", 2.0);
    check("alyx_function_worker_starts_total{function=\"fails\",result=\"ok\"}", 1.0);
    check("alyx_http_requests_total{code=\"404\",method=\"GET\",route=\"none\"}", 1.0);
    check(
        "alyx_http_requests_total{code=\"201\",method=\"POST\",route=\"/api/collections/{collection}\"}",
        1.0,
    );
    check("alyx_realtime_connections", 1.0);
    check("alyx_realtime_subscriptions", 1.0);
    check("alyx_health_state{component=\"supervisor\"}", 0.0);
    assert!(value(&text, "alyx_changes_total").unwrap() >= 1.0, "{text}");
    assert!(value(&text, "alyx_realtime_messages_total").unwrap() >= 2.0, "{text}");
    assert!(value(&text, "alyx_backup_last_success_timestamp_seconds").unwrap() > 1e9, "{text}");
    assert!(value(&text, "alyx_database_commits_total{result=\"ok\"}").unwrap() >= 1.0, "{text}");
    assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1e6, "{text}");
    server.stop().await;
}

#[tokio::test]
async fn prometheus_has_nothing_to_complain_about() {
    let Some(mut promtool) = peers::promtool() else { return };
    let server = TestServer::start(project()).await;
    let _socket = use_everything(&server).await;
    let text = open_door(&server).await.get_path("/metrics").await.expect_status(200).text();
    let lint = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = lint.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let said = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && complaints.trim().is_empty(), "{complaints}");
    server.stop().await;

    let rules = tree::root().join("packaging/prometheus/alerts.yaml");
    let mut promtool = peers::promtool().unwrap();
    let said = promtool.args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Every metric that a dashboard or an alert asks for is one of the page.
#[test]
fn dashboard_and_alerts_ask_for_what_there_is() {
    let known = documented();
    for file in ["packaging/prometheus/grafana.json", "packaging/prometheus/alerts.yaml"] {
        let text = std::fs::read_to_string(tree::root().join(file)).unwrap();
        let mut asked = BTreeSet::new();
        for (at, _) in text.match_indices("alyx_") {
            let name: String = text[at..]
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            asked.insert(base.unwrap_or(&name).to_owned());
        }
        assert!(asked.len() > 5 && asked.is_subset(&known), "{file}: {asked:?}");
    }
    let text = std::fs::read_to_string(tree::root().join("packaging/prometheus/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
}

#[tokio::test]
async fn metrics_are_for_administrators_and_for_keys_that_say_so() {
    let server = TestServer::start(project()).await;
    let path = "/api/admin/metrics";
    server.anon().get_path(path).await.expect_error(401, "unauthenticated");
    server.user("ada").await.get_path(path).await.expect_error(403, "forbidden");
    server.anon().get_path("/metrics").await.expect_error(404, "not_found");
    let admin = server.admin().await;
    admin.get_path(path).await.expect_status(200);
    for (scope, status) in [("admin:metrics", 200), ("admin:audit", 403)] {
        let body = json!({ "name": scope, "scopes": [scope], "expires_at": "2099-01-01T00:00:00Z" });
        let key = admin.post("/api/admin/api-keys", body).await.expect_status(201).json();
        let answer = server.anon().with_token(key["key"].as_str().unwrap()).get_path(path).await;
        assert_eq!(answer.status, status, "{scope}: {}", answer.text());
    }
    // The door for metrics leads to nothing else.
    let door = open_door(&server).await;
    for path in ["/", "/health", "/api/admin/metrics", "/api/admin/status", "/api/collections/notes"] {
        door.get_path(path).await.expect_error(404, "not_found");
    }
    door.post("/metrics", json!({})).await.expect_error(405, "method_not_allowed");
    server.stop().await;
}

/// Nothing that comes with a request becomes a label.
#[tokio::test]
async fn requests_make_no_series_of_their_own() {
    let server = TestServer::start(project()).await;
    let (anon, door) = (server.anon(), open_door(&server).await);
    for number in 0..5 {
        let made_up = format!("madeup{number}");
        anon.get_path(&format!("/{made_up}/{made_up}")).await.expect_status(404);
        anon.get("notes", &made_up).await.expect_status(404);
        anon.list(&made_up, "").await.expect_status(404);
        anon.invoke(&made_up, json!({})).await.expect_status(404);
        let method = reqwest::Method::from_bytes(made_up.as_bytes()).unwrap();
        anon.send(method, "/api/collections/notes", None).await.expect_status(405);
    }
    let text = door.get_path("/metrics").await.text();
    assert!(!text.contains("madeup"), "{text}");
    let line = "alyx_http_requests_total{code=\"405\",method=\"other\",route=\"none\"}";
    assert_eq!(value(&text, line), Some(5.0), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn top_shows_what_happens_just_now() {
    let server = TestServer::start(project()).await;
    let anon = server.anon();
    let cli = server.cli();
    let load = async {
        loop {
            anon.invoke("hello", json!({})).await.expect_ok();
        }
    };
    let json = tokio::select! {
        said = cli.run(&["top", "--count", "1", "--every", "2", "--json"]) => said.expect_ok().json(),
        () = load => unreachable!("it has no end"),
    };
    assert!(json["requests"]["per_second"].as_f64().unwrap() > 1.0, "{json}");
    assert_eq!(json["functions"][0]["name"], "hello");
    assert!(json["functions"][0]["per_second"].as_f64().unwrap() > 1.0, "{json}");
    assert_eq!(json["functions"][0]["failed_per_second"], 0.0);
    assert!(json["functions"][0]["p99_ms"].is_number(), "{json}");
    assert_eq!(json["routes"][0]["name"], "/api/functions/{name}");
    let text = cli.run(&["top", "--count", "2", "--every", "1"]).await.expect_ok();
    assert_eq!(text.out.matches("FUNCTION").count(), 2, "{}", text.out);
    cli.run(&["top", "--every", "0"]).await.expect_code(2);
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_metrics_work() {
    let page = std::fs::read_to_string(tree::root().join("docs/metrics.md")).unwrap();
    let config = blocks(&page, "yaml")[0].replace("127.0.0.1:9464", "127.0.0.1:0");
    let server = TestServer::start(project().with("alyx.yaml", &config)).await;
    let door = open_door(&server).await;
    let block = blocks(&page, "console")[0].replace("http://127.0.0.1:9464", door.base());
    let steps: Vec<Step> = steps(&block);
    assert!(steps.len() >= 3);
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
    // What Prometheus is told is what it can read.
    let Some(mut promtool) = peers::promtool() else { return };
    for block in &blocks(&page, "yaml")[1..] {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("alyx.key");
        std::fs::write(&key, "key").unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, block.replace("/etc/prometheus/alyx.key", key.to_str().unwrap())).unwrap();
        let said = promtool.args(["check", "config"]).arg(&file).output().unwrap();
        assert!(said.status.success(), "{block}\n{}", String::from_utf8_lossy(&said.stderr));
        promtool = peers::promtool().unwrap();
    }
}
