//! `POST /api/auth/setup`: makes the first administrator with the token that was printed at the start,
//! 201 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::begun;
use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let body: AccountBody = body.parse()?;
    begun(StatusCode::CREATED, &app.auth.setup(body, &client).await?)
}
