//! `GET /.well-known/jwks.json`: the public keys that verify access tokens.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::answer;
use crate::app::App;
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>) -> Result<Response, ApiError> {
    let mut response = answer(StatusCode::OK, &app.auth.jwks())?;
    // Who meets an unknown `kid` asks again anyway.
    let cache = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    Ok(response)
}
