//! `DELETE /api/admin/users/{id}`: deletes an account with its sessions, 204.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::documents::{Precondition, USERS};
use crate::http::{AdminCaller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    app.documents.delete(&caller.identity, &caller.facts, USERS, &id, Precondition::None).await?;
    Ok(StatusCode::NO_CONTENT)
}
