//! Routes of webhooks.

use axum::routing::{MethodRouter, delete, get, patch, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::app::App;
use crate::http::{made, webhooks};
use crate::webhooks::Webhooks;

const WEBHOOKS: &str = "/api/webhooks";
const WEBHOOK: &str = "/api/webhooks/{id}";

/// The list.
pub fn routes() -> Vec<Route> {
    let route = |method, path, (operation, summary), (body, success), served: fn() -> MethodRouter<App>| {
        Route { method, path, operation, summary, access: Access::Admin, body, success, served: Here(served) }
    };
    vec![
        route(
            Method::GET,
            WEBHOOKS,
            ("listWebhooks", "List webhooks, those of the schema first"),
            (Body::Nothing, Success::Json(200, "WebhookList")),
            || get(made::list::<Webhooks>),
        ),
        route(
            Method::POST,
            WEBHOOKS,
            ("createWebhook", "Make a webhook at run time"),
            (Body::Json("NewWebhook"), Success::Json(201, "WebhookShown")),
            || post(made::create::<Webhooks>),
        ),
        route(
            Method::GET,
            WEBHOOK,
            ("getWebhook", "Show a webhook"),
            (Body::Nothing, Success::Json(200, "WebhookShown")),
            || get(made::get::<Webhooks>),
        ),
        route(
            Method::PATCH,
            WEBHOOK,
            ("updateWebhook", "Change, stop or start a webhook that was made at run time"),
            (Body::Json("WebhookChanges"), Success::Json(200, "WebhookShown")),
            || patch(made::update::<Webhooks>),
        ),
        route(
            Method::DELETE,
            WEBHOOK,
            ("deleteWebhook", "Delete a webhook that was made at run time"),
            (Body::Nothing, Success::Nothing),
            || delete(made::delete::<Webhooks>),
        ),
        route(
            Method::GET,
            "/api/webhooks/{id}/deliveries",
            ("listDeliveries", "List the requests that a webhook made, newest first"),
            (Body::Nothing, Success::Json(200, "DeliveryList")),
            || get(webhooks::deliveries),
        ),
        route(
            Method::POST,
            "/api/webhooks/{id}/deliveries/{delivery}/redeliver",
            ("redeliver", "Make a delivery again"),
            (Body::Nothing, Success::Accepted),
            || post(webhooks::redeliver),
        ),
    ]
}
