//! `POST /api/auth/passkey/login/begin`: 200 with what to ask an authenticator for: any passkey, or, with
//! an `mfa_token`, one of the account that showed its first factor.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::answer;
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    mfa_token: Option<String>,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Input { mfa_token } = body.parse()?;
    answer(StatusCode::OK, &app.auth.ask_for_passkey(mfa_token.as_deref(), &client).await?)
}
