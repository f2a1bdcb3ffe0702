//! `GET /health/live`: 200 as long as the process answers at all.

use axum::response::Response;
use http::StatusCode;

use crate::http::json;

pub async fn handle() -> Response {
    json(StatusCode::OK, r#"{"state":"ok"}"#)
}
