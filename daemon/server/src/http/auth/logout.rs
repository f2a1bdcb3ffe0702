//! `POST /api/auth/logout`: ends the session of a refresh token, 204. Its access tokens end with it.

use axum::extract::State;
use http::StatusCode;

use super::RefreshToken;
use crate::app::App;
use crate::auth::Client;
use crate::http::JsonBody;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, client: Client, body: JsonBody) -> Result<StatusCode, ApiError> {
    let RefreshToken { refresh_token } = body.parse()?;
    app.auth.logout(&refresh_token, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
