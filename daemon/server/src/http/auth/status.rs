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
    /// Ways to begin a session, of those that are on.
    methods: Vec<&'static str>,
    /// What accounts can ask for besides.
    second_factors: [&'static str; 2],
    /// Names of the providers that `oauth` works with.
    providers: Vec<String>,
    min_password_length: usize,
}

pub async fn handle(State(app): State<App>) -> Result<Response, ApiError> {
    let settings = app.auth.settings();
    let registration = match settings.registration {
        Registration::Open => "open",
        Registration::Verified => "verified",
        Registration::Closed => "closed",
    };
    let mut methods = vec!["password"];
    if app.auth.sends_mail() {
        methods.push("otp");
    }
    if settings.anonymous == Anonymous::Allowed {
        methods.push("anonymous");
    }
    if app.auth.has_passkeys() {
        methods.push("passkey");
    }
    let providers: Vec<String> = app.auth.providers().into_iter().map(|provider| provider.name).collect();
    if !providers.is_empty() {
        methods.push("oauth");
    }
    let needs_setup = app.store.admin_count().await? == 0;
    let min_password_length = settings.min_password_length;
    let second_factors = ["totp", "recovery_code"];
    let status =
        AuthStatus { needs_setup, registration, methods, second_factors, providers, min_password_length };
    answer(StatusCode::OK, &status)
}
