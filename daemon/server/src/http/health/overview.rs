//! `GET /health`: every component with its reasons; 200 unless nothing can be served, then 503.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::health;
use crate::app::App;
use crate::http::json;
use crate::problem::{ApiError, internal};

pub async fn handle(app: State<App>) -> Result<Response, ApiError> {
    let health = health(&app);
    let status =
        if health.state == super::State::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::to_vec(&health).map_err(|error| internal("write the health", &error))?;
    Ok(json(status, body))
}
