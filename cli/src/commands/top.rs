//! `alyx top`: what the daemon does just now. Everything shown is the difference of two readings of its
//! metrics.

mod reading;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::reading::Reading;
use crate::args::{Target, Top};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

/// Rows of a table; the busiest are shown.
const ROWS_MAX: usize = 15;

/// Moves to the corner of the screen and clears it.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

pub async fn run(args: Top, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let mut before = read(&client).await?;
    for round in 0_u32.. {
        if args.count.is_some_and(|count| round >= count) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every.into())) => {}
            // Whoever looks on ends it so.
            _ = tokio::signal::ctrl_c() => break,
        }
        let now = read(&client).await?;
        show(&Screen::between(&before, &now), output)?;
        before = now;
    }
    Ok(Exit::Ok)
}

async fn read(client: &Client) -> Result<Taken, Failure> {
    let answer = client.stream("/api/admin/metrics", &[]).await?;
    let text = answer.text().await.map_err(|error| Failure::new(format!("failed to read: {error}")))?;
    Ok(Taken { at: Instant::now(), reading: Reading::parse(&text) })
}

/// A reading, and when it was taken.
struct Taken {
    at: Instant,
    reading: Reading,
}

/// What is shown. Rates are per second, times in milliseconds.
#[derive(Debug, Serialize)]
struct Screen {
    version: String,
    uptime_seconds: u64,
    memory_bytes: f64,
    cpu_percent: f64,
    requests: Traffic,
    in_flight: f64,
    commits_per_second: f64,
    commit_p99_ms: Option<f64>,
    database_bytes: f64,
    realtime_connections: f64,
    realtime_messages_per_second: f64,
    jobs_waiting: f64,
    jobs_dead: f64,
    functions: Vec<Row>,
    routes: Vec<Row>,
}

/// How much of something, how much of it failed, and how long it took.
#[derive(Debug, Serialize)]
struct Traffic {
    per_second: f64,
    failed_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    traffic: Traffic,
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<Workers>,
}

/// The workers of a function.
#[derive(Debug, Serialize)]
struct Workers {
    ready: f64,
    starting: f64,
    started: f64,
    running: f64,
    queued: f64,
    cpu_percent: f64,
}

const REQUESTS: &str = "alyx_http_requests_total";
const REQUEST_SECONDS: &str = "alyx_http_request_duration_seconds";
const COMMIT_SECONDS: &str = "alyx_database_commit_duration_seconds";
const INVOCATIONS: &str = "alyx_function_invocations_total";
const RUN_SECONDS: &str = "alyx_function_run_duration_seconds";

impl Screen {
    fn between(before: &Taken, now: &Taken) -> Self {
        let (old, new) = (&before.reading, &now.reading);
        let seconds = (now.at - before.at).as_secs_f64().max(0.001);
        let rate = |name: &str, wanted: &[(&str, &str)]| {
            (new.sum(name, wanted) - old.sum(name, wanted)).max(0.0) / seconds
        };
        let quantile = |name: &str, wanted: &[(&str, &str)], part: f64| {
            new.quantile(old, name, wanted, part).map(|seconds| seconds * 1_000.0)
        };
        let traffic = |(count, times): (&str, &str), wanted: &[(&str, &str)], fine: &dyn Fn(&str) -> bool| {
            let which = if count == REQUESTS { "code" } else { "outcome" };
            let failed = new.values(count, which).into_iter().filter(|value| !fine(value));
            let of = |value: String| rate(count, &[wanted, &[(which, &value)]].concat());
            Traffic {
                per_second: rate(count, wanted),
                failed_per_second: failed.map(of).sum(),
                p50_ms: quantile(times, wanted, 0.5),
                p99_ms: quantile(times, wanted, 0.99),
            }
        };
        let answered = |code: &str| !code.starts_with('5');
        let functions = new.values("alyx_function_workers", "function").into_iter().map(|name| {
            let of = [("function", name.as_str())];
            let sum = |metric: &str| new.sum(metric, &of);
            let state = |state| new.sum("alyx_function_workers", &[of[0], ("state", state)]);
            Row {
                traffic: traffic((INVOCATIONS, RUN_SECONDS), &of, &|outcome| outcome == "ok"),
                workers: Some(Workers {
                    ready: state("ready"),
                    starting: state("starting"),
                    started: rate("alyx_function_worker_starts_total", &of) * seconds,
                    running: sum("alyx_function_invocations_running"),
                    queued: sum("alyx_function_invocations_queued"),
                    cpu_percent: rate("alyx_function_cpu_seconds_total", &of) * 100.0,
                }),
                name: name.clone(),
            }
        });
        let routes = new.values(REQUESTS, "route").into_iter().map(|name| Row {
            traffic: traffic((REQUESTS, REQUEST_SECONDS), &[("route", &name)], &answered),
            workers: None,
            name,
        });
        let start = new.sum("process_start_time_seconds", &[]);
        Self {
            version: new.values("alyx_build_info", "version").into_iter().next().unwrap_or_default(),
            uptime_seconds: (jiff::Timestamp::now().as_second() as f64 - start).max(0.0) as u64,
            memory_bytes: new.sum("process_resident_memory_bytes", &[]),
            cpu_percent: rate("process_cpu_seconds_total", &[]) * 100.0,
            requests: traffic((REQUESTS, REQUEST_SECONDS), &[], &answered),
            in_flight: new.sum("alyx_http_requests_in_flight", &[]),
            commits_per_second: rate("alyx_database_commits_total", &[]),
            commit_p99_ms: quantile(COMMIT_SECONDS, &[], 0.99),
            database_bytes: new.sum("alyx_database_size_bytes", &[]),
            realtime_connections: new.sum("alyx_realtime_connections", &[]),
            realtime_messages_per_second: rate("alyx_realtime_messages_total", &[]),
            jobs_waiting: new.sum("alyx_jobs", &[("state", "pending")]),
            jobs_dead: new.sum("alyx_jobs", &[("state", "dead")]),
            functions: busiest(functions.collect()),
            routes: busiest(routes.filter(|row| row.traffic.per_second > 0.0).collect()),
        }
    }
}

