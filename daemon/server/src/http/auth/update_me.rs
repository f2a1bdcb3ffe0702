//! `PATCH /api/auth/me`: changes the caller's profile, or their password, which needs a proof
//! and ends all sessions. 200 with the account.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::answer;
use crate::app::App;
use crate::auth::{AccountBody, Client, Proof};
use crate::http::{JsonBody, UserCaller, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let who = &caller.identity;
    let mut body: AccountBody = body.parse()?;
    if body.has("password") {
        let shown = Proof::take(&mut body)?;
        app.auth.change_password(who, body, shown, &client).await?;
        return answer(StatusCode::OK, &app.auth.me(who).await?);
    }
    let body = body.json(|_| true)?;
    Ok(json(StatusCode::OK, app.documents.update_profile(who, &caller.facts, &body).await?))
}
