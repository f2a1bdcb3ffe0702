//! `GET /api/schedules/{name}`: 200 with one of them.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(name): Params<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, app.schedules.get(&name).await?.to_string()))
}
