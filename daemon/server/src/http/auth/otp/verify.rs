//! `POST /api/auth/otp/verify`: signs in by a code and the token that goes with it, 200.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::begun;
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    otp_token: String,
    code: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Input { otp_token, code } = body.parse()?;
    begun(StatusCode::OK, &app.auth.sign_in_by_code(&otp_token, &code, &client).await?)
}
