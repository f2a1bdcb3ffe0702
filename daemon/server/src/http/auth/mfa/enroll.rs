//! `POST /api/auth/mfa/totp/enroll`: makes the secret of a second factor, 200 with it. It counts once it is
//! confirmed. The body is a proof of who asks.

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
    answer(StatusCode::OK, &app.auth.enroll_totp(&caller.identity, &proof, &client).await?)
}
