//! `POST /api/auth/refresh`: exchanges a refresh token, 200 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::{RefreshToken, answer};
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let RefreshToken { refresh_token } = body.parse()?;
    answer(StatusCode::OK, &app.auth.refresh(&refresh_token, &client).await?)
}
