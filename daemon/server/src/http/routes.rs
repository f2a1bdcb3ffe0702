//! Table of routes: everything that is served, once. The router and the API description are both made
//! from it.

mod accounts;
mod api_keys;
mod backups;
mod hooks;
mod inbound;
mod jobs;
mod mail;
mod oauth;
mod passkeys;
mod realtime;
mod schedules;
mod secrets;
mod webhooks;

use axum::Router;
use axum::extract::{Extension, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::{Method, Uri};

use super::answer::Taken;
use super::{admin, changes, collections, executions, functions, health};
use crate::app::App;
use crate::problem::{ApiError, Code};

/// A route.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    /// Name of the operation in the API description.
    pub operation: &'static str,
    pub summary: &'static str,
    pub access: Access,
    pub body: Body,
    pub success: Success,
    served: Served,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// Whoever a rule of the project allows.
    Rule,
    /// Somebody who is signed in.
    User,
    /// Administrators.
    Admin,
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Nothing,
    /// JSON with this name among the described shapes.
    Json(&'static str),
    /// A form with this name among the described shapes.
    Form(&'static str),
    /// Whatever is sent.
    Any,
}

/// What is answered if all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    Nothing,
    /// 202 without a body.
    Accepted,
    /// A page of HTML.
    Page,
    /// Plain text.
    Text,
    /// 303 to somewhere else.
    Redirect,
    /// 200 with server-sent events, or 101 and a WebSocket.
    Stream,
    /// JSON with this status and this name among the described shapes.
    Json(u16, &'static str),
}

/// Who answers it.
enum Served {
    Here(fn() -> MethodRouter<App>),
    /// The router of functions and executions, which is merged.
    Functions,
}

use Served::{Functions, Here};

/// The list.
pub fn routes() -> Vec<Route> {
    let mut list = reading_routes();
    list.extend(writing_routes());
    list.extend(accounts::routes());
    list.extend(oauth::routes());
    list.extend(passkeys::routes());
    list.extend(function_routes());
    list.extend(admin_routes());
    list.extend(lockout_routes());
    list.extend(backups::routes());
    list.extend(migration_routes());
    list.extend(mail::routes());
    list.extend(schedules::routes());
    list.extend(secrets::routes());
    list.extend(api_keys::routes());
    list.extend(hooks::routes());
    list.extend(webhooks::routes());
    list.extend(inbound::routes());
    list.extend(jobs::routes());
    list.extend(realtime::routes());
    list.extend(other_routes());
    list
}

/// The router of the list.
pub fn router(app: App) -> Router {
    let mut router = functions::routes().merge(executions::routes());
    for route in routes() {
        if let Here(handler) = route.served {
            router = router.route(route.path, handler());
        }
    }
    closed_by(router, app)
}

/// Names the route of every request for whoever counts them, and refuses what is none.
pub fn closed_by(router: Router<App>, app: App) -> Router {
    let router = router.route_layer(from_fn(note_route));
    router.fallback(unknown_path).method_not_allowed_fallback(wrong_method).with_state(app)
}

async fn note_route(
    path: MatchedPath,
    Extension(route): Extension<Taken>,
    request: Request,
    next: Next,
) -> Response {
    route.note(&path);
    next.run(request).await
}

async fn unknown_path(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(Code::NotFound, format!("There is no {path}."))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        Code::MethodNotAllowed,
        format!("{path} does not take {method}; `Allow` says what it takes."),
    )
}

const MANY: &str = "/api/collections/{collection}";
const ONE: &str = "/api/collections/{collection}/{id}";

/// A route under the rules of a collection: its operation and summary, what it takes and answers.
fn ruled(
    method: Method,
    path: &'static str,
    (operation, summary): (&'static str, &'static str),
    (body, success): (Body, Success),
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route { method, path, operation, summary, access: Access::Rule, body, success, served: Here(handler) }
}

fn reading_routes() -> Vec<Route> {
    vec![
        ruled(
            Method::GET,
            MANY,
            ("listDocuments", "List the documents that the caller may see"),
            (Body::Nothing, Success::Json(200, "DocumentList")),
            || get(collections::list::handle),
        ),
        ruled(
            Method::GET,
            "/api/collections/{collection}/aggregate",
            ("aggregateDocuments", "Count and calculate over the documents that the caller may see"),
            (Body::Nothing, Success::Json(200, "Aggregates")),
            || get(collections::aggregate::handle),
        ),
        ruled(
            Method::GET,
            ONE,
            ("getDocument", "Get a document"),
            (Body::Nothing, Success::Json(200, "DocumentShown")),
            || get(collections::get::handle),
        ),
    ]
}

fn writing_routes() -> Vec<Route> {
    vec![
        ruled(
            Method::POST,
            MANY,
            ("createDocument", "Create a document"),
            (Body::Json("NewDocument"), Success::Json(201, "Document")),
            || post(collections::create::handle),
        ),
        ruled(
            Method::PATCH,
            ONE,
            ("updateDocument", "Change fields of a document"),
            (Body::Json("DocumentChanges"), Success::Json(200, "Document")),
            || patch(collections::update::handle),
        ),
        ruled(
            Method::PUT,
            ONE,
            ("replaceDocument", "Replace a document, or create it where clients choose ids"),
            (Body::Json("NewDocument"), Success::Json(200, "Document")),
            || put(collections::replace::handle),
        ),
        ruled(
            Method::PATCH,
            MANY,
            ("updateDocuments", "Change the documents that a query selects"),
            (Body::Json("DocumentChanges"), Success::Json(200, "BulkOutcome")),
            || patch(collections::update_many::handle),
        ),
        ruled(
            Method::DELETE,
            MANY,
            ("deleteDocuments", "Delete the documents that a query selects"),
            (Body::Nothing, Success::Json(200, "BulkOutcome")),
            || delete(collections::delete_many::handle),
        ),
        ruled(
            Method::POST,
            "/api/batch",
            ("batch", "Write several documents, all or none"),
            (Body::Json("Batch"), Success::Json(200, "BatchResults")),
            || post(super::batch::handle),
        ),
        ruled(
            Method::DELETE,
            ONE,
            ("deleteDocument", "Delete a document"),
            (Body::Nothing, Success::Nothing),
            || delete(collections::delete::handle),
        ),
    ]
}

fn function_routes() -> Vec<Route> {
    vec![Route {
        method: Method::POST,
        path: "/api/functions/{name}",
        operation: "invokeFunction",
        summary: "Invoke a function",
        access: Access::Rule,
        body: Body::Json("FunctionInput"),
        success: Success::Json(200, "FunctionOutput"),
        served: Functions,
    }]
}

/// Who was guessed at too often.
fn lockout_routes() -> Vec<Route> {
    let route = |method, operation, summary, success, served| Route {
        method,
        path: "/api/admin/lockouts",
        operation,
        summary,
        access: Access::Admin,
        body: Body::Nothing,
        success,
        served,
    };
    vec![
        route(
            Method::GET,
            "listLockouts",
            "List accounts that were guessed at too often",
            Success::Json(200, "LockoutList"),
            Here(|| get(admin::lockouts::list)),
        ),
        route(
            Method::DELETE,
            "clearLockouts",
            "Forget wrong guesses at one account, or at all",
            Success::Nothing,
            Here(|| delete(admin::lockouts::clear)),
        ),
    ]
}

fn admin_routes() -> Vec<Route> {
    let read = |path, operation, summary, success, served| Route {
        method: Method::GET,
        path,
        operation,
        summary,
        access: Access::Admin,
        body: Body::Nothing,
        success,
        served,
    };
    let object = Success::Json(200, "Object");
    vec![
        read(
            "/api/admin/rules",
            "listRules",
            "List the rules in force",
            object,
            Here(|| get(admin::rules::list::handle)),
        ),
        Route {
            method: Method::POST,
            path: "/api/admin/rules/explain",
            operation: "explainRule",
            summary: "Tell what a rule comes to for somebody",
            access: Access::Admin,
            body: Body::Json("RuleQuestion"),
            success: object,
            served: Here(|| post(admin::rules::explain::handle)),
        },
        Route {
            method: Method::POST,
            path: "/api/admin/rules/test",
            operation: "testRules",
            summary: "Run a file of rule tests",
            access: Access::Admin,
            body: Body::Json("RuleTests"),
            success: object,
            served: Here(|| post(admin::rules::test::handle)),
        },
        Route {
            method: Method::POST,
            path: "/api/admin/reload",
            operation: "reload",
            summary: "Read the project's files again",
            access: Access::Admin,
            body: Body::Nothing,
            success: Success::Json(200, "Reload"),
            served: Here(|| post(admin::reload::handle)),
        },
        read(
            "/api/admin/status",
            "status",
            "Tell how the daemon does",
            object,
            Here(|| get(admin::status::handle)),
        ),
        Route {
            success: Success::Text,
            ..read(
                "/api/admin/metrics",
                "metrics",
                "Read what is counted, as Prometheus does",
                object,
                Here(|| get(admin::metrics::handle)),
            )
        },
        read(
            "/api/admin/isolation",
            "isolation",
            "List the layers of the sandbox",
            object,
            Here(|| get(admin::isolation::handle)),
        ),
        read("/api/admin/functions", "listFunctions", "List functions and their workers", object, Functions),
        read(
            "/api/admin/functions/{name}/logs",
            "functionLogs",
            "Read the log lines of a function",
            object,
            Functions,
        ),
        read("/api/admin/executions", "listExecutions", "List executions, or follow them", object, Functions),
        read(
            "/api/admin/executions/{id}",
            "getExecution",
            "Get an execution with its log lines",
            object,
            Functions,
        ),
    ]
}

fn migration_routes() -> Vec<Route> {
    let route = |method: Method, path, operation, summary, success, served| Route {
        body: if method == Method::POST { Body::Json("MigrationConfirmation") } else { Body::Nothing },
        method,
        path,
        operation,
        summary,
        access: Access::Admin,
        success,
        served: Here(served),
    };
    let (object, plan) = (Success::Json(200, "Object"), Success::Json(200, "MigrationPlan"));
    vec![
        route(
            Method::GET,
            "/api/admin/migrations",
            "migrationStatus",
            "Tell what was applied, what waits and whether tables are as they should be",
            object,
            || get(admin::migrations::status::handle),
        ),
        route(
            Method::GET,
            "/api/admin/migrations/plan",
            "planMigration",
            "Tell what applying the project's files would do",
            plan,
            || get(admin::migrations::plan::handle),
        ),
        route(
            Method::POST,
            "/api/admin/migrations/apply",
            "applyMigration",
            "Apply the project's files",
            plan,
            || post(admin::migrations::apply::handle),
        ),
        route(
            Method::POST,
            "/api/admin/migrations/rollback",
            "rollBackMigration",
            "Take the last change of the schema back",
            object,
            || post(admin::migrations::rollback::handle),
        ),
    ]
}

fn other_routes() -> Vec<Route> {
    let open = |path, operation, summary, shape, served| Route {
        method: Method::GET,
        path,
        operation,
        summary,
        access: Access::Open,
        body: Body::Nothing,
        success: Success::Json(200, shape),
        served: Here(served),
    };
    vec![
        Route {
            method: Method::GET,
            path: "/api/changes",
            operation: "listChanges",
            summary: "List changes after a place in the feed, or wait for one",
            access: Access::Rule,
            body: Body::Nothing,
            success: Success::Json(200, "Changes"),
            served: Here(|| get(changes::handle)),
        },
        open("/health", "health", "Tell how each component does", "Health", || get(health::overview::handle)),
        open("/health/live", "healthLive", "Tell that the process runs", "HealthState", || {
            get(health::live::handle)
        }),
        open("/health/ready", "healthReady", "Tell whether requests can be served", "HealthState", || {
            get(health::ready::handle)
        }),
        open("/api/openapi.json", "openapi", "This description", "Object", || {
            get(super::description::handle)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::routes;

    #[test]
    fn every_route_and_every_operation_is_listed_once() {
        let (mut places, mut operations) = (HashSet::new(), HashSet::new());
        for route in routes() {
            assert!(places.insert((route.method.clone(), route.path)), "{} {}", route.method, route.path);
            assert!(operations.insert(route.operation), "{}", route.operation);
        }
    }

    /// `docs/api.md` names every route and no other.
    #[test]
    fn the_page_has_the_same_routes() {
        let page = include_str!("../../../../docs/api.md");
        let documented: HashSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(route, _)| route.to_owned())
            .filter(|route| route.contains(" /"))
            .collect();
        let served: HashSet<String> =
            routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(documented, served);
    }
}
