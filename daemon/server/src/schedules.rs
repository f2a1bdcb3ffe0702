//! Schedules: functions that run by the clock.
//!
//! The table is the truth: it says when each is due. A run is added in the transaction that moves its
//! schedule on, so a daemon that dies at that very moment fires it once, before or after. What was due
//! while no daemon was there is caught up with, or left out, as the schedule says. A run is a job.

mod manage;
mod zones;

pub use manage::Pause;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alyx_core::document::IdKind;
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts};
use alyx_core::schedule::{Due, Overlap, Schedule};
use alyx_core::schema::{Retry, parse_schedule};
use alyx_store::{DueJob, Firing, NewJob, NewSchedule, ScheduleRow, Store};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::catalog::CatalogHandle;
use crate::clock;
use crate::functions::{Functions, Invocation};
use crate::jobs::{Attempt, Handler};
use crate::limits::{SCHEDULE_OPEN_MAX, SCHEDULES_AT_ONCE, SCHEDULES_LOOK_AGAIN};
use crate::problem::error_chain;
use crate::serve::told_to_stop;

use self::zones::zone;

/// Kind of the jobs of schedules, and what executions say caused them.
const KIND: &str = "schedule";

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Schedules(Arc<Parts>);

struct Parts {
    store: Store,
    catalog: CatalogHandle,
    functions: Functions,
    /// How the runs of each are tried again, by name.
    retries: ArcSwap<BTreeMap<String, Retry>>,
    wake: Notify,
}

impl Schedules {
    pub fn new(store: Store, catalog: CatalogHandle, functions: Functions) -> Self {
        let (retries, wake) = (ArcSwap::default(), Notify::new());
        Self(Arc::new(Parts { store, catalog, functions, retries, wake }))
    }

    /// Something about schedules may be different.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Keeps the schedules of the catalog and fires what is due, until it is told to stop.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut declared = None;
        loop {
            let catalog = self.0.catalog.load_full();
            if declared.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &catalog)) {
                match self.declare(&catalog.schema.schedules).await {
                    Ok(()) => declared = Some(catalog),
                    Err(error) => tracing::warn!("schedules were not declared: {}", error_chain(&error)),
                }
            }
            self.read_retries().await;
            let wait = self.fire_due(&stopped).await;
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Makes the schedules of the schema known to the table.
    async fn declare(
        &self,
        schedules: &indexmap::IndexMap<String, Schedule>,
    ) -> Result<(), alyx_store::Error> {
        let now = Timestamp::now();
        let wanted = schedules.values().map(|schedule| first(schedule, now)).collect();
        self.0.store.declare_schedules(wanted).await.map(drop)
    }

    async fn read_retries(&self) {
        let Ok(rows) = self.0.store.schedules().await else { return };
        let retries = rows.iter().filter_map(|row| Some((row.name.clone(), read(row).ok()?.retry)));
        self.0.retries.store(Arc::new(retries.collect()));
    }

    /// Fires everything that is due. Gives the time until more is.
    async fn fire_due(&self, stopped: &watch::Receiver<bool>) -> Duration {
        let store = &self.0.store;
        while !*stopped.borrow() {
            let now = Timestamp::now();
            let due = match store.due_schedules(now, SCHEDULES_AT_ONCE).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!("schedules that are due cannot be read: {}", error_chain(&error));
                    return SCHEDULES_LOOK_AGAIN;
                }
            };
            if due.is_empty() {
                break;
            }
            for row in due {
                if !self.fire(&row, now).await {
                    // What cannot be moved on would be fired again and again.
                    return SCHEDULES_LOOK_AGAIN;
                }
            }
        }
        // The clock on the wall may be set meanwhile, so the wait is bounded.
        match store.next_schedule_due().await {
            Ok(Some(next)) => {
                let left = next.duration_since(Timestamp::now());
                Duration::try_from(left).unwrap_or_default().min(SCHEDULES_LOOK_AGAIN)
            }
            _ => SCHEDULES_LOOK_AGAIN,
        }
    }

    /// Fires one schedule and moves it on. Answers whether that is noted.
    async fn fire(&self, row: &ScheduleRow, now: Timestamp) -> bool {
        let Some(due_at) = row.next_at else { return true };
        let name = &row.name;
        let (schedule, due) = match read(row) {
            Ok(schedule) => {
                let due = schedule.due(due_at, now, row.anchor, &zone(&schedule.zone));
                (Some(schedule), due)
            }
            Err(reason) => {
                tracing::error!("schedule {name} is switched off, because it cannot be read: {reason}");
                (None, Due { runs: Vec::new(), next: None })
            }
        };
        if due.runs.is_empty() && schedule.is_some() {
            tracing::warn!(
                "schedule {name} was due at {due_at} and nobody was there; it is not caught up with"
            );
        }
        let overlap = schedule.as_ref().map_or(Overlap::Skip, |schedule| schedule.overlap);
        let runs = schedule
            .iter()
            .flat_map(|schedule| due.runs.iter().map(|moment| run_of(schedule, Some(*moment))))
            .collect();
        let firing = Firing {
            name: name.clone(),
            due_at,
            next_at: due.next,
            last_at: due.runs.last().copied(),
            runs,
            open_max: open_max(overlap),
        };
        match self.0.store.fire_schedule(firing).await {
            Ok(fired) => {
                if fired.skipped > 0 {
                    tracing::warn!(
                        "{} runs of schedule {name} are left out: another one is not over",
                        fired.skipped
                    );
                }
                true
            }
            Err(error) => {
                tracing::warn!("schedule {name} was not fired: {}", error_chain(&error));
                false
            }
        }
    }
}

