//! `alyx schema check`: runs the daemon's own offline check, so there is one judge of a schema.

use std::process::{Command, Stdio};

use crate::args::{Schema, SchemaCommand};
use crate::exit::{Exit, Failure};
use crate::locate;
use crate::print::Output;

pub async fn run(args: Schema, output: Output) -> Result<Exit, Failure> {
    let SchemaCommand::Check { file } = args.command;
    let file = if file.is_dir() { file.join("schema.yaml") } else { file };
    if !file.is_file() {
        return Err(Failure::new(format!("{} is not a file", file.display()))
            .hint("name the schema file, or run this in the project's folder"));
    }
    let mut command = Command::new(locate::program("alyxd")?);
    command.arg("check-schema").arg(&file).stdin(Stdio::null());
    if output == Output::Json {
        command.arg("--json");
    }
    let status = command.status().map_err(|error| Failure::new(format!("failed to run alyxd: {error}")))?;
    if !status.success() {
        return Err(Failure::silent(Exit::Failed));
    }
    Ok(Exit::Ok)
}
