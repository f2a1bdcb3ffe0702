//! `DELETE /api/admin/users/{id}`: deletes an account with its sessions, 204.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::documents::{Precondition, USERS};
use crate::http::{AdminCaller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let who = &caller.identity;
    let event = Event::new(Action::UserDelete, who, &client).target(format!("user:{id}"));
    app.documents.audited(event).delete(who, &caller.facts, USERS, &id, Precondition::None).await?;
    Ok(StatusCode::NO_CONTENT)
}
