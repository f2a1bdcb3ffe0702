//! `POST /api/admin/migrations/rollback`: takes the last change of the schema back, 200 with how. What
//! loses data needs `confirm: true`, else 409 with what would be lost.

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
    let answer = app.catalogs.roll_back(confirm).await?;
    app.functions.catalog_changed();
    Ok(json(StatusCode::OK, answer.to_string()))
}
