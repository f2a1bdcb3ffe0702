//! What a function is told of a delivery. The body is there as it came, byte by byte, because whoever checks
//! more than we do must see what was signed.

use std::collections::BTreeMap;

use alyx_core::document::check_json;
use alyx_protocol::limits::JSON_DEPTH_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// What came, as it is kept until the function has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The path behind `/hooks/`.
    path: String,
    /// The id that its sender gave it.
    delivery: Option<String>,
    /// When it came. RFC 3339.
    at: String,
    query: BTreeMap<String, String>,
    /// By name in lower case, without credentials.
    headers: BTreeMap<String, String>,
    body: Body,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    /// The text that it is.
    Text(String),
    /// What is no UTF-8.
    Base64(String),
}

/// The input of the function.
#[derive(Serialize)]
struct Input<'a> {
    inbound: &'a str,
    delivery: Option<&'a str>,
    at: &'a str,
    query: &'a BTreeMap<String, String>,
    headers: &'a BTreeMap<String, String>,
    body: Option<&'a str>,
    body_base64: Option<&'a str>,
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
}

impl Told {
    /// A delivery that came at `at` to a path.
    pub fn new(
        (path, delivery, at): (String, Option<String>, String),
        (query, headers): (BTreeMap<String, String>, BTreeMap<String, String>),
        body: &[u8],
    ) -> Self {
        let body = match str::from_utf8(body) {
            Ok(text) => Body::Text(text.to_owned()),
            Err(_) => Body::Base64(STANDARD.encode(body)),
        };
        Self { path, delivery, at, query, headers, body }
    }

    /// What the function gets: for an attempt at a job, or for somebody who waits.
    pub fn input(&self, job: Option<(&str, u32)>) -> Result<Box<RawValue>, serde_json::Error> {
        let (body, body_base64) = match &self.body {
            Body::Text(text) => (Some(text.as_str()), None),
            Body::Base64(text) => (None, Some(text.as_str())),
        };
        // Strictly, so that every runtime reads the same. It stands one level deeper than it came, and our own
        // readers stop before the last one.
        let json = body.filter(|text| check_json(text.as_bytes(), JSON_DEPTH_MAX - 2).is_ok());
        let json: Option<&RawValue> = json.map(serde_json::from_str).transpose()?;
        to_raw_value(&Input {
            inbound: &self.path,
            delivery: self.delivery.as_deref(),
            at: &self.at,
            query: &self.query,
            headers: &self.headers,
            body,
            body_base64,
            json,
            job: job.map(|(id, _)| id),
            attempt: job.map(|(_, attempt)| attempt),
        })
    }

    /// Size of the input. Unit: bytes.
    pub fn input_bytes(&self) -> usize {
        self.input(Some(("", u32::MAX))).map_or(usize::MAX, |input| input.get().len() + 64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::Told;

    fn input(body: &[u8]) -> Value {
        let named = ("shop/one".to_owned(), Some("d1".to_owned()), "2026-01-02T03:04:05Z".to_owned());
        let query = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let told = Told::new(named, (query, BTreeMap::new()), body);
        let kept: Told = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
        assert_eq!(kept, told);
        let text = kept.input(Some(("j", 2))).unwrap();
        assert!(text.get().len() <= told.input_bytes());
        assert!(!told.input(None).unwrap().get().contains("attempt"));
        serde_json::from_str(text.get()).unwrap()
    }

    #[test]
    fn bodies_are_told_as_they_came() {
        let check = |body: &[u8], json: Value| {
            let told = input(body);
            let bytes = match (&told["body"], &told["body_base64"]) {
                (Value::String(text), Value::Null) => text.clone().into_bytes(),
                (Value::Null, Value::String(text)) => STANDARD.decode(text).unwrap(),
                both => panic!("{both:?}"),
            };
            assert_eq!(bytes, body);
            assert_eq!(told["json"], json, "{told}");
        };
        check(b"", Value::Null);
        check(b" {\"b\":1, \"a\":[2.50]}\r\n", json!({ "a": [2.5], "b": 1 }));
        check("\u{feff}{}".as_bytes(), Value::Null);
        check(b"payload=%7B%7D", Value::Null);
        check("null \0 \u{1}\u{10ffff}\u{2028}\"\\".as_bytes(), Value::Null);
        check(b"\xff\x00\xfe", Value::Null);
        // What readers read differently is none.
        check(b"{\"a\":1,\"a\":2}", Value::Null);
        check(b"[1e999]", Value::Null);
        check(&b"[".repeat(100_000), Value::Null);
        let deep = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(input(&deep(126))["json"].is_array());
        assert!(input(&deep(127))["json"].is_null());
    }

    #[test]
    fn the_rest_is_there_as_well() {
        let told = input(b"{}");
        let mut members: Vec<&String> = told.as_object().unwrap().keys().collect();
        members.sort();
        let expected = [
            "at",
            "attempt",
            "body",
            "body_base64",
            "delivery",
            "headers",
            "inbound",
            "job",
            "json",
            "query",
        ];
        assert_eq!(members, expected);
        assert_eq!((&told["inbound"], &told["delivery"]), (&json!("shop/one"), &json!("d1")));
        assert_eq!(
            (&told["job"], &told["attempt"], &told["query"]["a"]),
            (&json!("j"), &json!(2), &json!("b"))
        );
    }
}
