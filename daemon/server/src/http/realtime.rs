//! `/api/realtime`: changes as they happen, over a WebSocket or by server-sent events.

mod events;
mod socket;

use alyx_core::identity::Identity;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::address::Peer;
use super::caller::{client_ip, shown_token};
use super::cookies;
use crate::app::App;
use crate::auth::{Credential, Lasting};
use crate::http::{Caller, JsonBody, Params, QueryPairs};
use crate::problem::{ApiError, Code};
use crate::realtime::{Open, read_broadcast};
use crate::throttle_key::throttle_key;

/// `GET /api/realtime`: 101 for a WebSocket, 200 with server-sent events for whoever accepts them.
pub async fn open(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &app).await?;
    let query = QueryPairs::parse(parts.uri.query().unwrap_or_default())?;
    query.known(&["subscribe"])?;
    let wanted: Vec<&str> = query.0.iter().map(|(_, text)| text.as_str()).collect();
    if parts.headers.contains_key(header::UPGRADE) {
        check_origin(&parts.headers, &app.config.cors.allowed_origins)?;
        let upgrade = socket::read(&mut parts, &app).await?;
        let open = enter(&app, &parts, caller).await?;
        open.hub.hear_first(&open.connection, &wanted).await?;
        return Ok(socket::answer(upgrade, open));
    }
    if !accepts_events(&parts.headers) {
        let detail = "Ask for a WebSocket, or for server-sent events with `Accept: text/event-stream`.";
        return Err(ApiError::new(Code::InvalidRequest, detail));
    }
    let open = enter(&app, &parts, caller).await?;
    open.hub.hear_first(&open.connection, &wanted).await?;
    Ok(events::answer(open))
}

/// `POST /api/realtime`: 204 once something was said on a channel.
pub async fn broadcast(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, ApiError> {
    let said = read_broadcast(text_of(&body)?)?;
    app.realtime.broadcast(&caller.identity, &caller.facts, &said).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/realtime/{connection}`: 204 once a message was carried out.
pub async fn tell(
    State(app): State<App>,
    caller: Caller,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let gone = || ApiError::new(Code::ConnectionNotFound, "There is no such connection, or it is not yours.");
    let connection = app.realtime.find(&id).ok_or_else(gone)?;
    // Whoever knows the id and shows no other identity may speak, above all to say who it is.
    if caller.identity != Identity::Anonymous && caller.identity.label() != connection.identity().label() {
        return Err(gone());
    }
    app.realtime.hear_request(&connection, text_of(&body)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn text_of(body: &JsonBody) -> Result<&str, ApiError> {
    str::from_utf8(&body.0).map_err(|_| ApiError::new(Code::InvalidJson, "The body is not UTF-8."))
}

async fn enter(app: &App, parts: &Parts, caller: Caller) -> Result<Open, ApiError> {
    let who = match shown_token(&parts.headers)? {
        Some(token) => app.auth.lasting(token).await?,
        None => Lasting { identity: caller.identity, credential: Credential::Fixed, expires_at: None },
    };
    let mut facts = caller.facts;
    facts.query.clear();
    let address = match parts.extensions.get::<Peer>() {
        Some(Peer::Admin { .. }) => None,
        _ => client_ip(parts, app).map(|address| throttle_key(address).to_string()),
    };
    let open = app.realtime.open(who, facts, address)?;
    open.hub.greet(&open.connection);
    Ok(open)
}

/// A page elsewhere could open a WebSocket with the cookies of whoever looks at it, or from inside of
/// their network, and no browser would ask first.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let is_allowed = allowed.iter().any(|known| known.as_bytes() == origin.as_bytes());
    // A page that is allowed to ask shows its token itself; it has no cookies of ours.
    if cookies::is_same_origin(headers) || (is_allowed && cookies::access_token(headers)?.is_none()) {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, "Pages of this origin may not connect; see `cors.allowed_origins`."))
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{accepts_events, check_origin};

    #[test]
    fn events_are_asked_for() {
        let check = |value: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(accepts_events(&headers), expected, "{value}");
        };
        check("text/event-stream", true);
        check("text/html, text/event-stream;q=0.9", true);
        check("*/*", false);
        check("text/event-streams", false);
    }

    #[test]
    fn only_pages_of_ours_connect() {
        let check = |origin: &'static str, cookie: bool, fine: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8090"));
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            if cookie {
                headers.insert(header::COOKIE, HeaderValue::from_static("__Host-alyx-access=x"));
            }
            let allowed = ["https://app.example.com".to_owned()];
            assert_eq!(check_origin(&headers, &allowed).is_ok(), fine, "{origin} {cookie}");
        };
        check("http://localhost:8090", true, true);
        check("http://localhost:8091", false, false);
        check("https://app.example.com", false, true);
        check("https://app.example.com", true, false);
        check("https://evil.example.com", false, false);
        check("null", false, false);
        assert!(check_origin(&HeaderMap::new(), &[]).is_ok());
    }
}
