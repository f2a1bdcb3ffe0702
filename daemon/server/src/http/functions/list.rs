//! `GET /api/admin/functions`: every declared function with its version, workers and limits.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, QueryPairs, json};
use crate::problem::ApiError;

/// Lists functions.
pub async fn list(State(app): State<App>, _: AdminCaller, query: QueryPairs) -> Result<Response, ApiError> {
    query.only(&[])?;
    let text = serde_json::to_vec(&app.functions.status()).expect("a status holds text and numbers");
    Ok(json(StatusCode::OK, text))
}
