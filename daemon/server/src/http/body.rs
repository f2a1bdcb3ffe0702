//! Request bodies: typed, bounded in size and time, read whole.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::{ApiError, Code};

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
        read(request.into_body(), server.body_limit_bytes, server.body_timeout).await.map(Self)
    }
}

/// Reads a body of at most `limit_bytes` within `time`.
pub async fn read(mut body: Body, limit_bytes: usize, time: Duration) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(Code::BodyTooLarge, format!("The body may have {limit_bytes} bytes."));
    let declared = body.size_hint().lower();
    if declared > limit_bytes as u64 {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let broken = |_| ApiError::new(Code::InvalidRequest, "The body ended before its declared end.");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if data.len() > limit_bytes - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let late = |_| ApiError::new(Code::RequestTimeout, "The body did not arrive in time.");
    tokio::time::timeout(time, whole).await.map_err(late)?
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

    use super::{is_json, read};

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
            let found = read(Body::from(vec![b'x'; length]), 10, Duration::from_secs(5)).await;
            assert_eq!(found.is_ok(), accepted, "{length}");
        };
        check(0, true).await;
        check(9, true).await;
        check(10, true).await;
        check(11, false).await;
    }
}
