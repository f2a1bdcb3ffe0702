//! Flags and subcommands. Exit codes: 0 ok, 1 failed, 2 wrong usage.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::backups::{Moment, Target};
use crate::config::{Config, Mode, Overrides, Source, load};
use crate::mail;
use crate::manual;
use crate::problem::error_chain;
use crate::{check, print, process, restore, serve};

/// The API daemon of Alyx.
#[derive(Debug, Parser)]
#[command(name = "alyxd", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a project.
    Serve(Serve),
    /// Check a configuration and report every problem in it.
    CheckConfig {
        /// File to check; default: alyx.yaml in the working directory, if there is one.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a schema and report every problem in it.
    CheckSchema {
        /// File to check; functions/*/function.yaml beside it are checked as well.
        file: PathBuf,
        /// Problems as JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of schema.yaml, for editors.
    JsonSchema,
    /// Examine a backup, or everything in a directory or bucket of backups.
    Verify {
        /// The backup, a file that ends with .db, or a directory; default: where the configuration keeps them.
        file: Option<PathBuf>,
        #[command(flatten)]
        places: Places,
    },
    /// Make a backup, or a moment after one, the database; the daemon must not run.
    Restore(Restore),
    /// Write the pages of the manual.
    #[command(hide = true)]
    Man {
        /// Directory to write them to.
        directory: PathBuf,
    },
    /// Run a compiler within bounds; how the daemon builds functions.
    #[command(hide = true)]
    Build(Build),
}

#[derive(Debug, Args)]
struct Build {
    /// Program to become.
    program: OsString,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
struct Restore {
    /// The backup, a file that ends with .db.
    #[arg(conflicts_with_all = ["from", "at", "seq", "backup"])]
    file: Option<PathBuf>,
    /// The backup as it was made, by the id that `alyx backup list` shows.
    #[arg(long, value_name = "ID", conflicts_with_all = ["at", "seq"])]
    backup: Option<String>,
    /// Directory with backups and segments; default: where the configuration keeps them.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The last moment that is part of it, such as 2026-03-01T09:30:00Z; default: the newest.
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// The last change that is part of it.
    #[arg(long, value_name = "N", conflicts_with = "at")]
    seq: Option<u64>,
    #[command(flatten)]
    places: Places,
    /// Put the database that is there aside.
    #[arg(long)]
    replace: bool,
}

/// Which daemon is meant.
#[derive(Debug, Args)]
struct Places {
    /// Configuration file; default: alyx.yaml in the project's directory, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the project.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// Directory for everything the daemon writes.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Places {
    fn read(self) -> Result<Config, ExitCode> {
        let overrides = Overrides { project: self.project, data: self.data, ..Overrides::default() };
        read_config(self.config.as_deref(), &overrides, Mode::Production)
    }
}

#[derive(Debug, Args)]
struct Serve {
    /// Configuration file; default: alyx.yaml in the project's directory, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with schema.yaml and functions/.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// Directory for everything the daemon writes.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the HTTP API.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Unix socket for administrators of this host.
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// Control socket of the supervisor.
    #[arg(long, value_name = "PATH")]
    supervisor_socket: Option<PathBuf>,
    /// Development: reload on changes, generous throttles, requests in the log.
    #[arg(long)]
    dev: bool,
    /// With --dev: do not watch the project's files.
    #[arg(long, requires = "dev")]
    no_watch: bool,
    /// Stop when the process that started this one ends.
    #[arg(long)]
    die_with_parent: bool,
}

/// Runs the program.
pub fn run() -> ExitCode {
    // Prints usage and help itself and ends with 2 for wrong usage.
    let arguments = Arguments::parse();
    if let Err(error) = process::give_up_rights() {
        return failed(&error);
    }
    match arguments.command {
        Command::Serve(flags) => run_serve(flags),
        Command::CheckConfig { config } => {
            match read_config(config.as_deref(), &Overrides::default(), Mode::Production) {
                Ok(config) => match mail::check_templates(&config.server.project) {
                    Ok(()) => {
                        print::words("The configuration is fine.");
                        ExitCode::SUCCESS
                    }
                    Err(error) => failed(&error),
                },
                Err(code) => code,
            }
        }
        Command::CheckSchema { file, json } => check::schema(&file, json),
        Command::JsonSchema => {
            print::data(&format!("{:#}", alyx_core::schema::json_schema()));
            ExitCode::SUCCESS
        }
        Command::Verify { file: Some(file), .. } => restore::verify(&file),
        Command::Verify { file: None, places } => places.read().map_or_else(
            |code| code,
            |config| match target(None, &config) {
                Ok(target) => restore::verify_kept(&target, &config),
                Err(code) => code,
            },
        ),
        Command::Restore(flags) => run_restore(flags).unwrap_or_else(|code| code),
        Command::Man { directory } => match manual::write(Arguments::command(), &directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
        Command::Build(Build { program, arguments }) => match process::build(program, arguments) {
            Ok(never) => match never {},
            Err(error) => failed(&error),
        },
    }
}

fn run_restore(flags: Restore) -> Result<ExitCode, ExitCode> {
    let config = flags.places.read()?;
    let moment = match (flags.at, flags.seq) {
        (Some(at), _) => Moment::At(at.as_microsecond()),
        (None, Some(seq)) => Moment::Seq(seq),
        (None, None) => Moment::Newest,
    };
    let source = match (flags.file, flags.backup) {
        (Some(file), _) => restore::Source::File(file),
        (None, Some(id)) => restore::Source::Backup(target(flags.from, &config)?, id),
        (None, None) => restore::Source::Point(target(flags.from, &config)?, moment),
    };
    Ok(restore::restore(&source, &config, flags.replace))
}

/// Where backups are kept: in a directory that is named, or as configured.
fn target(named: Option<PathBuf>, config: &Config) -> Result<Target, ExitCode> {
    match named {
        Some(directory) => Ok(Target::Directory(directory)),
        None => Target::of(&config.backup, config.server.data.join("cache")).map_err(|error| failed(&error)),
    }
}

fn run_serve(flags: Serve) -> ExitCode {
    process::use_small_pages();
    if let Err(error) = process::raise_file_limit() {
        return failed(&error);
    }
    if flags.die_with_parent
        && let Err(error) = process::die_with_parent()
    {
        return failed(&error);
    }
    let mode = if flags.dev { Mode::Development } else { Mode::Production };
    let overrides = Overrides {
        project: flags.project,
        data: flags.data,
        listen: flags.listen,
        admin_socket: flags.admin_socket,
        supervisor_socket: flags.supervisor_socket,
    };
    let config = match read_config(flags.config.as_deref(), &overrides, mode) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let watch = if flags.dev && !flags.no_watch { serve::Watch::Project } else { serve::Watch::Nothing };
    match serve::run(config, mode, watch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn read_config(file: Option<&Path>, overrides: &Overrides, mode: Mode) -> Result<Config, ExitCode> {
    // A variable that is not UTF-8 cannot be one of ours.
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    load(&Source { file, environment: &environment, overrides, mode }).map_err(|problems| {
        for problem in &problems {
            print::words(&format!("error: {problem}"));
        }
        print::words(&format!("\n{} in the configuration", count(problems.len(), "problem")));
        ExitCode::FAILURE
    })
}

/// `1 problem`, `2 problems`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    print::words(&format!("error: {}", error_chain(error)));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
