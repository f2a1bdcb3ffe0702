//! `GET /api/admin/isolation`: the layers of the sandbox on this host, and the runtimes that the
//! supervisor offers. Both are empty while it was never reached.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::http::{AdminCaller, json};

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Response {
    let (layers, runtimes) = app.functions.isolation();
    let connected = app.functions.is_connected();
    let body = value!({ "supervisor_connected": connected, "layers": layers, "runtimes": runtimes });
    json(StatusCode::OK, body.to_string())
}
