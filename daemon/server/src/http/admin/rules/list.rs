//! `GET /api/admin/rules`: the rules in force, also those that are missing.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, json};
use crate::problem::ApiError;
use crate::rules::overview;

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, overview(&app.catalog.load()).to_string()))
}
