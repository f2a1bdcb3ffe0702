//! `POST /api/auth/email/confirm`: takes the token of a link and makes its address the account's, 204.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    token: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<StatusCode, ApiError> {
    let Input { token } = body.parse()?;
    app.auth.confirm_email(&token, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
