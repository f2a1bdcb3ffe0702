//! `GET /api/changes`: 200 with the changes that the caller may see after a place in the feed, and the
//! place behind them. 410 if the feed no longer reaches back to that place.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::changes::{Wanted, from_token};
use crate::http::{Caller, QueryPairs, json};
use crate::limits::{CHANGES_PAGE_DEFAULT, CHANGES_PAGE_MAX, CHANGES_WAIT_MAX_S};
use crate::problem::{ApiError, Code, internal};

pub async fn handle(State(app): State<App>, caller: Caller, query: QueryPairs) -> Result<Response, ApiError> {
    query.only(&["since", "collections", "limit", "wait"])?;
    let since = query.get("since").map(|text| from_token(text).ok_or_else(invalid_since)).transpose()?;
    let collections = query.get("collections").map(|text| text.split(',').map(str::to_owned).collect());
    let wait = query.get("wait").map_or(Ok(0), |_| query.number("wait", 0, CHANGES_WAIT_MAX_S))?;
    let wanted = Wanted {
        since,
        collections: collections.unwrap_or_default(),
        limit: query.number("limit", CHANGES_PAGE_DEFAULT, CHANGES_PAGE_MAX)?,
        wait: Duration::from_secs(u64::from(wait)),
    };
    let answer = app.changes.read(&caller.identity, &caller.facts, wanted).await?;
    let body = serde_json::to_vec(&answer).map_err(|error| internal("write changes", &error))?;
    Ok(json(StatusCode::OK, body))
}

fn invalid_since() -> ApiError {
    ApiError::new(Code::InvalidParameter, "since must be the `next` of an earlier answer, or `start`.")
}
