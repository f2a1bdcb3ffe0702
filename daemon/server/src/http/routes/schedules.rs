//! Routes of schedules, for administrators.

use axum::routing::{MethodRouter, delete, get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::app::App;
use crate::http::schedules;

const ALL: &str = "/api/schedules";
const ONE: &str = "/api/schedules/{name}";

pub fn routes() -> Vec<Route> {
    let one = Success::Json(200, "Schedule");
    vec![
        route(
            Method::GET,
            ALL,
            ("listSchedules", "List schedules"),
            Success::Json(200, "ScheduleList"),
            || get(schedules::list::handle),
        ),
        Route {
            body: Body::Json("NewSchedule"),
            ..route(
                Method::POST,
                ALL,
                ("createSchedule", "Make a schedule"),
                Success::Json(201, "Schedule"),
                || post(schedules::create::handle),
            )
        },
        route(Method::GET, ONE, ("getSchedule", "Get a schedule with its next runs"), one, || {
            get(schedules::get::handle)
        }),
        route(Method::DELETE, ONE, ("deleteSchedule", "Delete a schedule"), Success::Nothing, || {
            delete(schedules::delete::handle)
        }),
        route(
            Method::POST,
            "/api/schedules/{name}/pause",
            ("pauseSchedule", "Stop a schedule for now"),
            one,
            || post(schedules::pause::handle),
        ),
        route(
            Method::POST,
            "/api/schedules/{name}/resume",
            ("resumeSchedule", "Let a paused schedule go on"),
            one,
            || post(schedules::resume::handle),
        ),
        route(
            Method::POST,
            "/api/schedules/{name}/trigger",
            ("triggerSchedule", "Run a schedule now"),
            Success::Json(202, "StartedJob"),
            || post(schedules::trigger::handle),
        ),
    ]
}

fn route(
    method: Method,
    path: &'static str,
    (operation, summary): (&'static str, &'static str),
    success: Success,
    served: fn() -> MethodRouter<App>,
) -> Route {
    let (access, body) = (Access::Admin, Body::Nothing);
    Route { method, path, operation, summary, access, body, success, served: Here(served) }
}
