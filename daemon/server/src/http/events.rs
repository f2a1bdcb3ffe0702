//! `/api/events…`: events that the project itself names.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json as value};

use super::{AdminCaller, Caller, JsonBody, Params, QueryPairs, json};
use crate::app::App;
use crate::problem::{ApiError, Code};

/// Events in one answer, if nothing else is asked for, and at most.
const PAGE: (u32, u32) = (50, 200);

/// `POST /api/events/{name}`: publishes an event that tells the body, any JSON; 202.
pub async fn publish(
    State(app): State<App>,
    caller: Caller,
    Params(name): Params<String>,
    query: QueryPairs,
    body: JsonBody,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let payload: Box<RawValue> = body.parse()?;
    let published = app.documents.publish(&caller.identity, &caller.facts, &name, &payload).await?;
    Ok(json(StatusCode::ACCEPTED, published))
}

/// `GET /api/events?name=&before=&limit=`: the newest events first, for administrators.
pub async fn list(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["name", "before", "limit"])?;
    let limit = match query.get("limit") {
        None => PAGE.0,
        Some(text) => text.parse().ok().filter(|limit| (1..=PAGE.1).contains(limit)).ok_or_else(|| {
            ApiError::new(Code::InvalidParameter, format!("limit is a number from 1 to {}.", PAGE.1))
        })?,
    };
    let text = |name: &str| query.get(name).map(str::to_owned);
    let rows = app.store.events(text("name"), text("before"), limit).await?;
    let events: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
            value!({ "id": row.id, "name": row.name, "at": row.at, "identity": row.identity, "payload": payload })
        })
        .collect();
    Ok(json(StatusCode::OK, value!({ "events": events }).to_string()))
}
