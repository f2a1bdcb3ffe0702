//! `POST /api/auth/mfa/totp/confirm`: puts the second factor in force by its first code, 200 with recovery
//! codes, which are shown this once.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::answer;
use crate::app::App;
use crate::auth::Client;
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    code: String,
}

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Input { code } = body.parse()?;
    answer(StatusCode::OK, &app.auth.confirm_totp(&caller.identity, &code, &client).await?)
}
