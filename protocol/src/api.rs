//! Shapes of the HTTP API that both the daemon and its clients in this tree use.

use serde::{Deserialize, Serialize};

/// An RFC 9457 problem document, the body of every error answer (`application/problem+json`).
///
/// `code` is stable `snake_case` and the field to branch on; `docs/errors.md` lists all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://alyx.dev/problems/<code>` shaped as a URI reference: `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason phrase of the status.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// One sentence for people.
    pub detail: String,
    /// Stable code.
    pub code: String,
    /// What to do about it, if we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Field errors, in the order of the schema; empty for other problems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// What a function attached to its error, or what ended it (`limit`, `cause`, `value`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    /// Id of the request, as in the `X-Request-Id` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One wrong field of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Name of the field.
    pub field: String,
    /// Stable code, such as `required` or `too_long`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
}

impl Problem {
    /// A problem with the standard members filled in.
    #[must_use]
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: reason(status).to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            ..Self::default()
        }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Reason phrases of the statuses we use. Source: RFC 9110 §15, RFC 4918 §11.5.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Error",
    }
}
