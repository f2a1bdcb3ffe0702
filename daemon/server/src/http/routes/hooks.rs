//! Routes of hooks and events.

use axum::routing::{delete, get, patch, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::hooks::Hooks;
use crate::http::{events, made};

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
            || get(made::list::<Hooks>),
        ),
        admin(
            Method::POST,
            HOOKS,
            ("createHook", "Make a hook at run time"),
            (Body::Json("NewHook"), Success::Json(201, "HookShown")),
            || post(made::create::<Hooks>),
        ),
        admin(
            Method::GET,
            HOOK,
            ("getHook", "Show a hook"),
            (Body::Nothing, Success::Json(200, "HookShown")),
            || get(made::get::<Hooks>),
        ),
        admin(
            Method::PATCH,
            HOOK,
            ("updateHook", "Change, stop or start a hook that was made at run time"),
            (Body::Json("HookChanges"), Success::Json(200, "HookShown")),
            || patch(made::update::<Hooks>),
        ),
        admin(
            Method::DELETE,
            HOOK,
            ("deleteHook", "Delete a hook that was made at run time"),
            (Body::Nothing, Success::Nothing),
            || delete(made::delete::<Hooks>),
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
