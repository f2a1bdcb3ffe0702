//! `GET /api/auth/mfa`: 200 with which second factors the caller has.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::super::answer;
use crate::app::App;
use crate::http::Caller;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &app.auth.factor_status(&caller.identity).await?)
}
