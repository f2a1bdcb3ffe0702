//! `POST /api/admin/rules/explain`: what a rule comes to for somebody; for a list its SQL and plan.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;
use crate::rules::{Asked, explain};

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let asked: Asked = body.parse()?;
    Ok(json(StatusCode::OK, explain(&app, &asked, &caller.facts).await?.to_string()))
}