fn busiest(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|one, other| other.traffic.per_second.total_cmp(&one.traffic.per_second));
    rows.truncate(ROWS_MAX);
    rows
}

fn show(screen: &Screen, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let text = serde_json::to_string(screen)
            .map_err(|error| Failure::new(format!("failed to print JSON: {error}")))?;
        return print::line(&text);
    }
    if std::io::stdout().is_terminal() {
        print::raw(CLEAR)?;
    }
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    print::line(&format!(
        "alyx {}  up {}  memory {:.0} MiB  cpu {:.0} %  database {:.0} MiB",
        print::plain(&screen.version),
        duration(screen.uptime_seconds),
        mebibytes(screen.memory_bytes),
        screen.cpu_percent,
        mebibytes(screen.database_bytes),
    ))?;
    let requests = &screen.requests;
    print::line(&format!(
        "requests {:.1}/s, {:.1}/s failed, p50 {}, p99 {}, {:.0} in flight  commits {:.1}/s, p99 {}",
        requests.per_second,
        requests.failed_per_second,
        milliseconds(requests.p50_ms),
        milliseconds(requests.p99_ms),
        screen.in_flight,
        screen.commits_per_second,
        milliseconds(screen.commit_p99_ms),
    ))?;
    print::line(&format!(
        "realtime {:.0} connections, {:.1} messages/s  jobs {:.0} waiting, {:.0} dead",
        screen.realtime_connections,
        screen.realtime_messages_per_second,
        screen.jobs_waiting,
        screen.jobs_dead,
    ))?;
    let shown = |row: &Row| {
        let traffic = &row.traffic;
        let mut cells = vec![
            row.name.clone(),
            format!("{:.1}", traffic.per_second),
            format!("{:.1}", traffic.failed_per_second),
            milliseconds(traffic.p50_ms),
            milliseconds(traffic.p99_ms),
        ];
        if let Some(workers) = &row.workers {
            let counts = [workers.ready, workers.starting, workers.running, workers.queued, workers.started];
            cells.extend(counts.map(|count| format!("{count:.0}")));
            cells.push(format!("{:.0} %", workers.cpu_percent));
        }
        cells
    };
    if !screen.functions.is_empty() {
        let headings = [
            "FUNCTION", "CALLS/S", "FAILED/S", "P50", "P99", "WORKERS", "STARTING", "RUNNING", "WAITING",
            "STARTED", "CPU",
        ];
        print::line("")?;
        print::table(&headings, &screen.functions.iter().map(shown).collect::<Vec<_>>())?;
    }
    if !screen.routes.is_empty() {
        print::line("")?;
        let headings = ["ROUTE", "REQUESTS/S", "FAILED/S", "P50", "P99"];
        print::table(&headings, &screen.routes.iter().map(shown).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} ms"))
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
