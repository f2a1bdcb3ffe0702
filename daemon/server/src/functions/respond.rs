//! What a function returned, as an HTTP answer.
//!
//! Refused are headers that would let a function speak for the connection or for the API's origin:
//! hop-by-hop headers (RFC 9110 §7.6.1), `content-length`, `date`, `set-cookie`, and our own
//! `x-alyx-*` and `x-request-id`.

use alyx_protocol::limits::RESPONSE_HEADERS_MAX;
use alyx_protocol::worker::{Done, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::ending::Ending;

const REFUSED: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Status, headers and body of an answer.
#[derive(Debug, PartialEq)]
pub struct Reply {
    /// 200..=599.
    pub status: u16,
    /// Checked.
    pub headers: HeaderMap,
    /// Empty for no body.
    pub body: Bytes,
}

/// Turns the answer of a handler into an HTTP answer.
pub fn reply(done: Done, output_max_bytes: u64) -> Result<Reply, Ending> {
    let reply = match (done.value, done.response) {
        (Some(_), Some(_)) => return Err(bad("it has both a value and a response")),
        (None, None) => Reply { status: 204, headers: HeaderMap::new(), body: Bytes::new() },
        (Some(value), None) => {
            let text: Box<str> = value.into();
            let json = HeaderValue::from_static("application/json");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
            Reply { status: 200, headers, body: Bytes::from(text.into_boxed_bytes()) }
        }
        (None, Some(response)) => built(response)?,
    };
    let size_bytes = reply.body.len() as u64;
    if size_bytes > output_max_bytes {
        return Err(Ending::OutputTooLarge { size_bytes });
    }
    Ok(reply)
}

fn built(response: Response) -> Result<Reply, Ending> {
    if !(200..=599).contains(&response.status) {
        return Err(bad(format!("status {} is not within 200..=599", response.status)));
    }
    if response.headers.len() > RESPONSE_HEADERS_MAX {
        return Err(bad(format!("it has more than {RESPONSE_HEADERS_MAX} headers")));
    }
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for (name, value) in &response.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad(format!("{name:.80?} is not a header name")))?;
        if REFUSED.contains(&parsed.as_str()) || parsed.as_str().starts_with("x-alyx-") {
            return Err(bad(format!("a function cannot set the header {parsed}")));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| bad(format!("the value of the header {parsed} is not legal")))?;
        headers.append(parsed, value);
    }
    let body = match (response.body, response.body_base64) {
        (Some(_), Some(_)) => return Err(bad("it has two bodies")),
        (None, None) => Bytes::new(),
        (Some(text), None) => {
            default_type(&mut headers, "text/plain; charset=utf-8");
            Bytes::from(text)
        }
        (None, Some(text)) => {
            default_type(&mut headers, "application/octet-stream");
            Bytes::from(STANDARD.decode(text).map_err(|_| bad("its body is not base64"))?)
        }
    };
    if matches!(response.status, 204 | 304) && !body.is_empty() {
        return Err(bad(format!("an answer with status {} has no body", response.status)));
    }
    Ok(Reply { status: response.status, headers, body })
}

fn default_type(headers: &mut HeaderMap, value: &'static str) {
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(value));
}

fn bad(detail: impl Into<String>) -> Ending {
    Ending::BadResponse { detail: format!("{}.", detail.into()) }
}

#[cfg(test)]
mod tests {
    use alyx_protocol::worker::Done;

    use super::reply;

    fn done(text: &str) -> Done {
        serde_json::from_str(&format!("{{\"invocation\":1{text}}}")).unwrap()
    }

    #[test]
    fn answers_of_handlers() {
        let check = |text: &str, expected: Option<(u16, &str)>| {
            let found = reply(done(text), 10).ok();
            let found = found.as_ref().map(|reply| (reply.status, str::from_utf8(&reply.body).unwrap()));
            assert_eq!(found, expected, "{text}");
        };
        check("", Some((204, "")));
        check(r#","value":{"a":1}"#, Some((200, r#"{"a":1}"#)));
        check(r#","value":"12345678""#, Some((200, r#""12345678""#)));
        check(r#","value":"123456789""#, None);
        check(r#","response":{"status":201,"headers":{},"body":"hi"}"#, Some((201, "hi")));
        check(r#","response":{"status":200,"headers":{},"body_base64":"aGk="}"#, Some((200, "hi")));
        check(r#","response":{"status":200,"headers":{},"body_base64":"?"}"#, None);
        check(r#","response":{"status":200,"headers":{},"body":"a","body_base64":"aGk="}"#, None);
        check(r#","value":1,"response":{"status":200,"headers":{}}"#, None);
        check(r#","response":{"status":204,"headers":{},"body":"x"}"#, None);
        check(r#","response":{"status":199,"headers":{}}"#, None);
        check(r#","response":{"status":101,"headers":{}}"#, None);
        check(r#","response":{"status":600,"headers":{}}"#, None);
        check(r#","response":{"status":599,"headers":{}}"#, Some((599, "")));
    }

    #[test]
    fn headers_are_checked() {
        let check = |name: &str, value: &str, valid: bool| {
            let headers = serde_json::json!({ name: value });
            let text = format!(r#","response":{{"status":200,"headers":{headers}}}"#);
            assert_eq!(reply(done(&text), 10).is_ok(), valid, "{name}: {value}");
        };
        check("x-colour", "blue", true);
        check("Location", "/x", true);
        check("x-colour", "blue\r\nset-cookie: a=b", false);
        check("x colour", "blue", false);
        check("", "", false);
        check("Transfer-Encoding", "chunked", false);
        check("content-length", "3", false);
        check("Set-Cookie", "a=b", false);
        check("X-Alyx-Execution", "1", false);
        check("x-request-id", "1", false);
    }
}
