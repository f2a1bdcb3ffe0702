//! `alyx-bench`: the figures that Alyx is measured by, as a table and as `target/bench/report.json`.
//!
//! | module | figures |
//! |---|---|
//! | `service` | start of the daemon, idle memory |
//! | `functions` | warm and cold invocations, beside the bare interpreters |
//! | `sandbox` | the supervisor alone: set-up time, memory |
//! | `accounts` | sign-in and refresh beside PocketBase, reads while passwords are guessed |
//! | `documents` | create, get, list, search under rules, beside PocketBase |
//! | `realtime` | how soon many subscribers are told, beside PocketBase |
//! | `pocketbase` | starts and fills that |
//! | `production` | the service as a package runs it |
//! | `http` | a client that costs little: one connection, one buffer |
//! | `report` | the table, the file and the page |
//!
//! Server and client share the machine. Build with `--release` before believing a number.

mod accounts;
mod documents;
mod functions;
mod http;
mod pocketbase;
mod production;
mod realtime;
mod report;
mod sandbox;
mod service;

use crate::report::Report;

/// What can be measured by itself: `alyx-bench sandbox documents`; with `--page` that is written into the
/// page as well.
const GROUPS: [&str; 6] = ["service", "functions", "sandbox", "accounts", "documents", "realtime"];

fn main() -> std::process::ExitCode {
    let (options, chosen): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "--page");
    if let Some(unknown) = chosen.iter().find(|name| !GROUPS.contains(&name.as_str())) {
        eprintln!("error: there is no group {unknown}: it is one of {}", GROUPS.join(", "));
        return std::process::ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("start tokio");
    let mut report = Report::default();
    runtime.block_on(async {
        for group in GROUPS.iter().filter(|name| chosen.is_empty() || chosen.iter().any(|one| one == *name)) {
            report.begin(group);
            match *group {
                "service" => service::measure(&mut report).await,
                "functions" => functions::measure(&mut report).await,
                "sandbox" => sandbox::measure(&mut report).await,
                "accounts" => accounts::measure(&mut report).await,
                "realtime" => realtime::measure(&mut report).await,
                _ => documents::measure(&mut report).await,
            }
        }
    });
    match report.finish(chosen.is_empty() || !options.is_empty()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: failed to write the report: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
