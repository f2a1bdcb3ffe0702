//! Routes of everything that goes by mail, of the second factor, and of mails themselves.

use axum::routing::{get, post};
use http::Method;

use super::Served::Here;
use super::{Access, Body, Route, Success};
use crate::app::App;
use crate::http::{admin, auth, pages};

/// The list.
pub fn routes() -> Vec<Route> {
    let mut list = address_routes();
    list.extend(factor_routes());
    list.extend(mail_routes());
    list.extend(page_routes());
    list
}

fn posted(
    access: Access,
    (path, operation): (&'static str, &'static str),
    summary: &'static str,
    body: &'static str,
    success: Success,
    handler: fn() -> axum::routing::MethodRouter<App>,
) -> Route {
    Route {
        method: Method::POST,
        path,
        operation,
        summary,
        access,
        body: Body::Json(body),
        success,
        served: Here(handler),
    }
}

fn address_routes() -> Vec<Route> {
    use Access::{Open, User};
    let accepted = Success::Accepted;
    vec![
        posted(
            Open,
            ("/api/auth/verify/request", "requestVerification"),
            "Have a link sent that verifies an address",
            "Address",
            accepted,
            || post(auth::verify::request::handle),
        ),
        posted(
            Open,
            ("/api/auth/verify/confirm", "confirmVerification"),
            "Verify an address by a link",
            "LinkToken",
            Success::Nothing,
            || post(auth::verify::confirm::handle),
        ),
        posted(
            Open,
            ("/api/auth/password/forgot", "forgotPassword"),
            "Have a link sent to set a new password",
            "Address",
            accepted,
            || post(auth::password::forgot::handle),
        ),
        posted(
            Open,
            ("/api/auth/password/reset", "resetPassword"),
            "Set a new password by a link",
            "PasswordByLink",
            Success::Nothing,
            || post(auth::password::reset::handle),
        ),
        posted(
            User,
            ("/api/auth/email/change", "changeEmail"),
            "Have a link sent to another address",
            "NewAddress",
            accepted,
            || post(auth::email::change::handle),
        ),
        posted(
            Open,
            ("/api/auth/email/confirm", "confirmEmail"),
            "Take another address by a link",
            "LinkToken",
            Success::Nothing,
            || post(auth::email::confirm::handle),
        ),
        posted(
            Open,
            ("/api/auth/otp/request", "requestCode"),
            "Have a code sent to sign in with",
            "Address",
            Success::Json(202, "CodeSent"),
            || post(auth::otp::request::handle),
        ),
        posted(
            Open,
            ("/api/auth/otp/verify", "signInByCode"),
            "Sign in by a code",
            "SentCode",
            Success::Json(200, "Begun"),
            || post(auth::otp::verify::handle),
        ),
    ]
}

fn factor_routes() -> Vec<Route> {
    use Access::{Open, User};
    vec![
        Route {
            method: Method::GET,
            path: "/api/auth/mfa",
            operation: "secondFactor",
            summary: "Tell which second factors one has",
            access: User,
            body: Body::Nothing,
            success: Success::Json(200, "SecondFactorStatus"),
            served: Here(|| get(auth::mfa::status::handle)),
        },
        posted(
            User,
            ("/api/auth/mfa/totp/enroll", "enrollTotp"),
            "Make the secret of a second factor",
            "Proof",
            Success::Json(200, "Enrollment"),
            || post(auth::mfa::enroll::handle),
        ),
        posted(
            User,
            ("/api/auth/mfa/totp/confirm", "confirmTotp"),
            "Put the second factor in force",
            "TotpCode",
            Success::Json(200, "RecoveryCodes"),
            || post(auth::mfa::confirm::handle),
        ),
        posted(
            User,
            ("/api/auth/mfa/totp/disable", "disableTotp"),
            "Remove the second factor",
            "FactorProof",
            Success::Nothing,
            || post(auth::mfa::disable::handle),
        ),
        posted(
            User,
            ("/api/auth/mfa/recovery-codes", "renewRecoveryCodes"),
            "Replace the recovery codes",
            "FactorProof",
            Success::Json(200, "RecoveryCodes"),
            || post(auth::mfa::recovery_codes::handle),
        ),
        posted(
            Open,
            ("/api/auth/mfa/challenge", "answerSecondFactor"),
            "Sign in by a second factor",
            "SecondFactorAnswer",
            Success::Json(200, "SignedIn"),
            || post(auth::mfa::challenge::handle),
        ),
    ]
}

fn mail_routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/api/admin/mail",
            operation: "listMails",
            summary: "List mails and what became of them",
            access: Access::Admin,
            body: Body::Nothing,
            success: Success::Json(200, "MailList"),
            served: Here(|| get(admin::mail::list::handle)),
        },
        Route {
            method: Method::POST,
            path: "/api/admin/mail/{id}/retry",
            operation: "retryMail",
            summary: "Try a mail again that was given up",
            access: Access::Admin,
            body: Body::Nothing,
            success: Success::Accepted,
            served: Here(|| post(admin::mail::retry::handle)),
        },
    ]
}

fn page_routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/auth/{page}",
            operation: "showPage",
            summary: "The page of a link: verify, reset or email",
            access: Access::Open,
            body: Body::Nothing,
            success: Success::Page,
            served: Here(|| get(pages::show::handle)),
        },
        Route {
            method: Method::POST,
            path: "/auth/{page}",
            operation: "submitPage",
            summary: "The form of a link's page",
            access: Access::Open,
            body: Body::Form("PageForm"),
            success: Success::Page,
            served: Here(|| post(pages::submit::handle)),
        },
    ]
}
