//! `GET /api/auth/passkeys`: 200 with the caller's passkeys, oldest first.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::super::answer;
use crate::app::App;
use crate::auth::PasskeyInfo;
use crate::http::UserCaller;
use crate::problem::ApiError;

#[derive(Serialize)]
struct Passkeys {
    passkeys: Vec<PasskeyInfo>,
}

pub async fn handle(State(app): State<App>, UserCaller(caller): UserCaller) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &Passkeys { passkeys: app.auth.own_passkeys(&caller.identity).await? })
}
