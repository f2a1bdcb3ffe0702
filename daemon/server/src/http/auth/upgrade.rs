//! `POST /api/auth/upgrade`: gives an anonymous account address and password, 200 with new tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::begun;
use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let body: AccountBody = body.parse()?;
    begun(StatusCode::OK, &app.auth.upgrade(&caller.identity, body, &client).await?)
}
