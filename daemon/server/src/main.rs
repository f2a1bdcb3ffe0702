//! `alyxd`, the API daemon: the doors (HTTP and admin socket) and the long-running tasks.
//!
//! | module | job |
//! |---|---|
//! | [`cli`] | flags and subcommands |
//! | [`config`] | `alyx.yaml`, environment and flags into one checked [`config::Config`] |
//! | [`serve`] | start and stop, in order |
//! | [`app`] | what every request handler reaches |
//! | [`backups`] | copies of the database, kept in a directory |
//! | [`catalog`] | the schema in force: loading, migrating, watching |
//! | [`audit`] | who did what |
//! | [`auth`] | accounts, sessions, tokens, throttling |
//! | [`changes`] | the change feed under rules |
//! | [`documents`] | documents under rules, for HTTP and for functions alike |
//! | [`functions`] | workers and invocations |
//! | [`http`] | the accept loop, the routes, one file per endpoint |
//! | [`metrics`] | what is counted, for Prometheus |
//! | [`openapi`] | the description of the API, made from the catalog |
//! | [`problem`] | every error answer |
//! | [`schedules`] | functions that run by the clock |
//! | [`throttle`] | how often something may be done |

mod app;
mod audit;
mod auth;
mod backups;
mod catalog;
mod changes;
mod check;
mod cli;
mod clock;
mod clock_watch;
mod config;
mod documents;
mod functions;
mod hooks;
mod http;
mod inbound;
mod jobs;
mod lazy_client;
mod limits;
mod logging;
mod made;
mod mail;
mod manual;
mod metrics;
mod notify;
mod openapi;
mod orders;
mod outbound;
mod print;
mod problem;
mod process;
mod realtime;
mod restore;
mod retention;
mod rules;
mod schedules;
mod seal;
mod secrets;
mod serve;
mod tasks;
mod throttle;
mod throttle_key;
mod triggers;
mod webhooks;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
