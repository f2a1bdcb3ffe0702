//! `GET /api/admin/functions/{name}/logs`: the recent lines of a function, whatever invocation or
//! version they belong to; with `follow=true` also those to come. Those since the start are kept in memory,
//! earlier ones are taken from the records of executions.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::app::App;
use crate::http::follow::follow;
use crate::http::{AdminCaller, Params, QueryPairs, json as answer};
use crate::problem::{ApiError, Code};

/// Lists recent lines, oldest first.
pub async fn logs(
    State(app): State<App>,
    _: AdminCaller,
    Params(name): Params<String>,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["limit", "follow"])?;
    let limit = query.number("limit", 100, 1_000)?;
    let follows = match query.get("follow") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::new(Code::InvalidParameter, "follow must be true or false.")),
    };
    let Some((lines, to_come)) = app.functions.lines(&name, limit).await? else {
        return Err(ApiError::new(Code::FunctionNotFound, format!("There is no function {name:?}.")));
    };
    if follows {
        return Ok(follow(&app, &lines, to_come, |_| true));
    }
    Ok(answer(StatusCode::OK, json!({ "lines": lines }).to_string()))
}
