//! Routes of inbound webhooks.

use axum::routing::{get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::inbound;

/// The list.
pub fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::POST,
            path: "/hooks/{*path}",
            operation: "receive",
            summary: "Take a signed request of somebody else in",
            access: Access::Open,
            body: Body::Any,
            success: Success::Json(202, "Received"),
            served: Here(|| post(inbound::receive)),
        },
        Route {
            method: Method::GET,
            path: "/api/inbound",
            operation: "listInbound",
            summary: "List the paths that signed requests of others may go to",
            access: Access::Admin,
            body: Body::Nothing,
            success: Success::Json(200, "InboundList"),
            served: Here(|| get(inbound::list)),
        },
    ]
}
