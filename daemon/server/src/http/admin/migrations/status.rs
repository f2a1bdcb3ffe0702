//! `GET /api/admin/migrations`: what was applied, what waits, and whether tables are as they should be, 200.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, json};
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, app.catalogs.status().await?.to_string()))
}
