//! Exit codes, and failures as a person sees them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | ok |
//! | 1 | failed |
//! | 2 | wrong usage |
//! | 3 | refused by a rule or for lack of rights |
//! | 4 | the daemon is not reachable |
//! | 5 | needs confirmation |
//!
//! A failure is printed as `error: …` and, where a way out is known, a blank line and `hint: …`.

use std::process::ExitCode;

use alyx_protocol::api::Problem;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Refused = 3,
    NotReachable = 4,
    NeedsConfirmation = 5,
}

impl Exit {
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// Further lines that belong to the message, such as one a wrong field.
    pub lines: Vec<String>,
    pub hint: Option<String>,
    /// The answer of the daemon, shown as it is with `--json`.
    pub problem: Option<Box<Problem>>,
    /// Nothing is left to say: the reader of our output went away, or a child has said it.
    pub silent: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
            lines: Vec::new(),
            hint: None,
            problem: None,
            silent: false,
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// Ends the program without another word.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, silent: true, ..Self::new("") }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the daemon refused, as a failure of this program.
    pub fn from_problem(problem: Problem) -> Self {
        let exit = match (problem.status, problem.code.as_str()) {
            (_, "needs_confirmation") => Exit::NeedsConfirmation,
            (401 | 403, _) => Exit::Refused,
            _ => Exit::Failed,
        };
        let lines = problem
            .errors
            .iter()
            .map(|error| format!("{}: {} ({})", error.field, error.message, error.code))
            .collect();
        Self {
            exit,
            message: format!("{} ({})", problem.detail, problem.code),
            lines,
            hint: problem.hint.clone(),
            problem: Some(Box::new(problem)),
            silent: false,
        }
    }
}

/// The innermost cause of an error: what the system said, without how we got there.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use alyx_protocol::api::Problem;

    use super::{Exit, Failure};

    #[test]
    fn problems_map_to_exit_codes() {
        let check = |status: u16, code: &str, exit: Exit| {
            assert_eq!(Failure::from_problem(Problem::new(status, code, "x")).exit, exit, "{code}");
        };
        check(401, "unauthenticated", Exit::Refused);
        check(403, "function_denied", Exit::Refused);
        check(404, "function_not_found", Exit::Failed);
        check(409, "needs_confirmation", Exit::NeedsConfirmation);
        check(500, "internal", Exit::Failed);
    }
}
