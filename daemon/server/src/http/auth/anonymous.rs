//! `POST /api/auth/anonymous`: makes an account without address, 201 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::begun;
use crate::app::App;
use crate::auth::Client;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client) -> Result<Response, ApiError> {
    begun(StatusCode::CREATED, &app.auth.anonymous(&client).await?)
}
