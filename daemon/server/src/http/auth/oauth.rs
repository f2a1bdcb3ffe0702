//! `/api/auth/oauth/…`: signing in with an account elsewhere.
//!
//! The flow travels in a cookie that goes to these paths only and comes back from the provider's site,
//! which `SameSite=Lax` allows for a navigation.

pub mod callback;
pub mod exchange;
pub mod link;
pub mod linked;
pub mod providers;
pub mod start;
pub mod unlink;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use crate::app::App;
use crate::auth::FLOW_TTL;

const COOKIE: &str = "alyx-oauth";

/// The flow that this browser has.
fn flow_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn set_flow(app: &App, response: &mut Response, flow: &str) {
    write(app, response, &format!("{COOKIE}={flow}; Max-Age={}", FLOW_TTL.as_secs()));
}

fn clear_flow(app: &App, response: &mut Response) {
    write(app, response, &format!("{COOKIE}=; Max-Age=0"));
}

fn write(app: &App, response: &mut Response, cookie: &str) {
    // Browsers reach a server in development over plain HTTP.
    let public = app.config.server.public_url.as_deref().unwrap_or_default();
    let secure = if public.starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{cookie}; Path=/api/auth/oauth; HttpOnly; SameSite=Lax{secure}");
    // A sealed flow is base64url, which a header can hold.
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
