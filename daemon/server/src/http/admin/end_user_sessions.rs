//! `DELETE /api/admin/users/{id}/sessions`: ends the sessions of an account, 204.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::Client;
use crate::http::{AdminCaller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    app.auth.end_user_sessions(&id, &caller.identity, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
