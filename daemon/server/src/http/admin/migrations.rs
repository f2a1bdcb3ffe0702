//! `/api/admin/migrations…`: changes of the schema, for administrators.

pub mod apply;
pub mod plan;
pub mod rollback;
pub mod status;

use serde::Deserialize;
use serde_json::json;

use crate::catalog::MigrateError;
use crate::problem::{ApiError, Code, problem};

/// Body of apply and rollback.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// Data may be lost.
    #[serde(default)]
    confirm: bool,
}

impl From<MigrateError> for ApiError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Invalid(diagnostics) => {
                let list: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                let mut problem = problem(
                    Code::SchemaInvalid,
                    format!("The project has {}.", crate::cli::count(list.len(), "problem")),
                );
                problem.details = Some(json!({ "problems": list }));
                problem.into()
            }
            MigrateError::NeedsConfirmation(plan) => {
                let mut problem =
                    problem(Code::NeedsConfirmation, "Data may be lost or refused. Nothing was changed.")
                        .with_hint("look at the changes, then send it again with confirm: true");
                problem.details = Some(plan);
                problem.into()
            }
            MigrateError::Impossible(plan) => {
                let mut problem =
                    problem(Code::MigrationImpossible, "A change is impossible. Nothing was changed.");
                problem.details = Some(plan);
                problem.into()
            }
            MigrateError::Nothing => Self::new(
                Code::NothingToRollBack,
                "No change of the schema is recorded that could be taken back.",
            ),
            MigrateError::Store(error) => error.into(),
        }
    }
}
