//! `GET /api/auth/mfa`: 200 with which second factors the caller has.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::super::answer;
use crate::app::App;
use crate::http::UserCaller;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, UserCaller(caller): UserCaller) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &app.auth.factor_status(&caller.identity).await?)
}
