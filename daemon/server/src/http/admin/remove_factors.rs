//! `DELETE /api/admin/users/{id}/mfa`: removes the second factors of somebody who lost them, 204. They
//! are told by mail.

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
    app.auth.remove_factors(&id, &caller.identity, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
