//! What is counted, as Prometheus reads it. `docs/metrics.md` is the reference.
//!
//! | module | job |
//! |---|---|
//! | [`table`] | every metric once: name, labels, meaning |
//! | [`gather`] | what is looked up when somebody asks |
//!
//! Counting never waits and never fails; a number that is missing hurts nobody.

mod gather;
mod table;

use std::sync::Arc;
use std::time::Duration;

use alyx_store::Committed;
use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use self::table::{Kind, Metric};
use crate::functions::Execution;

pub use gather::gather;

/// The counters that are counted up as things happen. A cheap clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    in_flight: Gauge,
    commits: IntCounterVec,
    commit_duration: Histogram,
    messages: IntCounter,
    invocations: IntCounterVec,
    run: HistogramVec,
    queue: HistogramVec,
    cpu: CounterVec,
    starts: IntCounterVec,
    attempts: IntCounterVec,
    backup_failures: IntCounter,
}

/// Upper bounds in seconds: from a read in memory to what somebody gives up on.
const SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A request whose answer has not begun; dropping it counts down.
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        Self(Arc::new(Counters {
            requests: counters(&registry, &table::HTTP_REQUESTS),
            request_duration: durations(&registry, &table::HTTP_DURATION),
            in_flight: kept(&registry, Gauge::with_opts(opts(&table::HTTP_IN_FLIGHT))),
            commits: counters(&registry, &table::DATABASE_COMMITS),
            commit_duration: durations(&registry, &table::DATABASE_COMMIT_DURATION)
                .with_label_values(NO_LABELS),
            messages: counters(&registry, &table::REALTIME_MESSAGES).with_label_values(NO_LABELS),
            invocations: counters(&registry, &table::FUNCTION_INVOCATIONS),
            run: durations(&registry, &table::FUNCTION_DURATION),
            queue: durations(&registry, &table::FUNCTION_QUEUE_DURATION),
            cpu: kept(&registry, CounterVec::new(opts(&table::FUNCTION_CPU), table::FUNCTION_CPU.labels)),
            starts: counters(&registry, &table::FUNCTION_STARTS),
            attempts: counters(&registry, &table::JOB_ATTEMPTS),
            backup_failures: counters(&registry, &table::BACKUP_FAILURES).with_label_values(NO_LABELS),
            registry,
        }))
    }
}

const NO_LABELS: &[&str] = &[];

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("the table has valid names");
    registry.register(Box::new(made.clone())).expect("the table has every name once");
    made
}

fn counters(registry: &Registry, metric: &Metric) -> IntCounterVec {
    debug_assert_eq!(metric.kind, Kind::Counter);
    kept(registry, IntCounterVec::new(opts(metric), metric.labels))
}

fn durations(registry: &Registry, metric: &Metric) -> HistogramVec {
    let opts = HistogramOpts::from(opts(metric)).buckets(SECONDS.to_vec());
    kept(registry, HistogramVec::new(opts, metric.labels))
}

impl Metrics {
    /// A request has come.
    pub fn enter(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.0.in_flight.clone())
    }

    /// A request was answered. The route is that of the table of routes; none for an unknown path.
    pub fn request(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let (method, route) = (known(method), route.unwrap_or("none"));
        self.0.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.0.request_duration.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// The writer has committed, or failed to.
    pub fn commit(&self, commit: Committed) {
        let result = if commit.succeeded { "ok" } else { "failed" };
        self.0.commits.with_label_values(&[result]).inc();
        self.0.commit_duration.observe(commit.took.as_secs_f64());
    }

    /// A message was sent to a realtime connection.
    pub fn message(&self) {
        self.0.messages.inc();
    }

    /// An invocation has ended.
    pub fn invocation(&self, execution: &Execution) {
        let function = execution.function.as_str();
        self.0.invocations.with_label_values(&[function, execution.outcome]).inc();
        if execution.run_us > 0 {
            self.0.run.with_label_values(&[function]).observe(seconds(execution.run_us));
            self.0.queue.with_label_values(&[function]).observe(seconds(execution.queue_us));
        }
        if let Some(cpu_us) = execution.cpu_us {
            self.0.cpu.with_label_values(&[function]).inc_by(seconds(cpu_us));
        }
    }

    /// A worker takes invocations, or never did.
    pub fn worker_start(&self, function: &str, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        self.0.starts.with_label_values(&[function, result]).inc();
    }

    /// An attempt at a job has ended: with `done`, `retry` or `dead`.
    pub fn job(&self, kind: &str, result: &str) {
        self.0.attempts.with_label_values(&[kind, result]).inc();
    }

    /// A backup could not be made.
    pub fn backup_failure(&self) {
        self.0.backup_failures.inc();
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// Methods of the standard by name; a client may make up others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
