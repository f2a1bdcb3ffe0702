//! The routes of accounts, sessions and keys. Table: long, flat, one entry a route.

use axum::routing::{MethodRouter, delete, get, patch, post};
use http::Method;

use super::{Access, Body, Route, Served, Success};
use crate::app::App;
use crate::http::{admin, auth};

/// Handlers of one route.
type Handler = fn() -> MethodRouter<App>;

/// The list.
pub fn routes() -> Vec<Route> {
    let mut list = signing_in();
    list.extend(own_account());
    list.extend(administration());
    list
}

fn route(method: Method, path: &'static str, access: Access, served: Handler) -> Route {
    Route {
        method,
        path,
        operation: "",
        summary: "",
        access,
        body: Body::Nothing,
        success: Success::Nothing,
        served: Served::Here(served),
    }
}

impl Route {
    const fn does(mut self, operation: &'static str, summary: &'static str) -> Self {
        self.operation = operation;
        self.summary = summary;
        self
    }

    const fn takes(mut self, shape: &'static str) -> Self {
        self.body = Body::Json(shape);
        self
    }

    const fn gives(mut self, status: u16, shape: &'static str) -> Self {
        self.success = Success::Json(status, shape);
        self
    }
}

fn signing_in() -> Vec<Route> {
    let open = |path, served| route(Method::POST, path, Access::Open, served);
    vec![
        open("/api/auth/register", || post(auth::register::handle))
            .does("register", "Make an account and sign in")
            .takes("Registration")
            .gives(201, "SignedIn"),
        open("/api/auth/login", || post(auth::login::handle))
            .does("login", "Sign in")
            .takes("Credentials")
            .gives(200, "Begun"),
        open("/api/auth/refresh", || post(auth::refresh::handle))
            .does("refresh", "Exchange a refresh token")
            .takes("RefreshToken")
            .gives(200, "SignedIn"),
        open("/api/auth/logout", || post(auth::logout::handle))
            .does("logout", "End a session")
            .takes("RefreshToken"),
        open("/api/auth/anonymous", || post(auth::anonymous::handle))
            .does("anonymous", "Make an account without address and sign in")
            .gives(201, "SignedIn"),
        open("/api/auth/setup", || post(auth::setup::handle))
            .does("setup", "Make the first administrator and sign in")
            .takes("Setup")
            .gives(201, "SignedIn"),
        route(Method::GET, "/api/auth/status", Access::Open, || get(auth::status::handle))
            .does("authStatus", "Tell how to sign in here")
            .gives(200, "AuthStatus"),
        route(Method::GET, "/.well-known/jwks.json", Access::Open, || get(auth::jwks::handle))
            .does("jwks", "Get the public keys that verify access tokens")
            .gives(200, "KeySet"),
    ]
}

fn own_account() -> Vec<Route> {
    let own = |method, path, served| route(method, path, Access::User, served);
    vec![
        own(Method::GET, "/api/auth/me", || get(auth::me::handle))
            .does("me", "Get one's own account")
            .gives(200, "User"),
        own(Method::PATCH, "/api/auth/me", || patch(auth::update_me::handle))
            .does("updateMe", "Change one's own profile or password")
            .takes("ProfileChanges")
            .gives(200, "User"),
        own(Method::DELETE, "/api/auth/me", || delete(auth::delete_me::handle))
            .does("deleteMe", "Delete one's own account")
            .takes("Proof"),
        own(Method::POST, "/api/auth/logout-all", || post(auth::logout_all::handle))
            .does("logoutAll", "End all of one's own sessions"),
        own(Method::GET, "/api/auth/sessions", || get(auth::sessions::handle))
            .does("listSessions", "List one's own sessions")
            .gives(200, "SessionList"),
        own(Method::DELETE, "/api/auth/sessions/{id}", || delete(auth::end_session::handle))
            .does("endSession", "End one of one's own sessions"),
        own(Method::POST, "/api/auth/upgrade", || post(auth::upgrade::handle))
            .does("upgrade", "Give an anonymous account address and password")
            .takes("Registration")
            .gives(200, "SignedIn"),
    ]
}

fn administration() -> Vec<Route> {
    const USERS: &str = "/api/admin/users";
    const USER: &str = "/api/admin/users/{id}";
    const SESSIONS: &str = "/api/admin/users/{id}/sessions";
    let admin = |method, path, served| route(method, path, Access::Admin, served);
    vec![
        admin(Method::GET, USERS, || get(admin::list_users::handle))
            .does("listUsers", "List accounts")
            .gives(200, "UserList"),
        admin(Method::POST, USERS, || post(admin::create_user::handle))
            .does("createUser", "Make an account")
            .takes("NewUser")
            .gives(201, "User"),
        admin(Method::GET, USER, || get(admin::get_user::handle))
            .does("getUser", "Get an account")
            .gives(200, "User"),
        admin(Method::PATCH, USER, || patch(admin::update_user::handle))
            .does("updateUser", "Change, disable or enable an account")
            .takes("UserChanges")
            .gives(200, "User"),
        admin(Method::DELETE, USER, || delete(admin::delete_user::handle))
            .does("deleteUser", "Delete an account"),
        admin(Method::POST, "/api/admin/users/{id}/password", || post(admin::set_password::handle))
            .does("setUserPassword", "Set a password and end the account's sessions")
            .takes("NewPassword"),
        admin(Method::DELETE, "/api/admin/users/{id}/mfa", || delete(admin::remove_factors::handle))
            .does("removeUserFactors", "Remove the second factors of an account"),
        admin(Method::GET, SESSIONS, || get(admin::user_sessions::handle))
            .does("listUserSessions", "List the sessions of an account")
            .gives(200, "SessionList"),
        admin(Method::DELETE, SESSIONS, || delete(admin::end_user_sessions::handle))
            .does("endUserSessions", "End the sessions of an account"),
        admin(Method::GET, "/api/admin/audit", || get(admin::audit::handle))
            .does("listAudit", "List who did what")
            .gives(200, "AuditLog"),
        admin(Method::GET, "/api/admin/signing-keys", || get(admin::signing_keys::handle))
            .does("listSigningKeys", "List the keys that sign access tokens")
            .gives(200, "SigningKeyList"),
        admin(Method::POST, "/api/admin/signing-keys/rotate", || post(admin::rotate_keys::handle))
            .does("rotateSigningKeys", "Sign access tokens with a new key")
            .takes("Rotation")
            .gives(201, "Rotated"),
    ]
}
