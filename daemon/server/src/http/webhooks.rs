//! `/api/webhooks/{id}/deliveries…`: what webhooks delivered, for administrators.

use alyx_store::DeliveryRow;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json as value};

use super::{AdminCaller, Params, QueryPairs, json};
use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::limits::USERS_PAGE_MAX;
use crate::problem::{ApiError, Code};

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
