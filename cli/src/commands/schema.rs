//! `alyx schema check|json-schema`: runs the daemon's own offline commands, so there is one judge of a
//! schema.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::args::{Schema, SchemaCommand};
use crate::exit::{Exit, Failure};
use crate::locate;
use crate::print::Output;

pub async fn run(args: Schema, output: Output) -> Result<Exit, Failure> {
    let mut command = Command::new(locate::program("alyxd")?);
    match args.command {
        SchemaCommand::Check { file } => check(&mut command, &file, output)?,
        // The same with --json: it is JSON.
        SchemaCommand::JsonSchema => drop(command.arg("json-schema")),
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format!("failed to run alyxd: {error}")))?;
    if !status.success() {
        return Err(Failure::silent(Exit::Failed));
    }
    Ok(Exit::Ok)
}

fn check(command: &mut Command, file: &Path, output: Output) -> Result<(), Failure> {
    let file = if file.is_dir() { file.join("schema.yaml") } else { file.to_owned() };
    if !file.is_file() {
        return Err(Failure::new(format!("{} is not a file", file.display()))
            .hint("name the schema file, or run this in the project's folder"));
    }
    command.arg("check-schema").arg(&file);
    if output == Output::Json {
        command.arg("--json");
    }
    Ok(())
}
