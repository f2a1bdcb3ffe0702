//! `GET /api/admin/executions`: executions, newest first; with `follow=true` those to come.

use alyx_store::ExecutionFilter;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::shape::shape;
use crate::app::App;
use crate::functions::{Execution, OUTCOMES, TRIGGERS};
use crate::http::follow::follow;
use crate::http::{AdminCaller, QueryPairs, json as answer};
use crate::problem::{ApiError, Code};

/// Lists executions.
pub async fn list(State(app): State<App>, _: AdminCaller, query: QueryPairs) -> Result<Response, ApiError> {
    query.only(&["function", "outcome", "trigger", "request_id", "limit", "before", "follow"])?;
    let limit = query.number("limit", 30, 1_000)?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let one_of = |name: &str, words: &[&str]| match text(name) {
        Some(word) if !words.contains(&word.as_str()) => {
            let detail = format!("{name} must be one of {}.", words.join(", "));
            Err(ApiError::new(Code::InvalidParameter, detail))
        }
        word => Ok(word),
    };
    let (outcome, trigger) = (one_of("outcome", &OUTCOMES)?, one_of("trigger", &TRIGGERS)?);
    let (function, request_id) = (text("function"), text("request_id"));
    match query.get("follow") {
        None | Some("false") => {}
        Some("true") if query.get("before").is_some() => {
            return Err(ApiError::new(Code::InvalidParameter, "before and follow exclude each other."));
        }
        Some("true") => {
            let wanted = move |execution: &Execution| {
                function.as_ref().is_none_or(|function| *function == execution.function)
                    && outcome.as_ref().is_none_or(|outcome| outcome == execution.outcome)
                    && trigger.as_ref().is_none_or(|trigger| trigger == execution.trigger)
                    && request_id.as_ref().is_none_or(|id| *id == execution.request_id)
            };
            return Ok(follow(&app, &[], app.functions.follow(), wanted));
        }
        Some(_) => return Err(ApiError::new(Code::InvalidParameter, "follow must be true or false.")),
    }
    let before_id = text("before");
    let filter = ExecutionFilter { function, outcome, trigger, request_id, before_id, after_id: None, limit };
    app.functions.recorded().await;
    let found = app.store.executions(filter).await?;
    let executions: Vec<_> = found.iter().map(|execution| shape(&execution.row)).collect();
    Ok(answer(StatusCode::OK, json!({ "executions": executions, "limit": limit }).to_string()))
}
