//! What the headers of a request say of how a document is written, and those of the answer: versions
//! (RFC 9110 §13), `Prefer` (RFC 7240) and `Idempotency-Key`.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Caller, json};
use crate::app::App;
use crate::documents::{Once, Precondition, Written, etag, is_among};
use crate::problem::{ApiError, Code};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The headers of a request about a document.
#[derive(Clone, Debug)]
pub struct Conditions(HeaderMap);

impl FromRequestParts<App> for Conditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        Ok(Self(parts.headers.clone()))
    }
}

impl Conditions {
    /// What must hold of the document.
    pub fn precondition(&self) -> Result<Precondition, ApiError> {
        let (if_match, if_none_match) = (self.list(&header::IF_MATCH)?, self.list(&header::IF_NONE_MATCH)?);
        Precondition::of(if_match.as_deref(), if_none_match.as_deref())
    }

    /// Whether the caller has this already (`If-None-Match`).
    pub fn has(&self, tag: &str) -> Result<bool, ApiError> {
        Ok(self.list(&header::IF_NONE_MATCH)?.is_some_and(|list| is_among(tag, &list)))
    }

    /// The key under which the request is done once.
    pub fn once(&self, caller: &Caller, body: &[u8]) -> Result<Option<Once>, ApiError> {
        let mut keys = self.0.get_all(&IDEMPOTENCY_KEY).iter();
        match (keys.next(), keys.next()) {
            (None, _) => Ok(None),
            (Some(key), None) => {
                Once::new(key.to_str().unwrap_or_default(), &caller.identity, &caller.facts, body).map(Some)
            }
            _ => Err(ApiError::new(Code::InvalidRequest, "Idempotency-Key may be given once.")),
        }
    }

    /// Whether the document is not wanted in the answer.
    fn prefers_minimal(&self) -> bool {
        let values = self.0.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|preference| {
            let preference = preference.split(';').next().unwrap_or_default();
            preference.trim().replace(['"', ' '], "").eq_ignore_ascii_case("return=minimal")
        })
    }

    fn list(&self, name: &HeaderName) -> Result<Option<String>, ApiError> {
        let mut values = Vec::new();
        for value in self.0.get_all(name) {
            let text = value.to_str().map_err(|_| {
                ApiError::new(Code::InvalidRequest, format!("{name} is not a list of entity tags."))
            })?;
            values.push(text);
        }
        Ok((!values.is_empty()).then(|| values.join(",")))
    }

    /// Answers with a document that was asked for, unless the caller has it.
    pub fn shown(&self, document: Vec<u8>) -> Result<Response, ApiError> {
        let tag = etag(&document);
        let mut response = match self.has(&tag)? {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => json(StatusCode::OK, document),
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    /// Answers with a document that was written.
    pub fn answer(&self, collection: &str, written: Written) -> Response {
        let status = StatusCode::from_u16(written.status).unwrap_or(StatusCode::OK);
        let tag = etag(&written.json);
        let minimal = self.prefers_minimal();
        let mut response = match (minimal, status) {
            (false, status) => json(status, written.json),
            (true, StatusCode::CREATED) => StatusCode::CREATED.into_response(),
            (true, _) => StatusCode::NO_CONTENT.into_response(),
        };
        let headers = response.headers_mut();
        if minimal {
            headers.insert("preference-applied", HeaderValue::from_static("return=minimal"));
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        if status == StatusCode::CREATED
            && let Ok(place) = HeaderValue::from_str(&location(collection, &written.id))
        {
            headers.insert(header::LOCATION, place);
        }
        response
    }
}

/// The path of a document. Ids of text may hold anything.
fn location(collection: &str, id: &str) -> String {
    use std::fmt::Write as _;
    let mut path = format!("/api/collections/{collection}/");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a string takes any text");
        }
    }
    path
}
