//! `/api/admin/jobs…`: work that committed transactions owe, and what became of it.

use alyx_store::{Error, JobFilter, JobRow, Purge};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json as value};

use super::carried_through;
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, Params, QueryPairs, json};
use crate::limits::USERS_PAGE_MAX;
use crate::problem::{ApiError, Code};

/// What `state` may be.
const STATES: [&str; 5] = ["held", "pending", "running", "done", "dead"];

fn wrong(detail: &str) -> ApiError {
    ApiError::new(Code::InvalidParameter, detail)
}

/// `GET /api/admin/jobs`: 200 with jobs, newest first.
pub async fn list(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["state", "kind", "target", "before", "limit"])?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let state = text("state");
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(wrong("state must be held, pending, running, done or dead."));
    }
    let before = query.get("before").map(|text| text.parse::<i64>().ok().filter(|number| *number > 0));
    let before =
        before.map(|number| number.ok_or_else(|| wrong("before must be a whole number above zero.")));
    let limit = query.number("limit", 30, USERS_PAGE_MAX)?;
    let filter = JobFilter { state, kind: text("kind"), target: text("target"), before: before.transpose()? };
    let jobs = app.store.list_jobs(filter, limit).await?;
    // A full page may have a next one, which begins before the last of this.
    let next = jobs.last().filter(|_| jobs.len() == limit as usize).map(|row| row.seq);
    let jobs: Vec<Value> = jobs.iter().map(shape).collect();
    Ok(json(StatusCode::OK, value!({ "jobs": jobs, "limit": limit, "next_before": next }).to_string()))
}

/// `GET /api/admin/jobs/{id}`: 200 with a job and its payload.
pub async fn show(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    let (row, payload) = app.store.job(&id).await?.ok_or_else(not_found)?;
    let mut job = shape(&row);
    job["payload"] = serde_json::from_str(&payload).unwrap_or(Value::Null);
    Ok(json(StatusCode::OK, job.to_string()))
}

/// `POST /api/admin/jobs/{id}/replay`: has a job that is settled carried out again, 202.
pub async fn replay(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::JobReplay, &caller.identity, &client).target(format!("job:{id}"));
    match audit::with(&app.store, event).replay_job(&id).await {
        Ok(()) => Ok(StatusCode::ACCEPTED),
        Err(Error::NotFound) => Err(not_found()),
        Err(Error::Stale) => Err(ApiError::new(Code::Conflict, "The job is not settled yet.")),
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/admin/jobs/purge`: removes settled jobs, 200 with how many.
pub async fn purge(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["state", "kind"])?;
    let state = query.get("state").unwrap_or("dead").to_owned();
    if !["done", "dead"].contains(&state.as_str()) {
        return Err(wrong("state must be done or dead."));
    }
    let purge = Purge { state, kind: query.get("kind").map(str::to_owned), before: Timestamp::now() };
    let event = Event::new(Action::JobPurge, &caller.identity, &client)
        .detail("state", purge.state.clone())
        .detail("kind", purge.kind.clone());
    let removed = carried_through(&app, async move |app| {
        let mut removed = audit::with(&app.store, event).purge_jobs(purge.clone()).await?;
        let mut last = removed;
        while last > 0 {
            last = app.store.purge_jobs(purge.clone()).await?;
            removed += last;
        }
        Ok::<_, Error>(removed)
    })
    .await??;
    Ok(json(StatusCode::OK, value!({ "removed": removed }).to_string()))
}

fn not_found() -> ApiError {
    ApiError::new(Code::JobNotFound, "There is no such job.")
}

fn shape(row: &JobRow) -> Value {
    let waits = matches!(row.state.as_str(), "held" | "pending");
    value!({
        "id": row.id,
        "kind": row.kind,
        "target": row.target,
        "key": row.key,
        "state": row.state,
        "attempts": row.attempts,
        "depth": row.depth,
        "created_at": row.created_at,
        "run_at": waits.then_some(&row.run_at),
        "settled_at": row.settled_at,
        "error": row.error,
    })
}
