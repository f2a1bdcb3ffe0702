//! `GET /api/admin/functions/{name}/logs`: the recent lines of a function, whatever invocation or
//! version they belong to; with `follow=true` also those to come. They are kept in memory; the log of one execution is kept with it.

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
    let missing = || ApiError::new(Code::FunctionNotFound, format!("There is no function {name:?}."));
    match query.get("follow") {
        None | Some("false") => {}
        Some("true") => {
            let (known, to_come) = app.functions.follow_lines(&name, limit as usize).ok_or_else(missing)?;
            return Ok(follow(&app, &known, to_come, |_| true));
        }
        Some(_) => return Err(ApiError::new(Code::InvalidParameter, "follow must be true or false.")),
    }
    let lines = app.functions.recent_lines(&name, limit as usize).ok_or_else(missing)?;
    Ok(answer(StatusCode::OK, json!({ "lines": lines }).to_string()))
}
