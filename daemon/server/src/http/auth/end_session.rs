//! `DELETE /api/auth/sessions/{id}`: ends one of the caller's sessions, 204.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::Client;
use crate::http::{Params, UserCaller};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    app.auth.end_own_session(&caller.identity, &id, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
