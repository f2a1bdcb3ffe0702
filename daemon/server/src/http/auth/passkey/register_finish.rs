//! `POST /api/auth/passkey/register/finish`: registers a passkey, 201 with it, and with recovery codes if
//! it is the account's first second factor.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::answer;
use crate::app::App;
use crate::auth::{Client, NewCredential};
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    passkey_token: String,
    credential: NewCredential,
    name: Option<String>,
}

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Input { passkey_token, credential, name } = body.parse()?;
    let registered = app
        .auth
        .register_passkey(&caller.identity, &passkey_token, &credential, name.as_deref(), &client)
        .await?;
    answer(StatusCode::CREATED, &registered)
}
