//! What happens to every request and every answer: request id, cross-origin headers, caught panics,
//! problem bodies, security headers, one log line.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alyx_core::identity::Notices;
use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version, header};
use tower::ServiceExt;

use super::accept::{Doors, Refusal};
use super::address::{Peer, Scheme, client_address, client_scheme};
use super::cors;
use super::unread::Unread;
use crate::config::Mode;
use crate::limits::{DEVICE_KEPT_FOR, HEAD_MAX_BYTES, HEADERS_MAX, REQUEST_ID_MAX_BYTES};
use crate::problem::{ApiError, Code, PendingProblem};
use crate::throttle::{Class, Meter};

/// Id of a request, the client's own if it sent a usable one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Name of the header that carries it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Name of the header that tells of hooks that failed after the commit: an id and the code of a problem.
const HOOK_FAILED: HeaderName = HeaderName::from_static("x-alyx-hook-failed");

/// Cookie by which an account knows a device. It signs nobody in; it only lets its holder try where others
/// have to wait.
pub const DEVICE_COOKIE: &str = "alyx_device";

/// The route that a request takes, once it is known.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<OnceLock<MatchedPath>>);

impl Taken {
    /// It is this one.
    pub fn note(&self, path: &MatchedPath) {
        // A request has one route.
        drop(self.0.set(path.clone()));
    }

    fn path(&self) -> Option<&str> {
        self.0.get().map(MatchedPath::as_str)
    }
}

/// Token for the client's device, if the request led to one.
#[derive(Clone, Debug, Default)]
pub struct IssuedDevice(pub Arc<OnceLock<String>>);

/// A JSON answer from text that is JSON already.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// How a request came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub peer: Peer,
    /// Of the connection.
    pub scheme: Scheme,
    /// It is not to be served.
    pub refusal: Option<Refusal>,
}

/// Answers one request.
pub async fn answer(
    doors: &Doors,
    arrival: Arrival,
    unread: &Unread,
    mut request: Request<Body>,
) -> Response {
    let (config, peer) = (&doors.config, arrival.peer);
    let scheme = client_scheme(peer, arrival.scheme, request.headers(), &config.server.trusted_proxies);
    let (started, _in_flight) = (Instant::now(), doors.metrics.enter());
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let asked = cors::read(&method, request.headers(), &config.cors.allowed_origins);
    let private = request.headers().contains_key(header::AUTHORIZATION)
        || path.starts_with("/api/auth/")
        || matches!(peer, Peer::Admin { .. });
    let last = request.headers().contains_key(header::TRANSFER_ENCODING)
        || request.headers().contains_key(header::UPGRADE);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(scheme);
    request.extensions_mut().insert(RequestId(id.clone()));
    let meter = Meter::default();
    request.extensions_mut().insert(meter.clone());
    let notices = Notices::default();
    request.extensions_mut().insert(notices.clone());
    let taken = Taken::default();
    request.extensions_mut().insert(taken.clone());
    let issued = IssuedDevice::default();
    request.extensions_mut().insert(issued.clone());

    let mut response = if let Some(refusal) = arrival.refusal {
        refused(refusal)
    } else if !names_one_host(&request) {
        ambiguous_host()
    } else if let Err(error) = take(doors, peer, &request, &meter) {
        error.into_response()
    } else {
        serve(doors.router.clone(), request).await
    };
    response = unread.hold(&method, response).await;
    if response.status() == StatusCode::TOO_MANY_REQUESTS && path.starts_with("/api/auth/") {
        doors.throttle.hold_up().await;
    }
    if let cors::Asked::Preflight(_) = asked {
        preflight(asked, &mut response);
    } else {
        cors::write(asked, None, response.headers_mut());
    }
    write_problem(&id, &mut response);
    write_headers(&id, private, &mut response);
    meter.write(response.headers_mut());
    write_notices(&notices, response.headers_mut());
    if let Some(cookie) = issued.0.get().and_then(|token| device_cookie(token, scheme)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if !config.cors.allowed_origins.is_empty() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    if scheme == Scheme::Https && config.hsts.as_secs() > 0 {
        let value = format!("max-age={}", config.hsts.as_secs());
        let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("max-age=0"));
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // The gate has not read what follows.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    doors.metrics.request(&method, taken.path(), response.status(), started.elapsed());
    log(doors.mode, &method, &path, response.status(), started.elapsed(), &id);
    response
}

/// The hooks that failed after the commit, a header each.
fn write_notices(notices: &Notices, headers: &mut HeaderMap) {
    for notice in notices.take() {
        if let Ok(value) = HeaderValue::from_str(&notice) {
            headers.append(HOOK_FAILED, value);
        }
    }
}

fn device_cookie(token: &str, scheme: Scheme) -> Option<HeaderValue> {
    let secure = if scheme == Scheme::Https { "; Secure" } else { "" };
    let age = DEVICE_KEPT_FOR.as_secs();
    let text =
        format!("{DEVICE_COOKIE}={token}; Path=/api/auth; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

/// Takes the request from what its address may do, before anything of it is looked at.
fn take(doors: &Doors, peer: Peer, request: &Request<Body>, meter: &Meter) -> Result<(), ApiError> {
    let Peer::Remote(address) = peer else { return Ok(()) };
    let address = client_address(address, request.headers(), &doors.config.server.trusted_proxies);
    doors.throttle.by_address(Class::of(request.method(), request.uri().path()), address, meter)
}

async fn serve(router: Router, request: Request<Body>) -> Response {
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // The panic hook has logged where and why.
        Err(_) => ApiError::new(
            Code::Internal,
            "The server failed to do this. Quote the request id when you report it.",
        )
        .into_response(),
    }
}

/// A proxy in front may have routed, cached or allowed the request by another of its hosts than
/// whoever reads it next, so HTTP/1.1 wants exactly one (RFC 9112 §3.2).
fn names_one_host(request: &Request<Body>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            // A target with a host of its own must name the same (RFC 9112 §3.2.2).
            let target = request.uri().authority();
            let same =
                target.is_none_or(|target| host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()));
            same && (host.is_empty() || host.to_str().is_ok_and(|host| host.parse::<Authority>().is_ok()))
        }
        (None, None) => request.version() != Version::HTTP_11,
        _ => false,
    }
}

