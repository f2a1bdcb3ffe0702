//! `GET /api/auth/me`: 200 with the caller's account.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::answer;
use crate::app::App;
use crate::http::UserCaller;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, UserCaller(caller): UserCaller) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &app.auth.me(&caller.identity).await?)
}
