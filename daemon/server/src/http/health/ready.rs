//! `GET /health/ready`: 200 when requests can be served, 503 when not. Functions without a supervisor
//! do not count: documents are served without them.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::database;
use crate::app::App;
use crate::http::json;

pub async fn handle(app: State<App>) -> Response {
    match database(&app).state {
        super::State::Ok => json(StatusCode::OK, r#"{"state":"ok"}"#),
        super::State::Degraded => json(StatusCode::OK, r#"{"state":"degraded"}"#),
        super::State::Down => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"state":"down"}"#),
    }
}
