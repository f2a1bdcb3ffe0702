//! `GET /api/admin/executions`: executions, newest first; with `follow=true` those to come.

use alyx_store::ExecutionFilter;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::shape::shape;
use crate::app::App;
use crate::functions::{Execution, OUTCOMES};
use crate::http::follow::follow;
use crate::http::{AdminCaller, QueryPairs, json as answer};
use crate::problem::{ApiError, Code};

/// Lists executions.
pub async fn list(State(app): State<App>, _: AdminCaller, query: QueryPairs) -> Result<Response, ApiError> {
    query.only(&["function", "outcome", "limit", "before", "follow"])?;
    let limit = query.number("limit", 30, 1_000)?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let (function, outcome) = (text("function"), text("outcome"));
    if outcome.as_deref().is_some_and(|outcome| !OUTCOMES.contains(&outcome)) {
        let detail = format!("outcome must be one of {}.", OUTCOMES.join(", "));
        return Err(ApiError::new(Code::InvalidParameter, detail));
    }
    match query.get("follow") {
        None | Some("false") => {}
        Some("true") if query.get("before").is_some() => {
            return Err(ApiError::new(Code::InvalidParameter, "before and follow exclude each other."));
        }
        Some("true") => {
            let wanted = move |execution: &Execution| {
                function.as_ref().is_none_or(|function| *function == execution.function)
                    && outcome.as_ref().is_none_or(|outcome| outcome == execution.outcome)
            };
            return Ok(follow(&app, &[], app.functions.follow(), wanted));
        }
        Some(_) => return Err(ApiError::new(Code::InvalidParameter, "follow must be true or false.")),
    }
    let before_id = text("before");
    let filter = ExecutionFilter { function, outcome, before_id, after_id: None, limit };
    let found = app.store.executions(filter).await?;
    let executions: Vec<_> = found.iter().map(|execution| shape(&execution.row)).collect();
    Ok(answer(StatusCode::OK, json!({ "executions": executions, "limit": limit }).to_string()))
}
