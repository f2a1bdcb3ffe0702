//! `DELETE /api/auth/me`: deletes the caller's account, 204. Needs a proof of who asks.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::app::App;
use crate::auth::{Client, Proof};
use crate::http::{JsonBody, UserCaller, cookies};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let shown: Proof = body.parse()?;
    app.auth.delete_me(&caller.identity, shown, &client).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookies::clear(&mut response);
    Ok(response)
}
