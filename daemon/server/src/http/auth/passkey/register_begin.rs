//! `POST /api/auth/passkey/register/begin`: 200 with what to ask an authenticator for. The body shows who
//! one is: a second factor if the account has one, else its password.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::super::answer;
use crate::app::App;
use crate::auth::{Client, Proof};
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let proof: Proof = body.parse()?;
    answer(StatusCode::OK, &app.auth.ask_for_new_passkey(&caller.identity, &proof, &client).await?)
}
