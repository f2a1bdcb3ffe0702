//! What administrators see and do.

use alyx_core::schedule::{Schedule, Timing};
use alyx_core::schema::parse_schedule;
use alyx_store::{Declared, Error, ScheduleRow};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Schedules, first, next, open_max, read, run_of, zone};
use crate::audit::{self, Event};
use crate::clock;
use crate::limits::{SCHEDULE_NEXT_RUNS, SCHEDULES_MAX};
use crate::problem::{ApiError, Code, invalid_definition};

/// Whether a schedule goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    Pause,
    Resume,
}

impl Schedules {
    /// All of them, by name.
    pub async fn list(&self) -> Result<Value, ApiError> {
        let rows = self.0.store.schedules().await?;
        let schedules: Vec<Value> = rows.iter().map(|row| show(row, Timestamp::now())).collect();
        Ok(json!({ "schedules": schedules }))
    }

    /// One of them.
    pub async fn get(&self, name: &str) -> Result<Value, ApiError> {
        Ok(show(&self.row(name).await?, Timestamp::now()))
    }

    /// Makes one from a definition with a `name`.
    pub async fn create(&self, mut body: Value, event: Event) -> Result<Value, ApiError> {
        let name = body.as_object_mut().and_then(|body| body.remove("name"));
        let Some(Value::String(name)) = name else {
            let detail = "The body must be an object with a name.";
            return Err(ApiError::new(Code::ValidationFailed, detail));
        };
        let schedule = parse_schedule(&name, &body).map_err(invalid_definition)?;
        self.accepts(&schedule)?;
        if self.0.store.schedules().await?.len() >= SCHEDULES_MAX {
            return Err(ApiError::new(
                Code::ScheduleExists,
                format!("There are {SCHEDULES_MAX} schedules already."),
            ));
        }
        let store = audit::with(&self.0.store, event.target(format!("schedule:{name}")));
        match store.create_schedule(first(&schedule, Timestamp::now())).await {
            Ok(()) => {}
            Err(Error::UniqueViolation { .. }) => {
                let detail = format!("There is a schedule {name} already.");
                return Err(ApiError::new(Code::ScheduleExists, detail));
            }
            Err(other) => return Err(other.into()),
        }
        self.wake();
        self.get(&name).await
    }

    /// Stops one for now, or lets it go on. What would have been due meanwhile is not caught up with.
    pub async fn pause(&self, name: &str, pause: Pause, event: Event) -> Result<Value, ApiError> {
        let row = self.row(name).await?;
        let now = Timestamp::now();
        let next_at = read(&row).ok().and_then(|schedule| next(&schedule, now, row.anchor));
        let store = audit::with(&self.0.store, event.target(format!("schedule:{name}")));
        store.pause_schedule(name, pause == Pause::Pause, next_at).await.map_err(not_found)?;
        self.wake();
        self.get(name).await
    }

    /// Runs one now, whatever the clock says. Answers the id of its job.
    pub async fn trigger(&self, name: &str, event: Event) -> Result<Value, ApiError> {
        let row = self.row(name).await?;
        let schedule = read(&row).map_err(|reason| {
            ApiError::new(Code::ScheduleNotFound, format!("The schedule {name} cannot be read: {reason}."))
        })?;
        let run = run_of(&schedule, None);
        let id = run.id.clone();
        let store = audit::with(&self.0.store, event.target(format!("schedule:{name}")));
        match store.trigger_schedule(name, run, open_max(schedule.overlap)).await {
            Ok(()) => {}
            Err(Error::Stale) => {
                let detail = format!(
                    "Another run of {name} is not over, and overlap says {}.",
                    schedule.overlap.as_str()
                );
                return Err(ApiError::new(Code::ScheduleRunning, detail));
            }
            Err(other) => return Err(not_found(other)),
        }
        Ok(json!({ "job": id }))
    }

    /// Deletes one that an administrator made.
    pub async fn delete(&self, name: &str, event: Event) -> Result<(), ApiError> {
        if self.row(name).await?.source == Declared::Schema {
            let detail =
                format!("The schedule {name} is of the project's schema; remove it there, or pause it.");
            return Err(ApiError::new(Code::ScheduleDeclared, detail));
        }
        let store = audit::with(&self.0.store, event.target(format!("schedule:{name}")));
        store.delete_schedule(name).await.map_err(not_found)
    }

    async fn row(&self, name: &str) -> Result<ScheduleRow, ApiError> {
        self.0.store.schedule(name).await?.ok_or_else(|| not_found(Error::NotFound))
    }

    /// Refuses what parses and still could never run.
    fn accepts(&self, schedule: &Schedule) -> Result<(), ApiError> {
        if self.0.catalog.load().function(&schedule.function).is_none() {
            let detail = format!("There is no function {:?}.", schedule.function);
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        if let Timing::At(moment) = schedule.timing
            && moment <= Timestamp::now()
        {
            return Err(ApiError::new(Code::ValidationFailed, "The moment of the schedule has passed."));
        }
        Ok(())
    }
}

fn not_found(error: Error) -> ApiError {
    match error {
        Error::NotFound => ApiError::new(Code::ScheduleNotFound, "There is no such schedule."),
        other => other.into(),
    }
}

fn show(row: &ScheduleRow, now: Timestamp) -> Value {
    let moment = |moment: Option<Timestamp>| moment.map(clock::text);
    let schedule = read(row).ok();
    let mut shown = schedule.as_ref().map_or_else(|| json!({}), Schedule::to_json);
    let waits = row.next_at.filter(|_| !row.paused);
    let mut next: Vec<Timestamp> = waits.into_iter().collect();
    if let (Some(schedule), Some(first)) = (&schedule, waits) {
        let zone = zone(&schedule.zone);
        next.extend(schedule.upcoming(first.max(now), row.anchor, &zone, SCHEDULE_NEXT_RUNS - 1));
    }
    shown["name"] = row.name.as_str().into();
    shown["source"] = row.source.as_str().into();
    shown["paused"] = row.paused.into();
    shown["next_at"] = moment(next.first().copied()).into();
    shown["next_runs"] = next.into_iter().map(clock::text).collect();
    shown["last_at"] = moment(row.last_at).into();
    shown["created_at"] = clock::text(row.created_at).into();
    shown["updated_at"] = clock::text(row.updated_at).into();
    shown
}
