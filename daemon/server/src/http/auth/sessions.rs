//! `GET /api/auth/sessions`: 200 with the caller's sessions, newest first.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use super::answer;
use crate::app::App;
use crate::http::UserCaller;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, UserCaller(caller): UserCaller) -> Result<Response, ApiError> {
    let sessions = app.auth.own_sessions(&caller.identity).await?;
    answer(StatusCode::OK, &value!({ "sessions": sessions }))
}
