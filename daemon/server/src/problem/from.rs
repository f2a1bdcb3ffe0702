//! Errors of `core` and `store` as problems: the one place that maps them.

use alyx_core::document::{DocumentError, FieldError};
use alyx_core::query::QueryError;
use alyx_core::schema::Diagnostic;
use alyx_protocol::api::FieldProblem;
use alyx_store::Error;

use super::{ApiError, Code, field_problem, internal};

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::NotAnObject => Self::new(Code::InvalidJson, "The body must be a JSON object."),
            DocumentError::InvalidJson(detail) => {
                Self::new(Code::InvalidJson, format!("The body is not valid JSON: {detail}."))
            }
            DocumentError::Fields(errors) => invalid_fields(errors),
        }
    }
}

/// Wrong fields of a document.
pub fn invalid_fields(errors: Vec<FieldError>) -> ApiError {
    let detail = match errors.as_slice() {
        [error] => format!("The field {} is not accepted.", error.field),
        errors => format!("{} fields are not accepted.", errors.len()),
    };
    let errors = errors.into_iter().map(|error| FieldProblem {
        field: error.field,
        code: error.code.to_owned(),
        message: error.message,
    });
    field_problem(Code::ValidationFailed, detail, errors.collect()).into()
}

/// What is wrong with the definition of something that is made at run time.
pub fn invalid_definition(problems: Vec<Diagnostic>) -> ApiError {
    let detail = match problems.as_slice() {
        [problem] if problem.path.is_empty() => format!("This is not accepted: {}.", problem.message),
        [problem] => format!("{} is not accepted: {}.", problem.path, problem.message),
        all => format!("{} things are not accepted.", all.len()),
    };
    let errors = problems.into_iter().map(|problem| FieldProblem {
        field: problem.path,
        code: "invalid".to_owned(),
        message: match problem.hint {
            Some(hint) => format!("{}; {hint}", problem.message),
            None => problem.message,
        },
    });
    field_problem(Code::ValidationFailed, detail, errors.collect()).into()
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let code = if error.code == "invalid_cursor" { Code::InvalidCursor } else { Code::InvalidParameter };
        let mut letters = error.message.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        let detail = format!("{first}{}.", letters.as_str());
        let field = FieldProblem { field: error.param, code: error.code.to_owned(), message: error.message };
        field_problem(code, detail, vec![field]).into()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::UniqueViolation { fields } => {
                let detail = format!("Another document has the same {}.", fields.join(", "));
                let message = "Another document has this value.";
                field_problem(Code::UniqueViolation, detail, about(fields, "unique", message)).into()
            }
            Error::ForeignKey { fields } => {
                let message = "There is no document with this id.";
                let detail = "A relation names a document that does not exist.";
                field_problem(Code::ReferenceNotFound, detail, about(fields, "reference_not_found", message))
                    .into()
            }
            Error::Restricted { collection, field } => {
                let detail = format!("Documents of {collection} refer to it by {field}.");
                Self::new(Code::DocumentReferenced, detail)
            }
            Error::CascadeTooLarge { limit } => {
                let detail = format!("More than {limit} documents refer to it; delete some of them first.");
                Self::new(Code::DocumentReferenced, detail)
            }
            Error::ScanTooLarge { limit } => {
                let detail = format!(
                    "The rule of this list looks at each document, and more than {limit} would be needed; narrow the filter."
                );
                Self::new(Code::ScanTooLarge, detail)
            }
            Error::AnswerTooLarge { limit } => {
                let detail = format!(
                    "The answer would be larger than {limit} bytes; ask for fewer documents or relations."
                );
                Self::new(Code::AnswerTooLarge, detail)
            }
            Error::Stale => Self::new(Code::Conflict, "The document is being changed by others; try again."),
            Error::ChangesGone => Self::new(
                Code::ResyncRequired,
                "The change feed no longer reaches back to this place; read the documents again and go on from now.",
            ),
            Error::NotFound => Self::new(Code::DocumentNotFound, "There is no such document."),
            Error::DiskFull => Self::new(Code::DatabaseFull, "There is no space left for the database."),
            Error::ReadOnly => {
                Self::new(Code::DatabaseReadOnly, "The database cannot be written at the moment.")
            }
            Error::Io { .. } => {
                Self::new(Code::DatabaseFailing, "The disk of the database fails; nothing was written.")
            }
            Error::Replaced => Self::new(
                Code::DatabaseReplaced,
                "The database file was deleted or replaced; nothing can be written until the daemon is restarted.",
            ),
            Error::Corrupt { .. } => {
                tracing::error!(error = %error, "the database is damaged");
                Self::new(Code::DatabaseDamaged, "The database is damaged.")
            }
            Error::Busy | Error::Closed => Self::new(Code::DatabaseBusy, "The database is busy; try again."),
            Error::Interrupted => Self::new(Code::DeadlineExceeded, "The database did not answer in time."),
            Error::TransactionEnded => {
                let detail =
                    "The transaction is over; it took too long or was undone. Nothing of it remains.";
                Self::new(Code::TransactionEnded, detail)
            }
            other => internal("use the database", &other).into(),
        }
    }
}

fn about(fields: Vec<String>, code: &str, message: &str) -> Vec<FieldProblem> {
    let problem = |field| FieldProblem { field, code: code.to_owned(), message: message.to_owned() };
    fields.into_iter().map(problem).collect()
}

#[cfg(test)]
mod tests {
    use alyx_store::Error;

    use crate::problem::ApiError;

    #[test]
    fn store_errors_have_their_answers() {
        let check = |error: Error, status: u16, code: &str| {
            let error = ApiError::from(error);
            assert_eq!((error.problem().status, error.problem().code.as_str()), (status, code));
        };
        check(Error::UniqueViolation { fields: vec!["slug".to_owned()] }, 409, "unique_violation");
        check(Error::ForeignKey { fields: vec!["author".to_owned()] }, 422, "reference_not_found");
        check(Error::Stale, 409, "conflict");
        check(Error::NotFound, 404, "document_not_found");
        check(Error::DiskFull, 507, "database_full");
        check(Error::ReadOnly, 503, "database_read_only");
        check(Error::Busy, 503, "database_busy");
        check(Error::Interrupted, 504, "deadline_exceeded");
        check(Error::Corrupt { detail: "page 7".to_owned() }, 503, "database_damaged");
        check(Error::Io { detail: "page 7".to_owned() }, 503, "database_failing");
        check(Error::Replaced, 503, "database_replaced");
    }

    #[test]
    fn internal_texts_stay_inside() {
        let error = ApiError::from(Error::Corrupt { detail: "page 7".to_owned() });
        assert!(!serde_json::to_string(error.problem()).unwrap().contains("page 7"));
    }
}
