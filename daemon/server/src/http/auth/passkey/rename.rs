//! `PATCH /api/auth/passkeys/{id}`: gives one of the caller's passkeys another name, 200 with it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::answer;
use crate::app::App;
use crate::auth::Client;
use crate::http::{JsonBody, Params, UserCaller};
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
}

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Input { name } = body.parse()?;
    answer(StatusCode::OK, &app.auth.rename_passkey(&caller.identity, &id, &name, &client).await?)
}
