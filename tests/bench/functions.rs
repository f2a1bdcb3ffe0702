//! Invocations, warm and cold, beside the bare interpreters; and the sandbox's own set-up time.
//!
//! A cold call is the first of a function after a start: its worker is spawned for it. Go binaries
//! were compiled in a start before.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alyx_tests::supervisor::Supervisor;
use alyx_tests::{Project, TestServer};
use serde_json::{Value, json};

use crate::http::{self, Connection};
use crate::report::{Bar, Report, percentile};

const RUNTIMES: [&str; 3] = ["node", "python", "go"];
/// Functions of each runtime; each is cold once.
const COPIES: usize = 10;
const WARM_CALLS: usize = 3_000;
const SPAWNS: usize = 50;

pub async fn measure(report: &mut Report) {
    let server = TestServer::start_with(project(), &["--no-watch"]).await;
    for runtime in RUNTIMES {
        warm(&server, runtime, report).await;
    }
    for runtime in RUNTIMES {
        for copy in 0..COPIES {
            server.anon().invoke(&format!("{runtime}{copy}"), json!({})).await.expect_ok();
        }
    }
    let server = TestServer::start_with(server.stop().await, &["--no-watch"]).await;
    let config: Value = serde_json::from_slice(
        &fs::read(server.project.data().join("run/supervisor.json")).expect("read the configuration"),
    )
    .expect("the configuration is JSON");
    for runtime in RUNTIMES {
        cold(&server, runtime, &config, report).await;
    }
    let project = server.stop().await;
    set_up(&project, config, report).await;
}

fn project() -> Project {
    let mut schema = "version: 1\nfunctions:\n".to_owned();
    let project = Project::new();
    for runtime in RUNTIMES {
        let (file, code) = match runtime {
            "node" => ("index.mjs", "export default async (ctx) => ctx.input;\n"),
            "python" => ("main.py", "def handler(ctx):\n    return ctx.input\n"),
            _ => ("echo.go", ECHO_GO),
        };
        for copy in 0..COPIES {
            let name = format!("{runtime}{copy}");
            let entry = if runtime == "node" { ", entrypoint: index.mjs" } else { "" };
            schema.push_str(&format!(
                "  {name}: {{ runtime: {runtime}{entry}, rules: {{ invoke: \"true\" }} }}\n"
            ));
            project.write(&format!("functions/{name}/{file}"), code);
        }
    }
    project.with("schema.yaml", &schema)
}

const ECHO_GO: &str = "package echo\n\nimport \"alyx.dev/alyx\"\n\n\
    func Handler(ctx *alyx.Context) (any, error) { return ctx.Input, nil }\n";

fn echo(name: &str) -> Vec<u8> {
    http::request("POST", &format!("/api/functions/{name}"), None, r#"{"hello":"world"}"#)
}

async fn warm(server: &TestServer, runtime: &str, report: &mut Report) {
    let request = echo(&format!("{runtime}0"));
    let mut times = http::latencies(server.url(), &request, WARM_CALLS).await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    report.add(&format!("warm invoke {runtime}, c 1, p50"), p50, "ms", Bar::AtMost(0.5), None);
    report.add(&format!("warm invoke {runtime}, c 1, p99"), p99, "ms", Bar::AtMost(2.0), None);
    let bar = match runtime {
        "node" => 5_000.0,
        "python" => 3_000.0,
        _ => 8_000.0,
    };
    let rate = http::throughput(server.url(), 32, WARM_CALLS * 2, Arc::new(move |_| request.clone())).await;
    report.add(&format!("warm invoke {runtime}, c 32"), rate, "1/s", Bar::AtLeast(bar), None);
}

async fn cold(server: &TestServer, runtime: &str, config: &Value, report: &mut Report) {
    let mut times = Vec::new();
    for copy in 0..COPIES {
        let mut connection = Connection::open(server.url()).await;
        let request = echo(&format!("{runtime}{copy}"));
        let start = Instant::now();
        connection.call(&request).await;
        times.push(start.elapsed());
    }
    let bare = bare(runtime, config, &server.project.data());
    let name = format!("cold spawn {runtime}, p50, beside the bare start");
    report.add(&name, percentile(&mut times, 0.5), "ms", Bar::AtMost(bare + 5.0), Some(bare));
}

/// Median time of the interpreter's own start and end, doing nothing. Unit: milliseconds.
fn bare(runtime: &str, config: &Value, data: &Path) -> f64 {
    let executable = config["runtimes"][runtime]["executable"].as_str().unwrap_or_default().to_owned();
    let (program, arguments) = match runtime {
        "node" => (executable, vec!["-e", "0"]),
        "python" => (executable, vec!["-I", "-S", "-c", "pass"]),
        // A worker without its link ends at once.
        _ => (a_go_worker(data), vec![]),
    };
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let status = Command::new(&program)
                .args(&arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.unwrap_or_else(|error| panic!("{program}: {error}"));
            start.elapsed()
        })
        .collect();
    percentile(&mut times, 0.5)
}

fn a_go_worker(data: &Path) -> String {
    let bundles = fs::read_dir(data.join("bundles")).expect("list bundles").flatten();
    let worker = bundles.map(|bundle| bundle.path().join("worker")).find(|path| path.is_file());
    worker.expect("a Go function was built").to_string_lossy().into_owned()
}

/// The supervisor alone, asked directly.
async fn set_up(project: &Project, config: Value, report: &mut Report) {
    let bundle = fs::read_dir(project.data().join("bundles"))
        .expect("list bundles")
        .flatten()
        .find(|entry| entry.path().join("worker").is_file())
        .expect("a Go function was built");
    let digest = bundle.file_name().to_string_lossy().into_owned();
    let mut supervisor = Supervisor::start(project.root(), config).await;
    let mut times = Vec::new();
    for _ in 0..SPAWNS {
        let (worker, set_up) = supervisor.spawn("go", &digest).await;
        times.push(set_up);
        supervisor.kill_worker(worker).await;
    }
    report.add("sandbox set-up to execve, p50", percentile(&mut times, 0.5), "ms", Bar::AtMost(2.0), None);
    supervisor.stop().await;
}
