//! Cross-origin access by an exact allow list. Off when the list is empty; never with credentials,
//! because nothing here is authenticated by a cookie.

use http::{HeaderMap, HeaderValue, Method, header};

/// Headers that a page of an allowed origin may send.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-alyx-challenge, x-request-id, traceparent");

/// Headers that it may read beyond the safelisted ones.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, x-alyx-execution, retry-after, ratelimit, ratelimit-policy");

/// How long a browser may remember a preflight. Unit: seconds.
const MAX_AGE_SECONDS: u64 = 600;

/// What a request asks of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Not a request of an allowed origin.
    Nothing,
    /// Whether a request would be allowed; its origin.
    Preflight(HeaderValue),
    /// The request itself; its origin.
    Actual(HeaderValue),
}

/// Reads a request.
pub fn read(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Asked {
    let Some(origin) = headers.get(header::ORIGIN) else { return Asked::Nothing };
    if !allowed.iter().any(|found| found.as_bytes() == origin.as_bytes()) {
        return Asked::Nothing;
    }
    if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        Asked::Preflight(origin.clone())
    } else {
        Asked::Actual(origin.clone())
    }
}

/// Writes the answer's headers. `allow` is the route's own list of methods, for a preflight.
pub fn write(asked: Asked, allow: Option<HeaderValue>, headers: &mut HeaderMap) {
    match asked {
        Asked::Nothing => {}
        Asked::Actual(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
        Asked::Preflight(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
            if let Some(allow) = allow {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, header};

    use super::{Asked, read};

    #[test]
    fn origins_are_compared_exactly() {
        let allowed = ["https://app.example.com".to_owned()];
        let check = |origin: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            assert_eq!(read(&Method::GET, &headers, &allowed) != Asked::Nothing, expected, "{origin}");
            assert_eq!(read(&Method::GET, &headers, &[]), Asked::Nothing, "{origin}");
        };
        check("https://app.example.com", true);
        check("https://app.example.com.evil.test", false);
        check("https://evil-app.example.com", false);
        check("http://app.example.com", false);
        check("https://app.example.com:443", false);
        check("HTTPS://APP.EXAMPLE.COM", false);
        check("null", false);
        check("*", false);
    }
}
