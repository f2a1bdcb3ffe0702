//! Routes of signing in with an account elsewhere. Table: long, flat, one entry a route.

use axum::routing::{MethodRouter, delete, get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::app::App;
use crate::http::auth::oauth;

const PROVIDER: &str = "/api/auth/oauth/{provider}";

/// The list.
pub fn routes() -> Vec<Route> {
    let mut list = signing_in();
    list.extend(own_account());
    list
}

fn signing_in() -> Vec<Route> {
    let open = |path, operation, summary, success, served: fn() -> MethodRouter<App>| Route {
        method: Method::GET,
        path,
        operation,
        summary,
        access: Access::Open,
        body: Body::Nothing,
        success,
        served: Here(served),
    };
    vec![
        open(
            "/api/auth/providers",
            "listProviders",
            "List the providers that people can sign in with",
            Success::Json(200, "Providers"),
            || get(oauth::providers::handle),
        ),
        open(PROVIDER, "startOAuth", "Send a browser to a provider", Success::Redirect, || {
            get(oauth::start::handle)
        }),
        open(
            "/api/auth/oauth/{provider}/callback",
            "finishOAuth",
            "Receive a browser from a provider",
            Success::Redirect,
            || get(oauth::callback::handle),
        ),
        Route {
            method: Method::POST,
            body: Body::Json("OAuthCode"),
            ..open(
                "/api/auth/oauth/exchange",
                "exchangeOAuth",
                "Exchange the code of a sign-in at a provider",
                Success::Json(200, "SignedIn"),
                || post(oauth::exchange::handle),
            )
        },
    ]
}

fn own_account() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/api/auth/oauth/linked",
            operation: "listLinkedProviders",
            summary: "List one's own accounts elsewhere",
            access: Access::User,
            body: Body::Nothing,
            success: Success::Json(200, "LinkedProviders"),
            served: Here(|| get(oauth::linked::handle)),
        },
        Route {
            method: Method::POST,
            path: "/api/auth/oauth/{provider}/link",
            operation: "linkOAuth",
            summary: "Begin to link one's own account elsewhere",
            access: Access::User,
            body: Body::Json("OAuthLink"),
            success: Success::Json(200, "OAuthDeparture"),
            served: Here(|| post(oauth::link::handle)),
        },
        Route {
            method: Method::DELETE,
            path: PROVIDER,
            operation: "unlinkOAuth",
            summary: "Take a provider from one's own account",
            access: Access::User,
            body: Body::Json("Proof"),
            success: Success::Nothing,
            served: Here(|| delete(oauth::unlink::handle)),
        },
    ]
}
