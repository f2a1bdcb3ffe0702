//! `POST /api/admin/users/{id}/password`: sets a password and ends the account's sessions, 204.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::{AccountBody, Client};
use crate::http::{AdminCaller, JsonBody, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let body: AccountBody = body.parse()?;
    app.auth.set_password(&id, body, &caller.identity, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
