//! `POST /api/auth/mfa/recovery-codes`: replaces the recovery codes, 200 with them. The body is a code of
//! the second factor.

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
    answer(StatusCode::OK, &app.auth.renew_recovery_codes(&caller.identity, &proof, &client).await?)
}
