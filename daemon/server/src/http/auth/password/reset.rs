//! `POST /api/auth/password/reset`: takes the token of a link and sets a new password, 204. All sessions of
//! the account end; nobody is signed in by it.

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
    password: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<StatusCode, ApiError> {
    let Input { token, password } = body.parse()?;
    app.auth.reset_password(&token, password, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
