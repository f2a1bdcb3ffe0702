//! `GET /api/auth/providers`: 200 with names and labels.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::auth::ProviderInfo;
use crate::http::auth::answer;
use crate::problem::ApiError;

#[derive(Serialize)]
struct Providers {
    providers: Vec<ProviderInfo>,
}

pub async fn handle(State(app): State<App>) -> Result<Response, ApiError> {
    answer(StatusCode::OK, &Providers { providers: app.auth.providers() })
}
