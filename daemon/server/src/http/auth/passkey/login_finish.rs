//! `POST /api/auth/passkey/login/finish`: signs in by a passkey, 200. It is two factors in one, so no
//! other is asked for.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::super::begun;
use crate::app::App;
use crate::auth::{Client, ShownPasskey};
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<Response, ApiError> {
    let ShownPasskey { passkey_token, credential } = body.parse()?;
    begun(StatusCode::OK, &app.auth.sign_in_by_passkey(&passkey_token, &credential, &client).await?)
}
