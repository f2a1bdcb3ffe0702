//! `PATCH /api/admin/users/{id}`: changes an account, 200 with it. `{"disabled": true}` ends its
//! sessions and keeps it from signing in.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::documents::{Precondition, USERS};
use crate::http::{AdminCaller, JsonBody, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (who, facts) = (&caller.identity, &caller.facts);
    let written = app.documents.update(who, facts, USERS, &id, &body.0, Precondition::None).await?;
    Ok(json(StatusCode::OK, written.json))
}
