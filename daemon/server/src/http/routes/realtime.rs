//! Routes of realtime connections.

use axum::routing::{get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::realtime;

/// The list.
pub fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/api/realtime",
            operation: "openRealtime",
            summary: "Be told of changes, over a WebSocket or by server-sent events",
            access: Access::Rule,
            body: Body::Nothing,
            success: Success::Stream,
            served: Here(|| get(realtime::open)),
        },
        Route {
            method: Method::POST,
            path: "/api/realtime",
            operation: "broadcast",
            summary: "Say something on a channel",
            access: Access::Rule,
            body: Body::Json("RealtimeBroadcast"),
            success: Success::Nothing,
            served: Here(|| post(realtime::broadcast)),
        },
        Route {
            method: Method::POST,
            path: "/api/realtime/{connection}",
            operation: "tellRealtime",
            summary: "Say something on a connection of server-sent events",
            access: Access::Rule,
            body: Body::Json("RealtimeMessage"),
            success: Success::Nothing,
            served: Here(|| post(realtime::tell)),
        },
    ]
}
