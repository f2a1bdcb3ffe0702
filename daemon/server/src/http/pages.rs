//! `/auth/…`: the pages that links in mails lead to unless an application has its own. They need no
//! script. Opening one changes nothing, because programs that look through mail open links, too; its
//! button does.

mod fields;
pub mod show;
pub mod submit;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::auth::Link;

/// What the pages may do: have their own style, and send their form to us.
const POLICY: &str = "default-src 'none'; style-src 'sha256-STYLE'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem}\
                     input,button{font:inherit;padding:.5rem;margin:.5rem 0;display:block}";

/// The link that a path is about.
fn link(page: &str) -> Option<Link> {
    [Link::Verify, Link::Reset, Link::Email].into_iter().find(|link| link.page() == page)
}

/// A page; `body` is markup.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY.replace("STYLE", &style_digest())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn style_digest() -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Whether it can be a token of ours; nothing else is put into a page.
fn is_token(token: &str) -> bool {
    token.len() == 43 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The form of a link's page.
fn form(link: Link, token: &str, complaint: &str) -> Response {
    let (title, text, input, button) = match link {
        Link::Verify => ("Confirm your address", "This shows that the address is yours.", "", "Confirm"),
        Link::Email => ("Confirm your new address", "Your account will use it from now on.", "", "Confirm"),
        Link::Reset | Link::Registered => (
            "Set a new password",
            "Everybody who is signed in to your account will be signed out.",
            "<label>New password <input type=\"password\" name=\"password\" required \
             autocomplete=\"new-password\"></label>",
            "Set password",
        ),
    };
    let status = if complaint.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let complaint =
        if complaint.is_empty() { String::new() } else { format!("<p role=\"alert\">{complaint}</p>") };
    let body = format!(
        "<p>{text}</p>{complaint}\n<form method=\"post\" action=\"/auth/{}\">\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">{input}<button>{button}</button></form>",
        link.page()
    );
    page(status, title, &body)
}

/// The page for a link that leads nowhere.
fn dead() -> Response {
    let text = "<p>It was used or has expired. Ask for another one.</p>";
    page(StatusCode::BAD_REQUEST, "This link is not valid", text)
}
