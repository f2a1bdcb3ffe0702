//! `POST /api/auth/passkey/prove/begin`: 200 with what to ask an authenticator for, where a request of
//! somebody who is signed in takes a `passkey` to confirm who they are.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::super::answer;
use crate::app::App;
use crate::auth::Client;
use crate::http::UserCaller;
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &app.auth.ask_for_own_passkey(&caller.identity, &client).await?)
}
