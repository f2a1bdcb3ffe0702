//! `POST /api/admin/rules/test`: runs a file of rule tests against the rules in force. A test that does
//! not pass is a result; a file that is wrong is a problem.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::{ApiError, Code, field_problem};
use crate::rules::run;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What messages call it.
    file: String,
    text: String,
}

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let File { file, text } = body.parse()?;
    match run(&app.catalog.load_full(), &file, &text).await? {
        Ok(results) => Ok(json(StatusCode::OK, results.to_string())),
        Err(problems) => {
            let errors = problems.into_iter().map(|problem| alyx_protocol::api::FieldProblem {
                field: format!("{}:{}:{}", problem.file, problem.position.line, problem.position.column),
                code: "invalid_test".to_owned(),
                message: match problem.hint {
                    Some(hint) => format!("{} {}; hint: {hint}", problem.path, problem.message),
                    None => format!("{} {}", problem.path, problem.message),
                },
            });
            let detail = "The file of rule tests is not valid.";
            Err(field_problem(Code::ValidationFailed, detail, errors.collect()).into())
        }
    }
}
