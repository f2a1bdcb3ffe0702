//! `GET /api/schedules`: 200 with all of them, by name.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, json};
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, app.schedules.list().await?.to_string()))
}
