//! `GET /api/auth/status`: how to sign in here.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::answer;
use crate::app::App;
use crate::config::{Anonymous, Registration};
use crate::problem::ApiError;

#[derive(Serialize)]
struct AuthStatus {
    /// There is no administrator yet.
    needs_setup: bool,
    registration: &'static str,
    methods: Vec<&'static str>,
    min_password_length: usize,
}

pub async fn handle(State(app): State<App>) -> Result<Response, ApiError> {
    let settings = app.auth.settings();
    let registration = match settings.registration {
        Registration::Open => "open",
        Registration::Closed => "closed",
    };
    let mut methods = vec!["password"];
    if settings.anonymous == Anonymous::Allowed {
        methods.push("anonymous");
    }
    if app.auth.has_passkeys() {
        methods.push("passkey");
    }
    let needs_setup = app.store.admin_count().await? == 0;
    let min_password_length = settings.min_password_length;
    answer(StatusCode::OK, &AuthStatus { needs_setup, registration, methods, min_password_length })
}
