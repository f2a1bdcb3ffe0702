//! `POST /api/auth/oauth/exchange`: 200 with tokens, or with the question for a second factor.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::http::auth::begun;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    code: String,
    verifier: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Exchange { code, verifier } = body.parse()?;
    begun(StatusCode::OK, &app.auth.oauth_exchange(&code, &verifier, &client).await?)
}
