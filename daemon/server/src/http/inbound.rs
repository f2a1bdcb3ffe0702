//! `POST /hooks/{path}`: a request of somebody who signs it; and the list of such paths.
//!
//! No cookie, token or origin counts here, only the signature. Whoever sends a wrong one is not told what is
//! wrong with it; the log tells the operator.

use std::collections::BTreeMap;

use alyx_core::identity::RequestFacts;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json as value};

use super::caller::{client_ip, meter, request_id, visible_headers};
use super::functions::{failure, success};
use super::{AdminCaller, Params, QueryPairs, json};
use crate::app::App;
use crate::clock;
use crate::config::Mode;
use crate::functions::InvokeError;
use crate::inbound::{Delivery, Outcome, Shown, Told, Wrong, check_size};
use crate::limits::INBOUND_BODY_MAX_BYTES;
use crate::problem::{ApiError, Code, problem};
use crate::throttle::Class;

/// `POST /hooks/{path}`: 202 once the function is owed, 200 for what came before; or what the function
/// answers.
pub async fn receive(
    State(app): State<App>,
    Params(path): Params<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let door = app.inbound.door(&path)?;
    let limit = INBOUND_BODY_MAX_BYTES.min(app.config.server.body_limit_bytes);
    let body = app.bodies.read(body, limit, app.config.server.body_timeout).await?;
    let now = Timestamp::now();
    let signed = match door.check(&parts.headers, &body, now) {
        Ok(signed) => signed,
        Err(wrong) => return Err(refuse(&app, &parts, &path, &wrong)),
    };
    let mut query = BTreeMap::new();
    for (name, value) in QueryPairs::parse(parts.uri.query().unwrap_or_default())?.0 {
        query.entry(name).or_insert(value);
    }
    let named = (path, signed.id.clone(), clock::text(now));
    let told = Told::new(named, (query, visible_headers(&parts.headers)), &body);
    check_size(&told)?;
    let facts = RequestFacts {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        ip: client_ip(&parts, &app).map(|ip| ip.to_string()).unwrap_or_default(),
        time: clock::text(now),
        request_id: request_id(&parts),
        ..RequestFacts::default()
    };
    let delivery = Delivery { signed, told, facts };
    Ok(match app.inbound.take(door, delivery, &app.tasks).await? {
        Outcome::Owed => received(StatusCode::ACCEPTED, false),
        Outcome::Repeated => received(StatusCode::OK, true),
        Outcome::Answered(Ok(answer)) => success(answer),
        Outcome::Answered(Err(error)) => failure(for_strangers(error, app.mode)),
    })
}

fn received(status: StatusCode, repeated: bool) -> Response {
    json(status, value!({ "repeated": repeated }).to_string()).into_response()
}

/// One answer for everything that is wrong. An address that is wrong too often fills no log.
fn refuse(app: &App, parts: &Parts, path: &str, wrong: &Wrong) -> ApiError {
    if let Some(address) = client_ip(parts, app)
        && let Err(error) = app.throttle.by_address(Class::Signature, address, &meter(parts))
    {
        return error;
    }
    let request_id = request_id(parts);
    tracing::warn!(inbound = path, request_id, "a request to /hooks/{path} was refused: {wrong}");
    ApiError::new(Code::InvalidSignature, "The signature is not that of a request made now.")
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature"))
}

/// Who sends deliveries did not write the function: a refusal of the function's own goes to it as it is, of
/// everything else the code alone.
fn for_strangers(error: InvokeError, mode: Mode) -> InvokeError {
    let ours = [Code::FunctionNotFound, Code::FunctionDenied];
    let own = (400..500).contains(&error.problem.status)
        && !ours.iter().any(|code| code.as_str() == error.problem.code);
    if own || mode == Mode::Development {
        return error;
    }
    let detail = "This could not be done; the log of the function has the reason.";
    let mut hidden = problem(Code::Internal, detail);
    hidden.status = error.problem.status;
    hidden.code.clone_from(&error.problem.code);
    InvokeError { problem: Box::new(hidden), ..error }
}

/// `GET /api/inbound`: 200 with all paths, in order of the schema, for administrators.
pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let all: Vec<Value> = app.inbound.list().into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, value!({ "inbound": all }).to_string()))
}

fn shown(shown: Shown) -> Value {
    let Shown { inbound, problem } = shown;
    value!({ "path": format!("/hooks/{}", inbound.path), "definition": inbound.to_json(), "problem": problem })
}

#[cfg(test)]
mod tests {
    use alyx_protocol::api::Problem;

    use super::for_strangers;
    use crate::config::Mode;
    use crate::functions::InvokeError;

    #[test]
    fn strangers_are_told_what_the_function_says_and_nothing_else() {
        let check = |status: u16, code: &str, shown: bool| {
            let mut problem = Problem::new(status, code, "canary: at index.js:7");
            problem.hint = Some("canary".to_owned());
            problem.details = Some(serde_json::json!({ "stack": "canary" }));
            let error = |mode| {
                let error = InvokeError::refused(problem.clone());
                *for_strangers(error, mode).problem
            };
            assert_eq!(error(Mode::Development), problem);
            let told = error(Mode::Production);
            assert_eq!((told.status, told.code.as_str()), (status, code));
            assert_eq!(serde_json::to_string(&told).unwrap().contains("canary"), shown, "{code}");
        };
        check(422, "not_for_us", true);
        check(404, "no_such_order", true);
        check(404, "function_not_found", false);
        check(403, "function_denied", false);
        check(500, "function_error", false);
        check(502, "function_crashed", false);
        check(504, "function_timeout", false);
        check(507, "function_out_of_memory", false);
    }
}
