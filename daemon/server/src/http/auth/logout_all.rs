//! `POST /api/auth/logout-all`: ends all sessions of the caller, 204.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::app::App;
use crate::auth::Client;
use crate::http::{UserCaller, cookies};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
) -> Result<Response, ApiError> {
    app.auth.logout_all(&caller.identity, &client).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookies::clear(&mut response);
    Ok(response)
}
