//! `POST /api/functions/{name}`: the body is the input, the answer is what the handler returned.

use alyx_core::document::check_json;
use alyx_protocol::limits::JSON_DEPTH_MAX;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::value::RawValue;

use crate::app::App;
use crate::functions::{Answer, INPUT_MAX_BYTES, Invocation, InvokeError};
use crate::http::body;
use crate::http::{Caller, Params};
use crate::problem::{ApiError, Code};

const EXECUTION: HeaderName = HeaderName::from_static("x-alyx-execution");

/// Invokes a function.
pub async fn invoke(
    State(app): State<App>,
    caller: Caller,
    Params(function): Params<String>,
    request: Request,
) -> Response {
    let input = match input(&app, request).await {
        Ok(input) => input,
        Err(error) => return error.into_response(),
    };
    let call = Invocation {
        function,
        identity: caller.identity,
        facts: caller.facts,
        input,
        trigger: "http",
        request_id: caller.request_id,
        trace_id: caller.trace_id,
    };
    match app.functions.invoke(call).await {
        Ok(answer) => success(answer),
        Err(error) => failure(error),
    }
}

/// The input: JSON, or nothing.
async fn input(app: &App, request: Request) -> Result<Box<RawValue>, ApiError> {
    let is_json = body::is_json(request.headers());
    let limit = INPUT_MAX_BYTES.min(app.config.server.body_limit_bytes);
    let body = app.bodies.read(request.into_body(), limit, app.config.server.body_timeout).await?;
    if body.is_empty() {
        return Ok(RawValue::NULL.to_owned());
    }
    if !is_json {
        let detail = "The input must be JSON and declared as `Content-Type: application/json`, or empty.";
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    parse(&body)
}

fn parse(body: &Bytes) -> Result<Box<RawValue>, ApiError> {
    // As a whole and strictly, so that it is what every runtime can read and reads alike: a number that
    // Python cannot parse would end its worker.
    let invalid = |error: serde_json::Error| {
        ApiError::new(Code::InvalidJson, format!("The body is not valid JSON: {error}."))
    };
    check_json(body, JSON_DEPTH_MAX)?;
    serde_json::from_slice(body).map_err(invalid)
}

/// The answer of a function.
pub fn success(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = answer.headers;
    name_execution(&mut response, &answer.execution_id);
    response
}

/// That there is none.
pub fn failure(error: InvokeError) -> Response {
    let status = error.problem.status;
    let mut response = ApiError::from(*error.problem).into_response();
    if let Some(id) = error.execution_id {
        name_execution(&mut response, &id);
    }
    if status == 503 {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    response
}

fn name_execution(response: &mut Response, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(EXECUTION, id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::parse;

    #[test]
    fn inputs_are_json() {
        let check = |text: &str, valid: bool| {
            assert_eq!(parse(&Bytes::copy_from_slice(text.as_bytes())).is_ok(), valid, "{text:.20}");
        };
        check("{\"a\":1}", true);
        check(" null ", true);
        check("12345678901234567890123", true);
        check("{", false);
        check("{}{}", false);
        check("NaN", false);
        check(&"9".repeat(5_000), false);
        check("[1e999]", false);
        check("{\"a\":\"\\ud800\"}", false);
        check("{\"a\":1,\"a\":2}", false);
        check(&"[".repeat(1_000), false);
    }
}
