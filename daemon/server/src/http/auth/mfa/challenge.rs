//! `POST /api/auth/mfa/challenge`: signs in by a second factor, after a first one was answered with
//! `mfa_required`, 200.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::begun;
use crate::app::App;
use crate::auth::{Client, Proof, ShownPasskey};
use crate::http::JsonBody;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    mfa_token: String,
    code: Option<String>,
    recovery_code: Option<String>,
    passkey: Option<ShownPasskey>,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Input { mfa_token, code, recovery_code, passkey } = body.parse()?;
    let proof = Proof { current_password: None, code, recovery_code, passkey };
    begun(StatusCode::OK, &app.auth.answer_second_factor(&mfa_token, &proof, &client).await?)
}