fn refused(refusal: Refusal) -> Response {
    let error = match refusal {
        Refusal::Malformed(detail) => ApiError::new(Code::InvalidRequest, detail),
        Refusal::TooLarge => {
            let detail = format!("The head may have {HEAD_MAX_BYTES} bytes and {HEADERS_MAX} headers.");
            ApiError::new(Code::HeadTooLarge, detail)
        }
        Refusal::NotAdministrator { uid } => {
            let detail = format!(
                "The user with the id {uid} may not use the admin socket. It is for root and for members of \
                 the group that `server.admin_group` names."
            );
            ApiError::new(Code::Forbidden, detail)
        }
        Refusal::Overloaded => {
            return ApiError::new(Code::Overloaded, "Too many requests at once; try again.").into_response();
        }
    };
    error.with_header(header::CONNECTION, HeaderValue::from_static("close")).into_response()
}

fn ambiguous_host() -> Response {
    let error = ApiError::new(Code::InvalidRequest, "The request must name exactly one valid host.");
    error.with_header(header::CONNECTION, HeaderValue::from_static("close")).into_response()
}

/// A preflight is answered from what the route says of itself: an unknown path stays unknown, and
/// the methods are those in `Allow`.
fn preflight(asked: cors::Asked, response: &mut Response) {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).cloned();
        *response = StatusCode::NO_CONTENT.into_response();
        cors::write(asked, allow, response.headers_mut());
    }
}

fn write_problem(id: &str, response: &mut Response) {
    let Some(PendingProblem(mut problem)) = response.extensions_mut().remove::<PendingProblem>() else {
        return;
    };
    problem.request_id = Some(id.to_owned());
    if problem.code == Code::Internal.as_str() {
        // The reason was logged where it came up, where nobody knew of the request.
        tracing::warn!(request_id = id, "request {id} was answered with `internal`; see the entry before");
    }
    let body = serde_json::to_vec(&problem).expect("a problem holds nothing but text and numbers");
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
}

