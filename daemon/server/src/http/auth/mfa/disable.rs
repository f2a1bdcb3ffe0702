//! `POST /api/auth/mfa/totp/disable`: removes the second factor, 204. The body is a code of it, or a
//! recovery code: the password is not enough.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::{Client, Proof};
use crate::http::{JsonBody, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let proof: Proof = body.parse()?;
    app.auth.disable_totp(&caller.identity, &proof, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
