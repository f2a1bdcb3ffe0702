//! `PATCH /api/admin/users/{id}`: changes an account, 200 with it. `{"disabled": true}` ends its
//! sessions and keeps it from signing in.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::documents::{Precondition, USERS};
use crate::http::{AdminCaller, JsonBody, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let who = &caller.identity;
    let event = Event::new(Action::UserUpdate, who, &client).target(format!("user:{id}"));
    let documents = app.documents.audited(event.detail("fields", field_names(&body)));
    let written = documents.update(who, &caller.facts, USERS, &id, &body.0, Precondition::None).await?;
    Ok(json(StatusCode::OK, written.json))
}

/// Which fields the body sets; their values may be private.
fn field_names(body: &JsonBody) -> Vec<String> {
    let fields: serde_json::Map<String, serde_json::Value> = body.parse().unwrap_or_default();
    fields.keys().take(100).cloned().collect()
}