fn write_headers(id: &str, private: bool, response: &mut Response) {
    let store = private || response.status().is_client_error() || response.status().is_server_error();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A function that answers with a page may know better.
    let mut default = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::REFERRER_POLICY, "no-referrer");
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox");
    default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    default(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    default(header::X_FRAME_OPTIONS, "DENY");
    if store {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let usable = |text: &&str| {
        (1..=REQUEST_ID_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(usable);
    sent.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// Path without the query, which may hold what a log must not.
fn log(mode: Mode, method: &http::Method, path: &str, status: StatusCode, took: Duration, id: &str) {
    let (status, duration_us) = (status.as_u16(), took.as_micros());
    match mode {
        Mode::Development => {
            tracing::info!(%method, path, status, duration_us, request_id = id, "{method} {path} {status}");
        }
        Mode::Production => {
            tracing::debug!(%method, path, status, duration_us, request_id = id, "{method} {path} {status}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use alyx_protocol::api::Problem;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::response::Response;
    use axum::routing::{get, post};
    use http::{HeaderMap, HeaderValue, Request, Version, header};

    use super::super::accept::{AdminPeers, Doors};
    use super::super::address::{Peer, Scheme};
    use super::super::unread::Unread;
    use super::{Arrival, REQUEST_ID, answer, names_one_host, request_id};
    use crate::config::{Mode, Overrides, Source, load};
    use crate::metrics::Metrics;
    use crate::problem::{ApiError, Code};
    use crate::throttle::{Rates, Throttle};

    async fn ask(mut request: Request<Body>) -> Response {
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("alyx.test"));
        let source =
            Source { file: None, environment: &[], overrides: &Overrides::default(), mode: Mode::Production };
        let mut config = load(&source).unwrap();
        config.cors.allowed_origins = vec!["https://app.example.com".to_owned()];
        let (scraped, metrics) = (Router::new(), Metrics::default());
        let router = Router::new()
            .route("/fine", get(async || "fine"))
            .route("/panic", get(async || -> &str { panic!("on purpose") }))
            .route("/problem", post(async || ApiError::new(Code::Overloaded, "Too much.")));
        let peer = Peer::Remote(Ipv4Addr::LOCALHOST.into());
        let throttle = Throttle::new(Rates::new(&config.limits, &config.auth));
        let admin_peers = AdminPeers::new(None).unwrap();
        let (config, mode) = (Arc::new(config), Mode::Production);
        let doors = Doors { router, scraped, config, mode, admin_peers, throttle, metrics };
        let arrival = Arrival { peer, scheme: Scheme::Http, refusal: None };
        answer(&doors, arrival, &Unread::default(), request).await
    }

    async fn problem(response: Response) -> Problem {
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.request_id, Some(id));
        problem
    }

    #[tokio::test]
    async fn a_panic_is_one_answer() {
        let problem = problem(ask(Request::get("/panic").body(Body::empty()).unwrap()).await).await;
        assert_eq!((problem.status, problem.code.as_str()), (500, "internal"));
        assert!(!problem.detail.contains("on purpose"));
    }

    #[tokio::test]
    async fn problems_have_their_headers() {
        let response = ask(Request::post("/problem").body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(problem(response).await.code, "overloaded");
    }

    #[tokio::test]
    async fn answers_to_credentials_are_not_stored() {
        let plain = ask(Request::get("/fine").body(Body::empty()).unwrap()).await;
        assert!(!plain.headers().contains_key(header::CACHE_CONTROL));
        let request = Request::get("/fine").header("authorization", "Bearer x").body(Body::empty());
        assert_eq!(ask(request.unwrap()).await.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn chunked_requests_are_the_last_of_their_connection() {
        let request = Request::get("/fine").header("transfer-encoding", "chunked").body(Body::empty());
        assert_eq!(ask(request.unwrap()).await.headers()[header::CONNECTION], "close");
    }

    #[tokio::test]
    async fn preflights_tell_what_the_route_takes() {
        let check = async |path: &str, origin: &str, status: u16, methods: Option<&str>| {
            let request = Request::options(path)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .body(Body::empty());
            let response = ask(request.unwrap()).await;
            assert_eq!(response.status(), status, "{path} {origin}");
            let found = response.headers().get(header::ACCESS_CONTROL_ALLOW_METHODS);
            assert_eq!(found.map(|value| value.to_str().unwrap()), methods, "{path} {origin}");
            assert_eq!(response.headers()[header::VARY], "origin");
        };
        check("/problem", "https://app.example.com", 204, Some("POST")).await;
        check("/problem", "https://evil.example.com", 405, None).await;
        check("/nowhere", "https://app.example.com", 404, None).await;
    }

    #[test]
    fn requests_name_one_host() {
        let check = |version, hosts: &[&'static str], fine: bool| {
            let mut request = Request::get("/").version(version).body(Body::empty()).unwrap();
            for host in hosts {
                request.headers_mut().append(header::HOST, HeaderValue::from_static(host));
            }
            assert_eq!(names_one_host(&request), fine, "{version:?} {hosts:?}");
        };
        check(Version::HTTP_11, &["example.com"], true);
        check(Version::HTTP_11, &["[::1]:8090"], true);
        check(Version::HTTP_11, &[""], true);
        check(Version::HTTP_11, &[], false);
        check(Version::HTTP_11, &["a", "a"], false);
        check(Version::HTTP_11, &["a b"], false);
        check(Version::HTTP_11, &["a/b"], false);
        check(Version::HTTP_10, &[], true);
        check(Version::HTTP_10, &["a", "b"], false);
        check(Version::HTTP_2, &[], true);
    }

    #[test]
    fn request_ids_of_clients_are_checked() {
        let check = |sent: &'static str, kept: bool| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(sent))]);
            assert_eq!(request_id(&headers) == sent, kept, "{sent}");
        };
        check("abc-123_X.y", true);
        check("", false);
        check("a b", false);
        check("<script>", false);
        check("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true);
        check("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false);
        assert_eq!(request_id(&HeaderMap::new()).len(), 36);
    }
}
