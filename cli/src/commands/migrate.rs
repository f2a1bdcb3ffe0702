//! `alyx migrate plan|apply|rollback|create|status`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::cell;
use crate::args::{Migrate, MigrateCommand, Target};
use crate::client::{self, Client};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

/// What a new file holds: one example of every step, none of them in force.
const TEMPLATE: &str = "\
# Steps run in order, in one transaction with the change of the schema. See docs/migrations.md.
steps: []
#  - rename_collection: { from: posts, to: articles }
#  - rename_field: { collection: articles, from: name, to: title }
#  - change_type: { collection: articles, field: views, to: int, otherwise: set_null }
#  - backfill: { collection: articles, field: slug, sql: \"lower(title)\" }
#  - sql: { up: \"update articles set views = views + 1\", down: \"update articles set views = views - 1\" }
";

pub async fn run(args: Migrate, target: &Target, output: Output) -> Result<Exit, Failure> {
    match args.command {
        MigrateCommand::Create { name, dir } => return create(&dir, &name, output),
        MigrateCommand::Plan => {
            let plan = Client::new(target)?.get("/api/admin/migrations/plan").await?;
            show_plan(&plan, output, "what would be done:")?;
        }
        MigrateCommand::Apply { yes } => {
            let answer = send(target, "/api/admin/migrations/apply", yes).await?;
            show_plan(&answer, output, "what was done:")?;
        }
        MigrateCommand::Rollback { yes } => {
            let answer = send(target, "/api/admin/migrations/rollback", yes).await?;
            show_rollback(&answer, output)?;
        }
        MigrateCommand::Status => {
            let status = Client::new(target)?.get("/api/admin/migrations").await?;
            show_status(&status, output)?;
        }
    }
    Ok(Exit::Ok)
}

async fn send(target: &Target, path: &str, yes: bool) -> Result<Value, Failure> {
    let body = json!({ "confirm": yes }).to_string().into_bytes();
    let answer = Client::new(target)?.post(path, body).await.map_err(explain)?;
    client::json(answer).await
}

/// Adds what the daemon attached: the plan, or what is wrong with the files.
pub fn explain(mut failure: Failure) -> Failure {
    let details = failure.problem.as_ref().and_then(|problem| problem.details.clone()).unwrap_or_default();
    failure.lines.extend(lines(&details));
    if let Some(reason) = details.get("reason").and_then(Value::as_str) {
        failure.lines.push(reason.to_owned());
    }
    if let Some(lost) = details.get("writes_lost").and_then(Value::as_u64) {
        failure.lines.push(format!("back to {}; {lost} writes since would be lost", cell(&details, "from")));
    }
    if failure.exit == Exit::NeedsConfirmation {
        return failure.hint("add --yes to do it; a copy of the database is made before");
    }
    failure
}

/// The changes or problems of an answer, one line each.
pub fn lines(answer: &Value) -> Vec<String> {
    let list = |member: &str| answer.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let change = |change: &Value| match change {
        Value::String(text) => text.clone(),
        change => {
            let documents = change["documents"].as_u64().filter(|number| *number > 0);
            let documents = documents.map_or(String::new(), |number| format!(" ({number} documents)"));
            format!("{}: {}{documents}", cell(change, "class"), cell(change, "description"))
        }
    };
    let lists = ["changes", "waiting", "problems"].map(list);
    lists.iter().flatten().map(change).collect()
}

fn show_plan(plan: &Value, output: Output, heading: &str) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(plan);
    }
    let changes = lines(plan);
    if changes.is_empty() {
        print::note("nothing to do: the database has the project's schema");
        return Ok(());
    }
    print::note(heading);
    for line in changes {
        print::line(&print::plain(&line))?;
    }
    show_backup(plan)
}

fn show_backup(answer: &Value) -> Result<(), Failure> {
    match answer.get("backup").and_then(Value::as_str) {
        Some(backup) => print::line(&format!("copy made before: {backup}")),
        None => Ok(()),
    }
}

fn show_rollback(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    match cell(answer, "method").as_str() {
        "backup" => {
            let lost = cell(answer, "writes_lost");
            print::line(&format!(
                "taken back by the copy {}; {lost} writes since are gone",
                cell(answer, "from")
            ))?;
        }
        _ => {
            print::line("taken back by steps; no write since is lost")?;
            for line in lines(answer) {
                print::line(&print::plain(&line))?;
            }
        }
    }
    show_backup(answer)?;
    print::note("put schema.yaml back as well, or its safe changes are applied again at the next start");
    Ok(())
}

fn show_status(status: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(status);
    }
    let empty = Vec::new();
    let list = |member: &str| status.get(member).and_then(Value::as_array).unwrap_or(&empty);
    let mut rows: Vec<Vec<String>> = list("migrations")
        .iter()
        .map(|row| ["name", "state", "at"].map(|column| cell(row, column)).to_vec())
        .collect();
    rows.extend(
        list("pending")
            .iter()
            .filter_map(Value::as_str)
            .map(|name| vec![name.to_owned(), "pending".to_owned(), String::new()]),
    );
    if rows.is_empty() {
        print::note("no migration files");
    } else {
        print::table(&["MIGRATION", "STATE", "AT"], &rows)?;
    }
    for (member, word) in [("problems", "problem"), ("drift", "changed by others")] {
        for text in list(member).iter().filter_map(Value::as_str) {
            print::line(&print::plain(&format!("{word}: {text}")))?;
        }
    }
    for line in lines(&json!({ "changes": list("waiting") })) {
        print::line(&print::plain(&format!("waits: {line}")))?;
    }
    if let Some(last) = status.get("last").filter(|last| last.is_object()) {
        print::line(&format!("last change {}, taken back by {}", cell(last, "at"), cell(last, "rollback")))?;
    }
    Ok(())
}

fn create(dir: &Path, name: &str, output: Output) -> Result<Exit, Failure> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(fits) {
        return Err(Failure::usage(format!("{name:?} cannot be part of a file's name"))
            .hint("use a-z, 0-9, _ and -, such as split_names"));
    }
    if !dir.join("schema.yaml").is_file() {
        return Err(Failure::new(format!("{} has no schema.yaml", dir.display()))
            .hint("run this in the project's folder, or name it with --dir"));
    }
    let folder = dir.join("migrations");
    let failed =
        |error: std::io::Error| Failure::new(format!("failed to write to {}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    let numbers = fs::read_dir(&folder).map_err(failed)?.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.split_once('_')?.0.parse::<u64>().ok()
    });
    let number = numbers.max().unwrap_or(0) + 1;
    let path = folder.join(format!("{number:04}_{name}.yaml"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(failed)?;
    match output {
        Output::Json => print::json(&json!({ "path": path }))?,
        Output::Text => print::line(&path.display().to_string())?,
    }
    Ok(Exit::Ok)
}
