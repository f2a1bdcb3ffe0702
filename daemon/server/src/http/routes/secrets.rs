//! Routes of the secrets of functions.

use axum::routing::{delete, get, put};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::admin::secrets;

const ALL: &str = "/api/admin/secrets";
const ONE: &str = "/api/admin/secrets/{name}";

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
            ("listSecrets", "List the secrets of functions, without their values"),
            (Body::Nothing, Success::Json(200, "SecretList")),
            || get(secrets::list),
        ),
        route(
            Method::PUT,
            ONE,
            ("setSecret", "Set a secret"),
            (Body::Json("NewSecret"), Success::Nothing),
            || put(secrets::set),
        ),
        route(
            Method::DELETE,
            ONE,
            ("deleteSecret", "Delete a secret"),
            (Body::Nothing, Success::Nothing),
            || delete(secrets::delete),
        ),
    ]
}
