//! Everything that is counted, as text. What is not counted as it happens is looked up here.

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{CounterVec, GaugeVec, Registry, TextEncoder};

use super::table::{self, Kind, Metric};
use super::{Metrics, opts};
use crate::app::App;
use crate::http::{Health, HealthState, health_now};
use crate::problem::{ApiError, internal};

/// Everything in the text format of Prometheus, version 0.0.4.
///
/// What the database would have to be asked for is left out while it does not answer: whoever looks for the
/// reason finds it in the rest.
///
/// # Errors
/// If it cannot be written, which does not happen.
pub async fn gather(app: &App) -> Result<String, ApiError> {
    let found = Registry::new();
    let look = Lookup(&found);
    look.up(&table::BUILD_INFO, vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]);
    components(look, &health_now(app));
    database(look, app);
    look.one(&table::REALTIME_CONNECTIONS, app.realtime.connection_count() as f64);
    look.one(&table::REALTIME_SUBSCRIPTIONS, app.realtime.subscription_count() as f64);
    functions(look, app);
    backups(look, app);
    if let Err(error) = stored(look, app).await {
        tracing::warn!(%error, "metrics are told without those of the database: {error}");
    }
    look.keep(ProcessCollector::for_self());
    let Metrics(counters) = &app.metrics;
    let families = [counters.registry.gather(), found.gather()].concat();
    let text = TextEncoder::new().encode_to_string(&families);
    text.map_err(|error| internal("write the metrics", &error).into())
}

/// What is looked up goes in here.
#[derive(Clone, Copy)]
struct Lookup<'a>(&'a Registry);

/// Values of the labels, and the number.
type Value = (Vec<String>, f64);

impl Lookup<'_> {
    fn one(self, metric: &Metric, value: f64) {
        self.up(metric, vec![(Vec::new(), value)]);
    }

    fn up(self, metric: &Metric, values: Vec<Value>) {
        const VALID: &str = "the table has valid names and as many labels as there are values";
        if metric.kind == Kind::Counter {
            let counters = CounterVec::new(opts(metric), metric.labels).expect(VALID);
            values.iter().for_each(|(labels, value)| counters.with_label_values(labels).inc_by(*value));
            self.keep(counters);
        } else {
            let gauges = GaugeVec::new(opts(metric), metric.labels).expect(VALID);
            values.iter().for_each(|(labels, value)| gauges.with_label_values(labels).set(*value));
            self.keep(gauges);
        }
    }

    fn keep(self, collector: impl Collector + 'static) {
        self.0.register(Box::new(collector)).expect("the table has every name once");
    }
}

fn components(look: Lookup<'_>, health: &Health) {
    let number = |state| match state {
        HealthState::Ok => 0.0,
        HealthState::Degraded => 1.0,
        HealthState::Down => 2.0,
    };
    let values = health.components.iter().map(|(name, part)| (vec![(*name).to_owned()], number(part.state)));
    look.up(&table::HEALTH, values.collect());
}

fn database(look: Lookup<'_>, app: &App) {
    let health = app.store.health();
    look.one(&table::DATABASE_BYTES, health.database_bytes as f64);
    look.one(&table::DATABASE_LOG_BYTES, health.wal_bytes as f64);
    look.one(&table::DATABASE_WRITES_WAITING, health.writes_waiting as f64);
    look.one(&table::DATABASE_READS_WAITING, health.reads_waiting as f64);
}

fn functions(look: Lookup<'_>, app: &App) {
    let status = app.functions.status();
    let of = |function: &str, state: Option<&str>| {
        std::iter::once(function).chain(state).map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut workers, mut running, mut queued) = (Vec::new(), Vec::new(), Vec::new());
    for function in &status.functions {
        let (name, pool) = (function.name.as_str(), function.pool);
        workers.push((of(name, Some("ready")), pool.workers as f64));
        workers.push((of(name, Some("starting")), pool.starting as f64));
        running.push((of(name, None), pool.running as f64));
        queued.push((of(name, None), pool.queued as f64));
    }
    look.up(&table::FUNCTION_WORKERS, workers);
    look.up(&table::FUNCTION_RUNNING, running);
    look.up(&table::FUNCTION_QUEUED, queued);
    look.one(&table::RECORDS_DROPPED, status.dropped_records as f64);
}

async fn stored(look: Lookup<'_>, app: &App) -> Result<(), alyx_store::Error> {
    look.one(&table::CHANGES, app.store.last_change().await?.seq as f64);
    let (now, open) = (Timestamp::now(), app.store.open_jobs().await?);
    let late = app.store.next_jobs_due().await?;
    let number = |(kind, state, count): (String, String, i64)| (vec![kind, state], count as f64);
    look.up(&table::JOBS, open.into_iter().map(number).collect());
    let lateness =
        |(kind, due): (String, Timestamp)| (vec![kind], now.duration_since(due).as_secs_f64().max(0.0));
    look.up(&table::JOB_LATENESS, late.into_iter().map(lateness).collect());
    Ok(())
}

fn backups(look: Lookup<'_>, app: &App) {
    let last = app.backups.last_made().map_or(0.0, |at| at.as_second() as f64);
    look.one(&table::BACKUP_LAST, last);
}
