//! Who calls, derived once per request, and what rules may know of the request.
//!
//! A token that is presented but not valid is an error, never the same as no token.

use std::collections::BTreeMap;

use alyx_core::identity::{AdminIdentity, Identity, Notices, RequestFacts};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::address::{Peer, client_address};
use super::answer::RequestId;
use super::cookies;
use super::query::QueryPairs;
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::{Auth, Client};
use crate::clock;
use crate::problem::{ApiError, Code};
use crate::throttle::{Class, Meter};

/// The caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Identity,
    pub facts: RequestFacts,
    pub request_id: String,
    /// 32 hex digits, from `traceparent` (W3C Trace Context §3.2) or new.
    pub trace_id: String,
}

/// A caller to whom no rule applies. Extracting it is the check.
#[derive(Clone, Debug)]
pub struct AdminCaller(pub Caller);

/// A caller who signed in to an account. Extracting it is the check, so it comes before the body is read.
#[derive(Clone, Debug)]
pub struct UserCaller(pub Caller);

/// Parameters of the path. One that cannot be read is an unknown path.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = peer(parts);
        let identity = match (bearer(&parts.headers)?, peer) {
            (Some(token), _) if Auth::is_api_key(token) => app.auth.identify_key(token).await?,
            (Some(token), _) => app.auth.identify(token).await?,
            (None, Peer::Admin { uid }) => Identity::Admin(AdminIdentity::Peer { uid }),
            (None, Peer::Remote(_)) => by_cookie(parts, app).await?,
        };
        app.throttle.by_identity(Class::of(&parts.method, parts.uri.path()), &identity, &meter(parts))?;
        let request_id = request_id(parts);
        let trace_id = trace_id(&parts.headers).unwrap_or_else(clock::random_hex::<16>);
        Ok(Self { identity, facts: facts(parts, app, peer)?, request_id, trace_id })
    }
}

impl FromRequestParts<App> for UserCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.identity.user() {
            Some(_) => Ok(Self(caller)),
            None if matches!(caller.identity, Identity::ApiKey(_)) => {
                Err(ApiError::new(Code::Forbidden, "An API key has no account."))
            }
            None => Err(ApiError::new(Code::Unauthenticated, "Sign in to do this.")),
        }
    }
}

impl FromRequestParts<App> for AdminCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let area = parts.uri.path().strip_prefix("/api/admin/").unwrap_or_default();
        let area = area.split('/').next().unwrap_or_default();
        match caller.identity {
            _ if caller.identity.administers(area) => Ok(Self(caller)),
            Identity::ApiKey(_) => {
                // A program that does what it was not made for: somebody may have found its key.
                let client = Client::from_request_parts(parts, app).await?;
                let event = Event::new(Action::ApiKeyRefuse, &caller.identity, &client).denied();
                audit::record(&app.store, event.target(caller.facts.path)).await;
                Err(ApiError::new(Code::Forbidden, "The scopes of this API key do not allow this."))
            }
            Identity::Anonymous => Err(ApiError::new(Code::Unauthenticated, "Sign in as an administrator.")),
            _ => Err(ApiError::new(Code::Forbidden, "Only administrators may do this.")),
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let found = Path::<T>::from_request_parts(parts, app).await;
        found
            .map(|Path(params)| Self(params))
            .map_err(|_| ApiError::new(Code::NotFound, "There is no such path."))
    }
}

/// Who calls by cookie: nobody without one. What changes something must come from a page of ours.
async fn by_cookie(parts: &Parts, app: &App) -> Result<Identity, ApiError> {
    let Some(token) = cookies::access_token(&parts.headers)? else { return Ok(Identity::Anonymous) };
    let identity = app.auth.identify(token).await?;
    if !parts.method.is_safe() {
        let shown = cookies::shown_csrf_token(&parts.headers)?;
        let session = identity.user().map(|user| user.session.as_str()).unwrap_or_default();
        if !app.auth.is_csrf_token(session, shown) {
            return Err(cookies::rejected("The CSRF token is not that of this session."));
        }
    }
    Ok(identity)
}

/// Address of the client as text, for throttles, sessions and rules; empty over the admin socket.
pub fn client_ip(parts: &Parts, app: &App) -> Option<std::net::IpAddr> {
    match peer(parts) {
        Peer::Remote(address) => {
            Some(client_address(address, &parts.headers, &app.config.server.trusted_proxies))
        }
        Peer::Admin { .. } => None,
    }
}

/// What the request takes from buckets.
pub fn meter(parts: &Parts) -> Meter {
    parts.extensions.get::<Meter>().cloned().unwrap_or_default()
}

fn peer(parts: &Parts) -> Peer {
    *parts.extensions.get::<Peer>().expect("the accept loop puts the peer into every request")
}

fn facts(parts: &Parts, app: &App, peer: Peer) -> Result<RequestFacts, ApiError> {
    let ip = match peer {
        Peer::Remote(_) => client_ip(parts, app).map(|ip| ip.to_string()).unwrap_or_default(),
        Peer::Admin { .. } => String::new(),
    };
    let mut query = BTreeMap::new();
    for (name, value) in QueryPairs::parse(parts.uri.query().unwrap_or_default())?.0 {
        query.entry(name).or_insert(value);
    }
    Ok(RequestFacts {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        ip,
        time: clock::now_text(),
        query,
        headers: visible_headers(&parts.headers),
        request_id: request_id(parts),
        notices: parts.extensions.get::<Notices>().cloned().unwrap_or_default(),
        ..RequestFacts::default()
    })
}

/// Id of the request.
pub fn request_id(parts: &Parts) -> String {
    parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// Headers by name, without credentials.
pub fn visible_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let hidden = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
    headers
        .iter()
        .filter(|(name, _)| !hidden.contains(name))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// The token that a request shows, whichever way.
pub fn shown_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    match bearer(headers)? {
        Some(token) => Ok(Some(token)),
        None => cookies::access_token(headers),
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let invalid = || ApiError::new(Code::InvalidToken, "The Authorization header must be `Bearer <token>`.");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(invalid)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(Some(token)) } else { Err(invalid()) }
}

fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = version.len() == 2
        && version != "ff"
        && lower_hex(version)
        && trace.len() == 32
        && lower_hex(trace)
        && trace.bytes().any(|byte| byte != b'0');
    valid.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{bearer, trace_id, visible_headers};

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn bearer_tokens() {
        let check = |value, expected: Result<Option<&str>, ()>| {
            assert_eq!(bearer(&headers("authorization", value)).map_err(|_| ()), expected, "{value}");
        };
        check("Bearer abc", Ok(Some("abc")));
        check("bearer abc", Ok(Some("abc")));
        check("Bearer  abc ", Ok(Some("abc")));
        check("Bearer", Err(()));
        check("Bearer ", Err(()));
        check("Basic abc", Err(()));
        check("", Err(()));
        assert_eq!(bearer(&HeaderMap::new()).ok(), Some(None));
        let mut twice = headers("authorization", "Bearer a");
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(bearer(&twice).is_err());
    }

    #[test]
    fn trace_ids_follow_the_standard() {
        let check = |value, expected: Option<&str>| {
            assert_eq!(trace_id(&headers("traceparent", value)).as_deref(), expected, "{value}");
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(id));
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None);
        check("nonsense", None);
    }

    #[test]
    fn credentials_are_not_shown_to_rules() {
        assert!(visible_headers(&headers("authorization", "Bearer abc")).is_empty());
        assert!(visible_headers(&headers("cookie", "a=b")).is_empty());
        assert_eq!(visible_headers(&headers("x-a", "b"))["x-a"], "b");
    }
}
