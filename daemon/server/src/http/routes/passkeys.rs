//! The routes of passkeys. Table: long, flat, one entry a route.

use axum::routing::{MethodRouter, delete, get, patch, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::app::App;
use crate::http::auth::passkey;

/// The list.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/api/auth/passkeys/{id}";
    let asked = Success::Json(200, "PasskeyQuestion");
    vec![
        route(
            (Method::POST, "/api/auth/passkey/register/begin", Access::User),
            ("beginPasskey", "Ask what to make a passkey of, showing a second factor or the password"),
            (Body::Json("Proof"), asked),
            || post(passkey::register_begin::handle),
        ),
        route(
            (Method::POST, "/api/auth/passkey/register/finish", Access::User),
            ("registerPasskey", "Register a passkey"),
            (Body::Json("NewPasskey"), Success::Json(201, "RegisteredPasskey")),
            || post(passkey::register_finish::handle),
        ),
        route(
            (Method::POST, "/api/auth/passkey/login/begin", Access::Open),
            ("askForPasskey", "Ask for a passkey to sign in with, or as a second factor"),
            (Body::Json("PasskeyRequest"), asked),
            || post(passkey::login_begin::handle),
        ),
        route(
            (Method::POST, "/api/auth/passkey/login/finish", Access::Open),
            ("signInByPasskey", "Sign in by a passkey"),
            (Body::Json("ShownPasskey"), Success::Json(200, "Begun")),
            || post(passkey::login_finish::handle),
        ),
        route(
            (Method::POST, "/api/auth/passkey/prove/begin", Access::User),
            ("askForOwnPasskey", "Ask for a passkey of one's own, to confirm who one is"),
            (Body::Nothing, asked),
            || post(passkey::prove_begin::handle),
        ),
        route(
            (Method::GET, "/api/auth/passkeys", Access::User),
            ("listPasskeys", "List one's passkeys"),
            (Body::Nothing, Success::Json(200, "PasskeyList")),
            || get(passkey::list::handle),
        ),
        route(
            (Method::PATCH, ONE, Access::User),
            ("renamePasskey", "Give a passkey another name"),
            (Body::Json("PasskeyName"), Success::Json(200, "Passkey")),
            || patch(passkey::rename::handle),
        ),
        route(
            (Method::DELETE, ONE, Access::User),
            ("deletePasskey", "Delete a passkey, showing a second factor"),
            (Body::Json("FactorProof"), Success::Nothing),
            || delete(passkey::delete::handle),
        ),
    ]
}

fn route(
    (method, path, access): (Method, &'static str, Access),
    (operation, summary): (&'static str, &'static str),
    (body, success): (Body, Success),
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route { method, path, operation, summary, access, body, success, served: Here(handler) }
}
