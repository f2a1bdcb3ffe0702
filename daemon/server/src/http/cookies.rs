//! Cookies for clients that are pages: the tokens where no script can read them, and what keeps other
//! sites from using them.
//!
//! A request that changes something and comes by cookie must come from a page of this very origin and
//! show the CSRF token of its session, which only such a page can read. Cookies of this kind are never
//! sent along by a page of another site (`SameSite=Lax`) nor over plain HTTP, except to this host.

use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::auth::Cookies;
use crate::problem::{ApiError, Code};

/// The access token. The prefix makes browsers take it only from this host, for all of it, over TLS.
const ACCESS: &str = "__Host-alyx-access";

/// The refresh token; goes to the endpoints for accounts only, which `__Host-` would not allow.
const REFRESH: &str = "__Secure-alyx-refresh";

/// Path of the refresh token.
const REFRESH_PATH: &str = "/api/auth";

/// The CSRF token, for scripts of this origin to read.
const CSRF: &str = "__Host-alyx-csrf";

/// Where they show it.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// The access token that came by cookie.
pub fn access_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    cookie(headers, ACCESS)
}

/// The refresh token that came by cookie.
pub fn refresh_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    cookie(headers, REFRESH)
}

/// The CSRF token that a request shows: the same in its header and its cookie.
///
/// # Errors
/// `csrf_rejected` if it comes from elsewhere, or shows none.
pub fn shown_csrf_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    if !is_same_origin(headers) {
        return Err(rejected("Requests by cookie must come from a page of this origin."));
    }
    let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    match (shown, cookie(headers, CSRF)?) {
        (Some(shown), Some(known)) if shown == known => Ok(shown),
        _ => Err(rejected("Send the CSRF token of the cookie as X-CSRF-Token.")),
    }
}

/// The error for a token that is not the session's.
pub fn rejected(detail: &str) -> ApiError {
    ApiError::new(Code::CsrfRejected, detail)
}

/// Gives a page its tokens.
pub fn set(cookies: &Cookies, response: &mut Response) {
    let Cookies { access, access_seconds, refresh, refresh_seconds, csrf } = cookies;
    write(response, format!("{ACCESS}={access}; Path=/; Max-Age={access_seconds}; HttpOnly"));
    write(response, format!("{REFRESH}={refresh}; Path={REFRESH_PATH}; Max-Age={refresh_seconds}; HttpOnly"));
    write(response, format!("{CSRF}={csrf}; Path=/; Max-Age={refresh_seconds}"));
}

/// Takes them away.
pub fn clear(response: &mut Response) {
    for (name, path) in [(ACCESS, "/"), (REFRESH, REFRESH_PATH), (CSRF, "/")] {
        write(response, format!("{name}=; Path={path}; Max-Age=0"));
    }
}

fn write(response: &mut Response, text: String) {
    // Tokens are letters, digits, dots, dashes and underscores, which a header can hold.
    if let Ok(value) = HeaderValue::from_str(&format!("{text}; Secure; SameSite=Lax")) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The value of a cookie. Two of the same name mean that somebody else has set one of them.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut found = None;
    for value in headers.get_all(header::COOKIE) {
        let Ok(text) = value.to_str() else { continue };
        for pair in text.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else { continue };
            if key == name && found.replace(value).is_some() {
                return Err(ApiError::new(
                    Code::InvalidRequest,
                    format!("The cookie {name} is there twice."),
                ));
            }
        }
    }
    Ok(found)
}

/// Whether a page of this origin sends this. Browsers say so; a client that says nothing is no browser
/// and has to show the CSRF token like everybody.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let (Ok(origin), Some(host)) = (origin.to_str(), host) else { return false };
    let same = |authority: &str| authority.parse::<Authority>().is_ok_and(|authority| authority == host);
    match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(authority), _) => same(authority),
        // Over plain HTTP anybody on the way may have written the page.
        (_, Some(authority)) => is_this_host(host.host()) && same(authority),
        _ => false,
    }
}

fn is_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{access_token, is_same_origin, shown_csrf_token};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn cookies_are_read_exactly() {
        let check = |value: &'static str, expected: Result<Option<&str>, ()>| {
            assert_eq!(access_token(&headers(&[("cookie", value)])).map_err(|_| ()), expected, "{value}");
        };
        check("__Host-alyx-access=a.b.c", Ok(Some("a.b.c")));
        check("x=1; __Host-alyx-access=a.b.c; y=2", Ok(Some("a.b.c")));
        check("__host-alyx-access=a", Ok(None));
        check("x__Host-alyx-access=a", Ok(None));
        check("__Host-alyx-access=a; __Host-alyx-access=b", Err(()));
    }

    #[test]
    fn only_pages_of_this_origin_are_heard() {
        let check = |origin: &'static str, host: &'static str, same: bool| {
            assert_eq!(
                is_same_origin(&headers(&[("origin", origin), ("host", host)])),
                same,
                "{origin} {host}"
            );
        };
        check("https://app.example.com", "app.example.com", true);
        check("https://APP.example.com", "app.example.com", true);
        check("https://app.example.com:8443", "app.example.com:8443", true);
        check("http://localhost:8090", "localhost:8090", true);
        check("http://127.0.0.1:8090", "127.0.0.1:8090", true);
        check("http://[::1]:8090", "[::1]:8090", true);
        check("http://app.example.com", "app.example.com", false);
        check("https://app.example.com:8443", "app.example.com", false);
        check("https://evil.test", "app.example.com", false);
        check("https://app.example.com.evil.test", "app.example.com", false);
        check("https://evil-app.example.com", "app.example.com", false);
        check("https://app.example.com@evil.test", "app.example.com", false);
        check("null", "app.example.com", false);
        check("", "app.example.com", false);
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_same_origin(&headers(&[("sec-fetch-site", site), ("host", "a")])), "{site}");
        }
        assert!(is_same_origin(&headers(&[("sec-fetch-site", "same-origin"), ("host", "a")])));
        assert!(is_same_origin(&headers(&[("host", "a")])));
    }

    #[test]
    fn the_token_is_shown_twice() {
        let check = |header: Option<&'static str>, cookie: &'static str, shown: bool| {
            let mut all = headers(&[("host", "a"), ("cookie", cookie)]);
            if let Some(header) = header {
                all.insert("x-csrf-token", HeaderValue::from_static(header));
            }
            assert_eq!(shown_csrf_token(&all).is_ok(), shown, "{header:?} {cookie}");
        };
        check(Some("t"), "__Host-alyx-csrf=t", true);
        check(Some("t"), "__Host-alyx-csrf=u", false);
        check(Some("t"), "x=t", false);
        check(None, "__Host-alyx-csrf=t", false);
    }
}
