//! `POST /api/auth/verify/request`: sends a link that verifies an address, 202. The answer is the same
//! whether or not there is such an account.

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
    email: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<StatusCode, ApiError> {
    let Input { email } = body.parse()?;
    app.auth.request_verification(&email, &client).await?;
    Ok(StatusCode::ACCEPTED)
}
