//! `POST /api/auth/logout`: ends the session of a refresh token, 204. Its access tokens end with it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::presented;
use crate::app::App;
use crate::auth::{Client, Mode};
use crate::http::{JsonBody, cookies};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some((token, mode)) = presented(&app, &headers, body.parse()?).await? {
        app.auth.logout(&token, &client).await?;
        if mode == Mode::Cookie {
            cookies::clear(&mut response);
        }
    }
    Ok(response)
}
