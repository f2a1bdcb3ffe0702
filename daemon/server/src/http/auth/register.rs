//! `POST /api/auth/register`: makes an account, 201 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::answer;
use crate::app::App;
use crate::auth::{Client, NewUser};
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let user: NewUser = body.parse()?;
    answer(StatusCode::CREATED, &app.auth.register(user, &client).await?)
}
