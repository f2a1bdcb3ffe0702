//! Routes of jobs.

use axum::routing::{get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::admin::jobs;

/// The list.
pub fn routes() -> Vec<Route> {
    let route = |method, path, (operation, summary), success, served| Route {
        method,
        path,
        operation,
        summary,
        access: Access::Admin,
        body: Body::Nothing,
        success,
        served: Here(served),
    };
    vec![
        route(
            Method::GET,
            "/api/admin/jobs",
            ("listJobs", "List jobs and what became of them"),
            Success::Json(200, "JobList"),
            || get(jobs::list),
        ),
        route(
            Method::GET,
            "/api/admin/jobs/{id}",
            ("getJob", "Get a job with its payload"),
            Success::Json(200, "JobShown"),
            || get(jobs::show),
        ),
        route(
            Method::POST,
            "/api/admin/jobs/{id}/replay",
            ("replayJob", "Have a job that is settled carried out again"),
            Success::Accepted,
            || post(jobs::replay),
        ),
        route(
            Method::POST,
            "/api/admin/jobs/purge",
            ("purgeJobs", "Remove settled jobs"),
            Success::Json(200, "Removed"),
            || post(jobs::purge),
        ),
    ]
}
