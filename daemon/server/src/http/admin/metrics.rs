//! `GET /api/admin/metrics`, and `GET /metrics` of the listener that is for nothing else: what is counted,
//! in the text format of Prometheus.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;

use crate::app::App;
use crate::http::AdminCaller;
use crate::http::routes::closed_by;
use crate::metrics::gather;
use crate::problem::ApiError;

/// The version of the format is part of its name.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn handle(state: State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    open(state).await
}

/// What is served to whoever reaches the listener.
pub fn router(app: App) -> Router {
    closed_by(Router::new().route("/metrics", get(open)), app)
}

async fn open(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(([(header::CONTENT_TYPE, FORMAT)], gather(&app).await?).into_response())
}
