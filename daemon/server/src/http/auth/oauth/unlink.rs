//! `DELETE /api/auth/oauth/{provider}`: 204; 409 if nothing would be left to sign in with.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::Client;
use crate::http::{Caller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    Params(provider): Params<String>,
    client: Client,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    app.auth.oauth_unlink(&caller.identity, &provider, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
