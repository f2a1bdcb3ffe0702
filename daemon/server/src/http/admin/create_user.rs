//! `POST /api/admin/users`: makes an account, 201 with it. The body is a document of `users`, with a
//! `password` beside its fields if the account is to sign in by one.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let user: AccountBody = body.parse()?;
    Ok(json(StatusCode::CREATED, app.auth.create_user(user, &caller.identity, &client).await?))
}
