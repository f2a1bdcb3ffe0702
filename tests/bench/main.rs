//! `alyx-bench`: the figures that Alyx is measured by, as a table and as `target/bench/report.json`.
//!
//! | module | figures |
//! |---|---|
//! | `service` | start of the daemon, idle memory |
//! | `functions` | warm and cold invocations, sandbox set-up, beside the bare interpreters |
//! | `documents` | create, get and list under rules |
//! | `http` | a client that costs little: one connection, one buffer |
//! | `report` | the table and the file |
//!
//! Server and client share the machine. Build with `--release` before believing a number.

mod documents;
mod functions;
mod http;
mod report;
mod service;

use crate::report::Report;

fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("start tokio");
    let mut report = Report::default();
    runtime.block_on(async {
        service::measure(&mut report).await;
        functions::measure(&mut report).await;
        documents::measure(&mut report).await;
    });
    match report.finish() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: failed to write the report: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
