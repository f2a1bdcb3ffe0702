//! `POST /api/auth/login`: 200 with tokens. Unknown address, wrong password and disabled account have
//! the same answer.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::begun;
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let Credentials { email, password } = body.parse()?;
    begun(StatusCode::OK, &app.auth.login(&email, password, &client).await?)
}
