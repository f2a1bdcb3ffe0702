//! `POST /api/auth/email/change`: sends a link to another address that makes it the account's, 202.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::auth::{Client, Proof, ShownPasskey};
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    email: String,
    current_password: Option<String>,
    code: Option<String>,
    recovery_code: Option<String>,
    passkey: Option<ShownPasskey>,
}

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let Input { email, current_password, code, recovery_code, passkey } = body.parse()?;
    let proof = Proof { current_password, code, recovery_code, passkey };
    app.auth.change_email(&caller.identity, &email, &proof, &client).await?;
    Ok(StatusCode::ACCEPTED)
}
