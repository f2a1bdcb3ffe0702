//! A project's migration files, and which of them are still to be applied.

use std::fs;
use std::io;
use std::path::Path;

use alyx_core::migration::{MigrationFile, file_number, parse_migration};
use alyx_core::schema::{Diagnostic, Position};
use alyx_store::{MigrationRecord, MigrationState};
use aws_lc_rs::digest::{SHA256, digest};

/// Name of the folder in a project.
pub const FOLDER: &str = "migrations";

/// A migration file and where it lies.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: String,
    pub file: MigrationFile,
}

/// Every migration file, by number.
pub fn load(project: &Path, problems: &mut Vec<Diagnostic>) -> Vec<Found> {
    let folder = project.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(problem(&folder.display().to_string(), format!("cannot be read: {error}"), ""));
            return Vec::new();
        }
    };
    let mut found: Vec<Found> = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if name.starts_with('.') || !(name.ends_with(".yaml") || name.ends_with(".yml")) {
            continue;
        }
        found.extend(read(&path, &name, problems));
    }
    found.sort_by(|a, b| (a.file.number, &a.file.name).cmp(&(b.file.number, &b.file.name)));
    for pair in found.windows(2) {
        if pair[0].file.number == pair[1].file.number {
            let message = format!("has the number of {}", pair[0].file.name);
            problems.push(problem(&pair[1].path, message, "give it the next free number"));
        }
    }
    found
}

fn read(path: &Path, name: &str, problems: &mut Vec<Diagnostic>) -> Option<Found> {
    let shown = path.display().to_string();
    let Some(number) = file_number(name) else {
        let hint =
            "name it NNNN_name.yaml, such as 0002_titles.yaml: a number from 1, then a-z, 0-9, _ and -";
        problems.push(problem(&shown, "the name of a migration file is not valid".to_owned(), hint));
        return None;
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(problem(&shown, format!("cannot be read: {error}"), ""));
            return None;
        }
    };
    match parse_migration(&shown, &text) {
        Ok(steps) => {
            let name = name.trim_end_matches(".yaml").to_owned();
            let checksum = checksum(&text);
            Some(Found {
                path: shown,
                file: MigrationFile { number, name, text, checksum, taken_back: false, steps },
            })
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

fn checksum(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files that are still to be applied, in order; one without steps is not. A database that is made now
/// needs none, but remembers them all.
///
/// # Errors
/// A file that was changed after it was applied, or comes before one that is applied.
pub fn pending(
    files: &[Found],
    records: &[MigrationRecord],
    fresh: bool,
) -> Result<Vec<MigrationFile>, Vec<Diagnostic>> {
    if fresh {
        let says_something = |found: &&Found| !found.file.steps.is_empty();
        return Ok(files.iter().filter(says_something).map(|found| found.file.clone()).collect());
    }
    let mut problems = Vec::new();
    let mut pending = Vec::new();
    let done = |record: &&MigrationRecord| record.state != MigrationState::TakenBack;
    let last = records.iter().filter(done).map(|record| record.number).max().unwrap_or(0);
    for found in files {
        let file = &found.file;
        match records.iter().find(|record| record.number == file.number) {
            Some(record) if record.state == MigrationState::TakenBack => {
                pending.push(MigrationFile { taken_back: record.checksum == file.checksum, ..file.clone() });
            }
            Some(record) if record.checksum != file.checksum => {
                let message = format!("was changed after it was applied at {}", record.at);
                let hint = "put it back as it was, and write what is to be different into a new file";
                problems.push(problem(&found.path, message, hint));
            }
            Some(_) => {}
            None if file.number < last => {
                let message = format!("comes before {last}, which is applied already");
                problems.push(problem(&found.path, message, "give it the next free number"));
            }
            // It was begun and is still being written.
            None if file.steps.is_empty() => {}
            None => pending.push(file.clone()),
        }
    }
    if problems.is_empty() { Ok(pending) } else { Err(problems) }
}

fn problem(file: &str, message: String, hint: &str) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        position: Position { line: 1, column: 1 },
        path: String::new(),
        message,
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
    }
}
