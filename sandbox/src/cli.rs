//! The command line: `alyx-supervisor [--config FILE] [--die-with-parent]`,
//! `alyx-supervisor probe [--config FILE]`, and the private `spawner` that the supervisor starts.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use alyx_protocol::control::RuntimeEntry;
use alyx_protocol::isolation::{LayerReport, LayerState};

use crate::config::{Config, DEFAULT_PATH};
use crate::log;
use crate::spawner;
use crate::supervisor::startup::{self, Parent, Purpose};

const USAGE: &str = "usage: alyx-supervisor [probe] [--config FILE] [--die-with-parent]";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Serve { config: PathBuf, parent: Parent },
    Probe { config: PathBuf },
    Spawner { link: i32, supervisor: i32 },
    Help,
}

/// How a command ended that did not fail.
#[derive(Debug)]
enum Outcome {
    Done,
    NotStrict,
}

/// What `probe` prints.
#[derive(Serialize)]
struct Probe {
    layers: Vec<LayerReport>,
    runtimes: Vec<RuntimeEntry>,
}

/// Runs the program with its arguments, without its own name.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let command = match parse(arguments) {
        Ok(command) => command,
        Err(problem) => {
            log::error(&format!("{problem}; {USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotStrict) => ExitCode::FAILURE,
        Err(error) => {
            log::error(&log::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut config = PathBuf::from(DEFAULT_PATH);
    let (mut parent, mut purpose) = (Parent::Ignored, Purpose::Serve);
    let mut first = true;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "spawner" if first => {
                let mut number = || arguments.next().and_then(|text| text.parse().ok());
                let (link, supervisor) = (number(), number());
                return link
                    .zip(supervisor)
                    .map(|(link, supervisor)| Command::Spawner { link, supervisor })
                    .ok_or_else(|| "spawner is for the supervisor's own use".to_owned());
            }
            "probe" if first => purpose = Purpose::Probe,
            "--config" => {
                config = arguments.next().map(PathBuf::from).ok_or("--config needs a file")?;
            }
            "--die-with-parent" => parent = Parent::DieWith,
            "-h" | "--help" => return Ok(Command::Help),
            other => return Err(format!("unknown argument {other}")),
        }
        first = false;
    }
    Ok(match purpose {
        Purpose::Serve => Command::Serve { config, parent },
        Purpose::Probe => Command::Probe { config },
    })
}

fn run(command: Command) -> Result<Outcome, Box<dyn std::error::Error>> {
    match command {
        Command::Serve { config, parent } => {
            startup::start(Config::load(&config)?, parent)?.run()?;
            Ok(Outcome::Done)
        }
        Command::Probe { config } => {
            let config = Config::load(&config)?;
            let mut prepared = startup::prepare(&config, Purpose::Probe, Parent::Ignored)?;
            let probe = Probe {
                layers: std::mem::take(&mut prepared.layers),
                runtimes: std::mem::take(&mut prepared.runtimes),
            };
            prepared.discard();
            print(&serde_json::to_string(&probe)?)?;
            let strict = probe.layers.iter().all(|report| report.state == LayerState::Active);
            Ok(if strict { Outcome::Done } else { Outcome::NotStrict })
        }
        Command::Spawner { link, supervisor } => {
            spawner::run(link, supervisor)?;
            Ok(Outcome::Done)
        }
        Command::Help => {
            print(USAGE)?;
            Ok(Outcome::Done)
        }
    }
}

fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    use super::{Command, DEFAULT_PATH, Parent, parse};

    #[test]
    fn arguments_are_understood() {
        let check = |line: &str, expected: Option<Command>| {
            let found = parse(line.split_ascii_whitespace().map(str::to_owned));
            assert_eq!(found.ok(), expected, "{line:?}");
        };
        let serve = |config: &str, parent| Some(Command::Serve { config: config.into(), parent });
        check("", serve(DEFAULT_PATH, Parent::Ignored));
        check("--config a --die-with-parent", serve("a", Parent::DieWith));
        check("probe --config a", Some(Command::Probe { config: "a".into() }));
        check("spawner 5 77", Some(Command::Spawner { link: 5, supervisor: 77 }));
        check("spawner 5", None);
        check("--config", None);
        check("--config a probe", None);
        check("--verbose", None);
    }
}
