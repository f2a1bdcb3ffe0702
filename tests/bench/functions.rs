//! Invocations, warm and cold, beside the bare interpreters.
//!
//! A cold call is the first of a function after a start: its worker is spawned for it. Go binaries
//! were compiled in a start before.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alyx_tests::Project;
use serde_json::Value;

use crate::http::{self, Connection};
use crate::production::{Production, prepare, supervisor_config};
use crate::report::{Bar, Report, percentile};

const RUNTIMES: [&str; 3] = ["node", "python", "go"];
/// Functions of each runtime; each is cold once. One slot of the daemon's 32 stays free.
const COPIES: usize = 10;
const WARM_CALLS: usize = 5_000;
const WARM_TIME: Duration = Duration::from_secs(4);
const BARE_STARTS: usize = 30;

pub async fn measure(report: &mut Report) {
    let server = Production::start(prepare(project()).await).await;
    let config = supervisor_config(&server.project);
    for runtime in RUNTIMES {
        cold(&server, runtime, &config, report).await;
    }
    for runtime in RUNTIMES {
        warm(&server, runtime, report).await;
    }
    server.stop().await;
}

/// Concurrency as one would choose it on two cores: what does not block shares one process.
fn project() -> Project {
    let mut schema = "version: 1\nfunctions:\n".to_owned();
    let project = Project::new();
    for runtime in RUNTIMES {
        let (entrypoint, concurrency, code) = match runtime {
            "node" => ("index.mjs", 32, "export default async (ctx) => ctx.input;\n"),
            "python" => ("main.py", 1, "def handler(ctx):\n    return ctx.input\n"),
            _ => ("echo.go", 32, ECHO_GO),
        };
        for copy in 0..COPIES {
            let name = format!("{runtime}{copy}");
            let entry = if runtime == "node" { ", entrypoint: index.mjs" } else { "" };
            schema.push_str(&format!(
                "  {name}: {{ runtime: {runtime}{entry}, concurrency: {concurrency}, \
                 instances: {{ max: 2 }}, rules: {{ invoke: \"true\" }} }}\n"
            ));
            project.write(&format!("functions/{name}/{entrypoint}"), code);
        }
    }
    project.with("schema.yaml", &schema)
}

pub const ECHO_GO: &str = "package echo\n\nimport \"alyx.dev/alyx\"\n\n\
    func Handler(ctx *alyx.Context) (any, error) { return ctx.Input, nil }\n";

fn echo(name: &str) -> Arc<[u8]> {
    http::request("POST", &format!("/api/functions/{name}"), None, r#"{"hello":"world"}"#)
}

async fn warm(server: &Production, runtime: &str, report: &mut Report) {
    let request = echo(&format!("{runtime}0"));
    let mut times = http::latencies(&server.url, &request, WARM_CALLS).await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    report.add(&format!("warm invoke {runtime}, c 1, p50"), p50, "ms", Bar::AtMost(0.5), None);
    report.add(&format!("warm invoke {runtime}, c 1, p99"), p99, "ms", Bar::AtMost(2.0), None);
    let bar = match runtime {
        "node" => 5_000.0,
        "python" => 3_000.0,
        _ => 8_000.0,
    };
    let rate = http::throughput(&server.url, 32, WARM_TIME, move |_| request.clone()).await;
    report.add(&format!("warm invoke {runtime}, c 32"), rate, "1/s", Bar::AtLeast(bar), None);
}

async fn cold(server: &Production, runtime: &str, config: &Value, report: &mut Report) {
    let mut times = Vec::new();
    for copy in 0..COPIES {
        let mut connection = Connection::open(&server.url).await;
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
    let mut times: Vec<Duration> = (0..BARE_STARTS)
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
