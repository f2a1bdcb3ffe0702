//! `POST /api/auth/register`: makes an account, 201 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::begun;
use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let user: AccountBody = body.parse()?;
    begun(StatusCode::CREATED, &app.auth.register(user, &client).await?)
}
