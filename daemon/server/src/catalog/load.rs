//! Reads a project's schema: `schema.yaml` and `functions/<name>/function.yaml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, Found};
use alyx_core::catalog::Catalog;
use alyx_core::rules::{Rule, Scope};
use alyx_core::schema::{Diagnostic, FunctionConfig, Position, Schema, parse, parse_function};

/// Name of the schema's file in a project.
pub const SCHEMA_FILE: &str = "schema.yaml";

/// Name of a function's own file, beside its code.
pub const FUNCTION_FILE: &str = "function.yaml";

/// A schema whose rules compile, and the text the database keeps of it.
#[derive(Debug)]
pub struct Loaded {
    pub text: String,
    pub catalog: Catalog,
    /// Migration files, by number.
    pub files: Vec<Found>,
}

/// Reads and compiles everything.
///
/// # Errors
/// Everything that is wrong in all files.
pub fn load(project: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load_files(&project.join(SCHEMA_FILE), project)
}

/// The same for a schema file of any name, with the functions beside it.
pub fn load_file(file: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load_files(file, file.parent().unwrap_or(Path::new(".")))
}

fn load_files(file: &Path, project: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| vec![unreadable(&name, &error)])?;
    let (mut problems, mut own) = (Vec::new(), Vec::new());
    let mut schema = take(parse(&name, &text), &mut problems);
    match function_files(project) {
        Err((path, error)) => problems.push(unreadable(&path.display().to_string(), &error)),
        Ok(found) => {
            own.extend(
                found.iter().filter_map(|(function, path)| read_function(function, path, &mut problems)),
            );
        }
    }
    for (path, config) in own {
        // Here, because the catalog would name the schema's file.
        if let Some(diagnostic) = wrong_rule(schema.as_ref(), &config) {
            problems.push(Diagnostic { file: path, ..diagnostic });
        } else if let Some(schema) = &mut schema {
            add(schema, path, config, &name, &mut problems);
        }
    }
    let files = files::load(project, &mut problems);
    let Some(schema) = schema.filter(|_| problems.is_empty()) else { return Err(problems) };
    let catalog = Catalog::build(&name, schema)?;
    Ok(Loaded { text, catalog, files })
}

/// What is wrong with a function's rule. Lookups cannot be judged while the schema has problems.
fn wrong_rule(schema: Option<&Schema>, config: &FunctionConfig) -> Option<Diagnostic> {
    let rule = config.rules.invoke.as_ref()?;
    match schema {
        Some(schema) => Rule::compile_in(schema, rule, Scope::Invoke).err(),
        None if rule.text.contains("collection(") => None,
        None => Rule::compile(rule, Scope::Invoke).err(),
    }
}

fn read_function(
    name: &str,
    path: &Path,
    problems: &mut Vec<Diagnostic>,
) -> Option<(String, FunctionConfig)> {
    let file = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(unreadable(&file, &error));
            return None;
        }
    };
    let config = take(parse_function(&file, name, &text), problems)?;
    Some((file, config))
}

fn add(
    schema: &mut Schema,
    file: String,
    config: FunctionConfig,
    other: &str,
    problems: &mut Vec<Diagnostic>,
) {
    let name = config.name.clone();
    if schema.functions.contains_key(&name) {
        problems.push(Diagnostic {
            file,
            position: Position { line: 1, column: 1 },
            path: String::new(),
            message: format!("the function {name} is declared in {other} as well"),
            hint: Some("keep one of the two".to_owned()),
        });
    } else {
        schema.functions.insert(name, Arc::new(config));
    }
}

fn take<T>(parsed: Result<T, Vec<Diagnostic>>, problems: &mut Vec<Diagnostic>) -> Option<T> {
    parsed.map_err(|found| problems.extend(found)).ok()
}

/// Functions with a file of their own, by name. A directory without one belongs to a function that
/// is declared in the schema's file, or to nothing.
fn function_files(project: &Path) -> Result<Vec<(String, PathBuf)>, (PathBuf, io::Error)> {
    let directory = project.join("functions");
    let failed = |error| (directory.clone(), error);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path().join(FUNCTION_FILE);
        if let (true, Ok(name)) = (path.is_file(), entry.file_name().into_string()) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

fn unreadable(file: &str, error: &io::Error) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        position: Position { line: 1, column: 1 },
        path: String::new(),
        message: format!("cannot be read: {error}"),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::load;

    fn write(directory: &Path, file: &str, text: &str) {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn functions_may_have_their_own_file() {
        let project = tempfile::tempdir().unwrap();
        write(project.path(), "schema.yaml", "version: 1\nfunctions: { one: { runtime: node } }\n");
        write(project.path(), "functions/two/function.yaml", "runtime: python\n");
        write(project.path(), "functions/one/index.js", "");
        let loaded = load(project.path()).unwrap();
        assert!(loaded.catalog.schema.functions.keys().eq(["one", "two"]));
    }

    #[test]
    fn every_file_reports_its_problems() {
        let project = tempfile::tempdir().unwrap();
        write(
            project.path(),
            "schema.yaml",
            "version: 1\ncollections: { a: { fields: { x: { type: strng } } } }\n",
        );
        write(project.path(), "functions/one/function.yaml", "runtime: cobol\n");
        write(
            project.path(),
            "functions/two/function.yaml",
            "runtime: node\nrules: { invoke: 'auth.id ==' }\n",
        );
        let problems = load(project.path()).unwrap_err();
        for file in ["schema.yaml", "functions/one/function.yaml", "functions/two/function.yaml"] {
            assert!(problems.iter().any(|problem| problem.file.ends_with(file)), "{file} {problems:#?}");
        }
    }

    #[test]
    fn a_function_is_declared_once() {
        let project = tempfile::tempdir().unwrap();
        write(project.path(), "schema.yaml", "version: 1\nfunctions: { one: { runtime: node } }\n");
        write(project.path(), "functions/one/function.yaml", "runtime: node\n");
        assert!(load(project.path()).unwrap_err()[0].message.contains("as well"));
    }

    #[test]
    fn a_missing_schema_is_a_problem() {
        let project = tempfile::tempdir().unwrap();
        assert!(load(project.path()).unwrap_err()[0].message.starts_with("cannot be read"));
    }
}
