//! Routes of API keys.

use axum::routing::{delete, get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::admin::api_keys;

const ALL: &str = "/api/admin/api-keys";
const ONE: &str = "/api/admin/api-keys/{id}";

/// The list.
pub fn routes() -> Vec<Route> {
    let route = |method, path, (operation, summary), (body, success), served| Route {
        method,
        path,
        operation,
        summary,
        access: Access::Admin,
        body,
        success,
        served: Here(served),
    };
    vec![
        route(
            Method::GET,
            ALL,
            ("listApiKeys", "List API keys"),
            (Body::Nothing, Success::Json(200, "ApiKeyList")),
            || get(api_keys::list),
        ),
        route(
            Method::POST,
            ALL,
            ("createApiKey", "Make an API key, which is shown once"),
            (Body::Json("NewApiKey"), Success::Json(201, "ApiKeyMade")),
            || post(api_keys::create),
        ),
        route(
            Method::GET,
            ONE,
            ("getApiKey", "Get an API key, without its secret"),
            (Body::Nothing, Success::Json(200, "ApiKey")),
            || get(api_keys::show),
        ),
        route(
            Method::DELETE,
            ONE,
            ("revokeApiKey", "End an API key"),
            (Body::Nothing, Success::Nothing),
            || delete(api_keys::revoke),
        ),
        route(
            Method::POST,
            "/api/admin/api-keys/{id}/rotate",
            ("rotateApiKey", "Give an API key another secret, which is shown once"),
            (Body::Json("ApiKeyRotation"), Success::Json(200, "ApiKeyRotated")),
            || post(api_keys::rotate),
        ),
    ]
}
