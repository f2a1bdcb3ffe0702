//! `POST /api/auth/register`: makes an account, 201 with tokens. Where addresses are verified first, 202 for
//! every address alike.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::begun;
use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let user: AccountBody = body.parse()?;
    match app.auth.register(user, &client).await? {
        Some(session) => begun(StatusCode::CREATED, &session),
        None => Ok(StatusCode::ACCEPTED.into_response()),
    }
}
