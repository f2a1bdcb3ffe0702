//! Request bodies: typed, bounded in size and time, read whole. What all of them take together is
//! bounded as well, else a few hundred slow clients could fill the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::limits::{AUTH_BODY_MAX_BYTES, BODIES_MAX_BYTES, BODY_FREE_BYTES};
use crate::problem::{ApiError, Code};
use crate::throttle::Class;

/// A body that is declared to be JSON. It is not parsed yet.
#[derive(Clone, Debug)]
pub struct JsonBody(pub Bytes);

impl JsonBody {
    /// Parses it into a type of ours.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let code = if error.is_data() { Code::ValidationFailed } else { Code::InvalidJson };
            ApiError::new(code, format!("The body is not what is expected here: {error}."))
        })
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let detail = "The body must be JSON and declared as `Content-Type: application/json`.";
            return Err(ApiError::new(Code::UnsupportedMediaType, detail));
        }
        let server = &app.config.server;
        let limit_bytes =
            limit_of(Class::of(request.method(), request.uri().path()), server.body_limit_bytes);
        app.bodies.read(request.into_body(), limit_bytes, server.body_timeout).await.map(Self)
    }
}

/// Longest body of a class of routes, of which `configured` is the most.
fn limit_of(class: Class, configured: usize) -> usize {
    match class {
        Class::Auth => configured.min(AUTH_BODY_MAX_BYTES),
        _ => configured,
    }
}

/// Memory for the bodies of all requests that are being served.
#[derive(Clone, Debug)]
pub struct Bodies {
    /// One permit per KiB.
    room: Arc<Semaphore>,
}

/// A body and the room it takes, which is free again when its last copy is dropped.
struct Held {
    bytes: BytesMut,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bodies {
    /// Room for [`BODIES_MAX_BYTES`], or a few of the largest bodies if they are larger than that.
    pub fn new(limit_bytes: usize) -> Self {
        let most = BODIES_MAX_BYTES.max(limit_bytes.saturating_mul(4)) / 1024;
        Self { room: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads a body of at most `limit_bytes` within `time`.
    pub async fn read(&self, mut body: Body, limit_bytes: usize, time: Duration) -> Result<Bytes, ApiError> {
        let too_large =
            || ApiError::new(Code::BodyTooLarge, format!("The body may have {limit_bytes} bytes."));
        let declared = body.size_hint().lower();
        if declared > limit_bytes as u64 {
            return Err(too_large());
        }
        let whole = async {
            let mut bytes = BytesMut::new();
            let mut room = None;
            while let Some(frame) = body.frame().await {
                let broken =
                    |_| ApiError::new(Code::InvalidRequest, "The body ended before its declared end.");
                let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
                if data.len() > limit_bytes - bytes.len() {
                    return Err(too_large());
                }
                self.make_room(&mut room, bytes.len() + data.len())?;
                bytes.extend_from_slice(&data);
            }
            Ok(Bytes::from_owner(Held { bytes, _room: room }))
        };
        let late = |_| ApiError::new(Code::RequestTimeout, "The body did not arrive in time.");
        tokio::time::timeout(time, whole).await.map_err(late)?
    }

    /// Small bodies need none: those who send little are served whatever others send.
    fn make_room(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), ApiError> {
        let wanted = bytes.saturating_sub(BODY_FREE_BYTES).div_ceil(1024);
        let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let overloaded = || ApiError::new(Code::Overloaded, "Too much is being sent at once; try again.");
        let more = u32::try_from(more).map_err(|_| overloaded())?;
        let more = Arc::clone(&self.room).try_acquire_many_owned(more).map_err(|_| overloaded())?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}

/// `application/json` and `application/*+json`; another charset than UTF-8 is not JSON (RFC 8259 §8.1).
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let (media, parameters) = value.split_once(';').unwrap_or((value, ""));
    let media = media.trim().to_ascii_lowercase();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let parameters = parameters.trim().to_ascii_lowercase();
    json && (parameters.is_empty() || parameters == "charset=utf-8" || parameters == "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use http::{HeaderMap, HeaderValue, header};

    use super::{Bodies, is_json};
    use crate::limits::{BODIES_MAX_BYTES, BODY_FREE_BYTES};

    #[test]
    fn json_is_declared() {
        let check = |value: &'static str, expected| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), expected, "{value}");
        };
        check("application/json", true);
        check("Application/JSON; charset=utf-8", true);
        check("application/merge-patch+json", true);
        check("application/json; charset=latin1", false);
        check("text/plain", false);
        check("application/x-www-form-urlencoded", false);
        check("", false);
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn both_sides_of_the_limit() {
        let check = async |length: usize, accepted: bool| {
            let bodies = Bodies::new(10);
            let found = bodies.read(Body::from(vec![b'x'; length]), 10, Duration::from_secs(5)).await;
            assert_eq!(found.is_ok(), accepted, "{length}");
        };
        check(0, true).await;
        check(9, true).await;
        check(10, true).await;
        check(11, false).await;
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        const LARGE: usize = 8 * 1024 * 1024;
        let bodies = Bodies::new(LARGE);
        let read = async |length: usize| {
            bodies.read(Body::from(vec![b'x'; length]), LARGE, Duration::from_secs(5)).await
        };
        let mut held = Vec::new();
        while let Ok(body) = read(LARGE).await {
            assert_eq!(body.len(), LARGE);
            held.push(body);
        }
        assert_eq!(held.len(), BODIES_MAX_BYTES / (LARGE - BODY_FREE_BYTES));
        assert!(read(BODY_FREE_BYTES).await.is_ok(), "small ones pass");
        let copy = held[0].clone();
        held.remove(0);
        assert!(read(LARGE).await.is_err(), "a copy is still held");
        drop(copy);
        assert!(read(LARGE).await.is_ok());
    }
}
