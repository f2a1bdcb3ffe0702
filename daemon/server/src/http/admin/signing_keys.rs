//! `GET /api/admin/signing-keys`: 200 with the keys of access tokens, newest first, without secrets.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::http::{AdminCaller, json};

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Response {
    json(StatusCode::OK, value!({ "keys": app.auth.signing_keys() }).to_string())
}
