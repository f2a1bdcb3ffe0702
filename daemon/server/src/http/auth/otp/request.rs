//! `POST /api/auth/otp/request`: sends a code to sign in with, 202 with the token that goes with it. The
//! answer is the same whether or not there is such an account.

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
    email: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Input { email } = body.parse()?;
    answer(StatusCode::ACCEPTED, &app.auth.request_code(&email, &client).await?)
}
