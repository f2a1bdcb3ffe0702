//! Routes of backups, for administrators.

use axum::routing::{get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::http::admin::backups;

pub fn routes() -> Vec<Route> {
    let route = |method, path, operation, summary, success, served| Route {
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
            "/api/admin/backups",
            "listBackups",
            "List backups, newest first",
            Success::Json(200, "BackupList"),
            || get(backups::list::handle),
        ),
        route(
            Method::POST,
            "/api/admin/backups",
            "createBackup",
            "Make a backup",
            Success::Json(201, "Backup"),
            || post(backups::create::handle),
        ),
        route(
            Method::GET,
            "/api/admin/backups/status",
            "backupStatus",
            "Tell how far the database can be brought back",
            Success::Json(200, "BackupStatus"),
            || get(backups::status::handle),
        ),
        route(
            Method::POST,
            "/api/admin/backups/prune",
            "pruneBackups",
            "Remove all but the newest backups",
            Success::Json(200, "RemovedBackups"),
            || post(backups::prune::handle),
        ),
        route(
            Method::POST,
            "/api/admin/backups/{id}/verify",
            "verifyBackup",
            "Examine a backup",
            Success::Json(200, "VerifiedBackup"),
            || post(backups::verify::handle),
        ),
    ]
}
