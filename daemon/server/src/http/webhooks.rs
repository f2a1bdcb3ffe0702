//! `/api/webhooks…`: webhooks of the schema, and those made at run time, for administrators.

use alyx_store::DeliveryRow;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json as value};

use super::hooks::{read, shown};
use super::{AdminCaller, JsonBody, Params, QueryPairs, json};
use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::hooks::NewHook;
use crate::limits::USERS_PAGE_MAX;
use crate::problem::{ApiError, Code};

/// `GET /api/webhooks`: 200 with all webhooks.
pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let webhooks: Vec<Value> = app.webhooks.list().into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, value!({ "webhooks": webhooks }).to_string()))
}

/// `GET /api/webhooks/{id}`: 200 with one.
pub async fn get(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, shown(app.webhooks.get(&id)?).to_string()))
}

/// `POST /api/webhooks`: makes a webhook, 201. The body is that of the schema, and `enabled`.
pub async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (definition, enabled) = read(&body)?;
    let event = Event::new(Action::WebhookCreate, &caller.identity, &client);
    let new = NewHook { definition, enabled: enabled.unwrap_or(true) };
    let id = app.webhooks.create(new, event).await?;
    Ok(json(StatusCode::CREATED, shown(app.webhooks.get(&id)?).to_string()))
}

/// `PATCH /api/webhooks/{id}`: changes what the body names, 200; `enabled` stops and starts it.
pub async fn update(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (changes, enabled) = read(&body)?;
    let event = Event::new(Action::WebhookUpdate, &caller.identity, &client);
    app.webhooks.change(&id, changes, enabled, event).await?;
    Ok(json(StatusCode::OK, shown(app.webhooks.get(&id)?).to_string()))
}

/// `DELETE /api/webhooks/{id}`: 204.
pub async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::WebhookDelete, &caller.identity, &client);
    app.webhooks.delete(&id, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/webhooks/{id}/deliveries`: 200 with the requests that it made, newest first.
pub async fn deliveries(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["before", "limit"])?;
    let wrong = || ApiError::new(Code::InvalidParameter, "before must be a whole number above zero.");
    let before = query.get("before").map(|text| text.parse().ok().filter(|at| *at > 0).ok_or_else(wrong));
    let limit = query.number("limit", 30, USERS_PAGE_MAX)?;
    let rows = app.webhooks.deliveries(&id, before.transpose()?, limit).await?;
    // A full page may have a next one, which begins before the last of this.
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.seq);
    let rows: Vec<Value> = rows.into_iter().map(shape).collect();
    Ok(json(StatusCode::OK, value!({ "deliveries": rows, "next_before": next }).to_string()))
}

/// `POST /api/webhooks/{id}/deliveries/{delivery}/redeliver`: makes a delivery again, 202.
pub async fn redeliver(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params((id, delivery)): Params<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::WebhookRedeliver, &caller.identity, &client);
    app.webhooks.redeliver(&id, &delivery, event.detail("delivery", delivery.clone())).await?;
    Ok(StatusCode::ACCEPTED)
}

fn shape(row: DeliveryRow) -> Value {
    value!({
        "id": row.job, "attempt": row.attempt, "at": row.at, "url": row.url, "request": row.request,
        "status": row.status, "response": row.response, "error": row.error, "duration_ms": row.duration_ms,
    })
}
