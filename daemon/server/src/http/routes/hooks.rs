//! Routes of hooks and events.

use axum::routing::{delete, get, patch, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::{events, hooks};

const HOOKS: &str = "/api/hooks";
const HOOK: &str = "/api/hooks/{id}";

/// The list.
pub fn routes() -> Vec<Route> {
    let route = |method, path, access, (operation, summary), (body, success), served| Route {
        method,
        path,
        operation,
        summary,
        access,
        body,
        success,
        served: Here(served),
    };
    let admin =
        |method, path, named, carried, served| route(method, path, Access::Admin, named, carried, served);
    vec![
        admin(
            Method::GET,
            HOOKS,
            ("listHooks", "List hooks, those of the schema first"),
            (Body::Nothing, Success::Json(200, "HookList")),
            || get(hooks::list),
        ),
        admin(
            Method::POST,
            HOOKS,
            ("createHook", "Make a hook at run time"),
            (Body::Json("NewHook"), Success::Json(201, "HookShown")),
            || post(hooks::create),
        ),
        admin(
            Method::GET,
            HOOK,
            ("getHook", "Show a hook"),
            (Body::Nothing, Success::Json(200, "HookShown")),
            || get(hooks::get),
        ),
        admin(
            Method::PATCH,
            HOOK,
            ("updateHook", "Change, stop or start a hook that was made at run time"),
            (Body::Json("HookChanges"), Success::Json(200, "HookShown")),
            || patch(hooks::update),
        ),
        admin(
            Method::DELETE,
            HOOK,
            ("deleteHook", "Delete a hook that was made at run time"),
            (Body::Nothing, Success::Nothing),
            || delete(hooks::delete),
        ),
        admin(
            Method::GET,
            "/api/events",
            ("listEvents", "List the events that were published, newest first"),
            (Body::Nothing, Success::Json(200, "EventList")),
            || get(events::list),
        ),
        route(
            Method::POST,
            "/api/events/{name}",
            Access::Rule,
            ("publishEvent", "Publish an event; the body is what it tells"),
            (Body::Json("EventPayload"), Success::Json(202, "EventPublished")),
            || post(events::publish),
        ),
    ]
}
