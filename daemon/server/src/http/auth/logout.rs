//! `POST /api/auth/logout`: ends the session of a refresh token, 204. Its access tokens end with it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::presented;
use crate::app::App;
use crate::auth::{Client, Mode};
use crate::http::{JsonBody, cookies};
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let Some((token, mode)) = presented(&app, &headers, body.parse()?).await? else {
        // A browser without a cookie is signed out already; whoever shows a token believes not to be.
        if headers.contains_key(header::AUTHORIZATION) {
            let detail = "`refresh_token` names the session to end; an access token does not.";
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        return Ok(response);
    };
    app.auth.logout(&token, &client).await?;
    if mode == Mode::Cookie {
        cookies::clear(&mut response);
    }
    Ok(response)
}
