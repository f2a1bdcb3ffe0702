//! `alyx`: the command line of Alyx.
//!
//! | module | job |
//! |---|---|
//! | [`args`] | every command and flag, once |
//! | [`commands`] | one file a command: ask the daemon, print |
//! | [`dev`] | `alyx dev`: supervisor and daemon under one terminal |
//! | [`client`] | HTTP over the admin socket or to a URL |
//! | [`locate`] | sockets, sibling programs, the runtimes' folder |
//! | [`exit`] | exit codes and how an error is shown |
//! | [`print`] | the only place that writes to stdout and stderr |
//!
//! It never opens the database. Data goes to stdout, words go to stderr.

mod args;
mod client;
mod commands;
mod dev;
mod exit;
mod host;
mod locate;
mod password;
mod print;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return print::usage(&error),
    };
    // One thread: the children of `alyx dev` are told to die with the thread that started them.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print::failure(&Failure::new(format!("failed to start: {error}"))),
    };
    let json = cli.json;
    match runtime.block_on(run(cli)) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            // A reader of JSON gets the daemon's refusal as data, too; the exit code is the failure's.
            if let (true, Some(problem)) = (json, &failure.problem) {
                drop(print::json(problem));
            }
            print::failure(&failure)
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { target, json, command } = cli;
    let output = if json { print::Output::Json } else { print::Output::Text };
    match command {
        Command::Init(args) => commands::init::run(&args),
        Command::Dev(args) => dev::run(args).await,
        Command::Doctor => commands::doctor::run(&target, output).await,
        Command::SupervisorConfig(args) => commands::supervisor_config::run(&args),
        Command::Reload => commands::reload::run(&target, output).await,
        Command::Status => commands::status::run(&target, output).await,
        Command::Top(args) => commands::top::run(args, &target, output).await,
        Command::Functions(args) => commands::functions::run(args, &target, output).await,
        Command::Executions(args) => commands::executions::run(args, &target, output).await,
        Command::Logs(args) => commands::logs::run(args, &target, output).await,
        Command::Users(args) => commands::users::run(args, &target, output).await,
        Command::Keys(args) => commands::keys::run(args, &target, output).await,
        Command::Rules(args) => commands::rules::run(args, &target, output).await,
        Command::Backup(args) => commands::backup::run(args, &target, output).await,
        Command::Mail(args) => commands::mail::run(args, &target, output).await,
        Command::Audit(args) => commands::audit::run(args, &target, output).await,
        Command::ApiKeys(args) => commands::api_keys::run(args, &target, output).await,
        Command::Hooks(args) => commands::hooks::run(args, &target, output).await,
        Command::Webhooks(args) => commands::webhooks::run(args, &target, output).await,
        Command::Inbound(args) => commands::inbound::run(args, &target, output).await,
        Command::Events(args) => commands::events::run(args, &target, output).await,
        Command::Jobs(args) => commands::jobs::run(args, &target, output).await,
        Command::Schedules(args) => commands::schedules::run(args, &target, output).await,
        Command::Secrets(args) => commands::secrets::run(args, &target, output).await,
        Command::Lockouts(args) => commands::lockouts::run(args, &target, output).await,
        Command::Schema(args) => commands::schema::run(args, output).await,
        Command::Migrate(args) => commands::migrate::run(args, &target, output).await,
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { dir } => commands::manual::pages(&dir),
        Command::Version => commands::version::run(output),
    }
}
