//! `DELETE /api/auth/oauth/{provider}`: 204; 409 if nothing would be left to sign in with. Needs a proof
//! of who asks.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::{Client, Proof};
use crate::http::{JsonBody, Params, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    Params(provider): Params<String>,
    client: Client,
    UserCaller(caller): UserCaller,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let proof: Proof = body.parse()?;
    app.auth.oauth_unlink(&caller.identity, &provider, &proof, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
