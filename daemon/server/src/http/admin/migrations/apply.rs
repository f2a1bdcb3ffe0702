//! `POST /api/admin/migrations/apply`: applies the project's files, 200 with what was done. What is not
//! safe needs `confirm: true`, else 409 with the plan.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::Confirmation;
use crate::app::App;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Confirmation { confirm } = body.parse()?;
    let answer = app.catalogs.apply(confirm).await?;
    app.functions.catalog_changed();
    Ok(json(StatusCode::OK, answer.to_string()))
}
