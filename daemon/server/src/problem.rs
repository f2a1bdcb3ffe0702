//! Every error answer: codes, their statuses, and how errors of the layers below become problems.
//!
//! An internal error's text never reaches a client. It is logged here, once, and the client gets the
//! code `internal` with the request id to quote.

mod codes;
mod from;

use alyx_protocol::api::{FieldProblem, Problem};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

pub use codes::Code;
pub use from::{invalid_definition, invalid_fields};

/// An error answer on its way to the client.
///
/// The body is written by the outermost layer of the router, which knows the request id.
#[derive(Clone, Debug)]
pub struct ApiError {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem with a code from the list.
pub fn problem(code: Code, detail: impl Into<String>) -> Problem {
    Problem::new(code.status(), code.as_str(), detail)
}

/// A problem whose body has wrong fields.
pub fn field_problem(code: Code, detail: impl Into<String>, errors: Vec<FieldProblem>) -> Problem {
    Problem { errors, ..problem(code, detail) }
}

/// Logs an unexpected failure and gives the problem that tells a client nothing about it.
pub fn internal(doing: &str, error: &dyn std::error::Error) -> Problem {
    let chain = error_chain(error);
    tracing::error!(error = %chain, "failed to {doing}: {chain}");
    problem(Code::Internal, "The server failed to do this. Quote the request id when you report it.")
}

/// An error and its causes in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl ApiError {
    /// An error with a code from the list.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        problem(code, detail).into()
    }

    /// The same error with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.problem.code
    }

    /// The same error with a member `details`.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.problem.details = Some(details);
        self
    }

    /// The problem alone, for callers that do not speak HTTP.
    pub fn into_problem(self) -> Problem {
        *self.problem
    }

    /// Whether it has this code.
    pub fn is(&self, code: Code) -> bool {
        self.problem.code == code.as_str()
    }

    /// Whether it says that this field is wrong.
    pub fn names(&self, field: &str) -> bool {
        self.problem.errors.iter().any(|error| error.field == field)
    }

    /// The problem.
    #[cfg(test)]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same error that asks the client to wait.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let status = problem.status;
        let error = Self { problem: Box::new(problem), headers: Vec::new() };
        match status {
            401 => error.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            503 => error.retry_after(1),
            _ => error,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(PendingProblem(self.problem));
        response
    }
}

/// A problem that waits for its request id in the extensions of a response.
#[derive(Clone, Debug)]
pub struct PendingProblem(pub Box<Problem>);
