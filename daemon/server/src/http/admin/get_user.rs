//! `GET /api/admin/users/{id}`: 200 with the account.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::documents::USERS;
use crate::http::{AdminCaller, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, app.documents.get(&caller.identity, &caller.facts, USERS, &id, &[]).await?))
}