/// The job of a run: of one that was due at a moment, or one that somebody asked for.
fn run_of(schedule: &Schedule, moment: Option<Timestamp>) -> NewJob {
    let name = &schedule.name;
    let at = moment.map(clock::text);
    let payload = json!({
        "function": schedule.function, "schedule": name, "at": at, "input": schedule.input,
    });
    NewJob {
        // No moment of a schedule is fired twice, whatever becomes of its row.
        id: at.map_or_else(|| clock::new_key(IdKind::Id), |at| format!("{KIND}:{name}:{at}")),
        kind: KIND,
        target: name.clone(),
        key: (schedule.overlap != Overlap::Allow).then(|| format!("{KIND}:{name}")),
        payload: payload.to_string(),
        run_at: moment.map(|_| Timestamp::now() + schedule.jitter.mul_f64(chance())),
    }
}

/// A number from 0 to 1 that nobody knows before.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(clock::random())) / f64::from(u32::MAX)
}

/// How many runs may be open when another one is added.
fn open_max(overlap: Overlap) -> u32 {
    match overlap {
        Overlap::Skip => 1,
        Overlap::Queue | Overlap::Allow => SCHEDULE_OPEN_MAX,
    }
}

/// A schedule as it begins at `now`.
fn first(schedule: &Schedule, now: Timestamp) -> NewSchedule {
    NewSchedule {
        name: schedule.name.clone(),
        definition_json: schedule.to_json().to_string(),
        anchor: now,
        next_at: next(schedule, now, now),
    }
}

/// When a schedule that is not paused is due after `after`; never if it is switched off.
fn next(schedule: &Schedule, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
    schedule.enabled.then(|| schedule.timing.next(after, anchor, &zone(&schedule.zone))).flatten()
}

/// The schedule of a row.
fn read(row: &ScheduleRow) -> Result<Schedule, String> {
    let body = serde_json::from_str(&row.definition_json).map_err(|error| error.to_string())?;
    parse_schedule(&row.name, &body)
        .map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))
}

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

impl Handler for Schedules {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        16
    }

    fn policy(&self, target: &str) -> Retry {
        self.0.retries.load().get(target).copied().unwrap_or(Retry { attempts: 1, ..Retry::default() })
    }

    fn run(&self, job: DueJob) -> Future<Attempt> {
        let functions = self.0.functions.clone();
        Box::pin(async move { carry_out(&functions, job).await })
    }
}

/// Runs the function of a job, for the project.
async fn carry_out(functions: &Functions, job: DueJob) -> Attempt {
    let mut told: BTreeMap<String, Value> = match serde_json::from_str(&job.payload) {
        Ok(told) => told,
        Err(error) => return Attempt::Hopeless { error: format!("its payload is damaged: {error}") },
    };
    let function = told.remove("function").and_then(|name| name.as_str().map(str::to_owned));
    told.insert("job".to_owned(), job.id.as_str().into());
    told.insert("attempt".to_owned(), job.attempt.into());
    let Ok(input) = to_raw_value(&told) else {
        return Attempt::Hopeless { error: "its payload cannot be written".to_owned() };
    };
    let invocation = Invocation {
        function: function.unwrap_or_default(),
        identity: Identity::Admin(AdminIdentity::Project { cause: format!("{KIND}:{}", job.target) }),
        facts: RequestFacts { time: clock::now_text(), depth: job.depth + 1, ..RequestFacts::default() },
        input,
        trigger: KIND,
        request_id: job.id,
        trace_id: clock::random_hex::<16>(),
    };
    Attempt::of_function(functions.invoke(invocation).await)
}
