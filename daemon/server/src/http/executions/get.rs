//! `GET /api/admin/executions/{id}`: one execution with its log.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::shape::shape;
use crate::app::App;
use crate::clock;
use crate::http::{AdminCaller, Params, QueryPairs, json as answer};
use crate::problem::{ApiError, Code};

/// Gives one execution.
pub async fn get(
    State(app): State<App>,
    _: AdminCaller,
    Params(id): Params<String>,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    app.functions.recorded().await;
    let execution = app.store.execution(&id).await?;
    let Some(execution) = execution else {
        return Err(ApiError::new(Code::ExecutionNotFound, "There is no such execution."));
    };
    let lines: Vec<_> = execution
        .row
        .logs
        .iter()
        .map(|line| {
            json!({
                "at": clock::text(line.at),
                "level": line.level,
                "stream": line.stream,
                "message": line.message,
            })
        })
        .collect();
    let mut body = shape(&execution.row);
    body["logs"] = lines.into();
    Ok(answer(StatusCode::OK, body.to_string()))
}
