//! `GET /api/openapi.json`: the description of the API as it is now.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::json;

pub async fn handle(State(app): State<App>) -> Response {
    json(StatusCode::OK, app.openapi.document())
}
