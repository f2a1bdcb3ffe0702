//! `GET /api/auth/oauth/linked`: 200 with the caller's accounts elsewhere.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::auth::LinkedProvider;
use crate::http::UserCaller;
use crate::http::auth::answer;
use crate::problem::ApiError;

#[derive(Serialize)]
struct Linked {
    linked: Vec<LinkedProvider>,
}

pub async fn handle(State(app): State<App>, UserCaller(caller): UserCaller) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &Linked { linked: app.auth.linked_providers(&caller.identity).await? })
}
