//! `POST /api/admin/backups`: makes a backup, 201 with what is known of it.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::backups::Manifest;
use crate::http::AdminCaller;
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
) -> Result<(StatusCode, Json<Manifest>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.backups.create().await?)))
}
