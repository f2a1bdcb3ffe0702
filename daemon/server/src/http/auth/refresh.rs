//! `POST /api/auth/refresh`: exchanges a refresh token, 200 with tokens.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{answer, presented, with_cookies};
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Some((token, mode)) = presented(&app, &headers, body.parse()?).await? else {
        return Err(ApiError::new(Code::InvalidRefreshToken, "There is no refresh token in body or cookie."));
    };
    let signed_in = app.auth.refresh(&token, &Client { mode, ..client }).await?;
    with_cookies(answer(StatusCode::OK, &signed_in)?, signed_in.cookies())
}
