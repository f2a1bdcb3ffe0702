//! `DELETE /api/auth/passkeys/{id}`: deletes one of the caller's passkeys, 204. The body is a second
//! factor: the password is not enough.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::{Client, Proof};
use crate::http::{JsonBody, Params, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let proof: Proof = body.parse()?;
    app.auth.delete_passkey(&caller.identity, &id, &proof, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
