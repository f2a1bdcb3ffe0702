//! `GET /api/admin/users/{id}/sessions`: 200 with the sessions of an account that run, newest first.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::http::{AdminCaller, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    let sessions = app.auth.user_sessions(&id).await?;
    Ok(json(StatusCode::OK, value!({ "sessions": sessions }).to_string()))
}
