//! `alyxd check-schema`: every problem of a schema, for people or as JSON.

use std::path::Path;
use std::process::ExitCode;

use alyx_core::schema::Diagnostic;
use serde_json::json;

use crate::catalog::load_file;
use crate::cli::count;
use crate::print;

/// Checks a schema file and the functions beside it.
pub fn schema(file: &Path, as_json: bool) -> ExitCode {
    let problems = load_file(file).err().unwrap_or_default();
    if as_json {
        print::data(&json!({ "problems": problems.iter().map(to_json).collect::<Vec<_>>() }).to_string());
    } else {
        for problem in &problems {
            print::words(&format!("error: {problem}"));
        }
        print::words(&match problems.len() {
            0 => format!("{} is fine.", file.display()),
            number => format!("\n{} in {}", count(number, "problem"), file.display()),
        });
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn to_json(problem: &Diagnostic) -> serde_json::Value {
    json!({
        "file": problem.file,
        "line": problem.position.line,
        "column": problem.position.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    })
}
