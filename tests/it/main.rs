//! Black-box tests through the real binaries.
//!
//! Tests named `m07_…` hold the line of that number in the list of things that must not happen.
//!
//! | module | subject |
//! |---|---|
//! | `backup` | backups, made and restored |
//! | `backup_s3` | the same in a bucket of an object store |
//! | `blog` | the example, end to end |
//! | `activation` | sockets that a service manager passes, orders by signal |
//! | `accounts` | accounts that are written as documents |
//! | `access` | rules, tokens, administrators |
//! | `ambient` | what a browser sends by itself, what nobody sent |
//! | `audit` | the audit log: filters, pages, exports, retention |
//! | `audit_accounts` | the row of each thing that people do with their account |
//! | `auth_sessions` | how sessions begin, go on and end |
//! | `auth_tokens` | tokens in the eyes of others, keys, cookies |
//! | `forged` | tokens that somebody else made |
//! | `documents` | bodies, lists, names |
//! | `changes` | the change feed |
//! | `crash_events` | hooks, webhooks and schedules through kills |
//! | `functions` | hostile and failing functions, the pool |
//! | `hostile` | attacks that worked once |
//! | `mail` | mails: sent once, tried again, in the words of the project |
//! | `realtime` | changes as they happen |
//! | `realtime_checker` | what many are told, held against every commit |
//! | `realtime_wire` | frames, events, bounds, and clients of others |
//! | `rebinding` | names that change what they stand for |
//! | `registration` | registering where addresses are verified first |
//! | `enumeration` | whether answers and times tell which accounts exist |
//! | `recovery` | verified addresses, forgotten passwords, other addresses |
//! | `second_factor` | codes by mail, one-time passwords, recovery codes |
//! | `oauth` | signing in with an account elsewhere |
//! | `newcomer` | what beginners get wrong, and what they are told |
//! | `injection` | SQL through every parameter |
//! | `input` | bad schemas, configurations and command lines |
//! | `migrations` | changes of the schema with documents in it |
//! | `reload` | edited functions and schemas |
//! | `schema` | types, options and mistakes of a schema |
//! | `rules` | fields, other documents, tests and explanations of rules |
//! | `schedules` | functions that run by the clock |
//! | `service` | start, stop, kill, errors of the HTTP surface |
//! | `store` | what was acknowledged stays |
//! | `surface` | malformed, slow and foreign requests |
//! | `tls` | certificates, versions, and what `testssl.sh` says |
//! | `throttle` | how often somebody may do something |
//! | `users` | `alyx users` and `alyx keys`, the first administrator, imported accounts |
//! | `channels` | what clients say to each other |
//! | `commands` | the `alyx` command |
//! | `contract` | the OpenAPI document, held against independent tools |
//! | `control` | the supervisor against a hostile daemon |
//! | `docs` | the documentation does what it says |
//! | `units` | the units of systemd |
//! | `packages` | the Debian package, the rpm, the manual, completions |
//! | `edges` | sizes, names and bodies at the edge, through every kind of write |

mod access;
mod accounts;
mod activation;
mod ambient;
mod api_keys;
mod audit;
mod audit_accounts;
mod auth_sessions;
mod auth_tokens;
mod backup;
mod backup_s3;
mod blog;
mod changes;
mod channels;
mod commands;
mod contract;
mod control;
mod crash_events;
mod ctx_db;
mod docs;
mod documents;
mod doors;
mod edges;
mod enumeration;
mod executions;
mod forged;
mod functions;
mod health;
mod hooks;
mod hooks_auth;
mod hooks_registry;
mod hooks_waited;
mod hostile;
mod inbound;
mod injection;
mod input;
mod mail;
mod metrics;
mod migrations;
mod newcomer;
mod oauth;
mod packages;
mod passkeys;
mod queries;
mod realtime;
mod realtime_checker;
mod realtime_wire;
mod rebinding;
mod recovery;
mod registration;
mod reload;
mod rules;
mod rules_page;
mod schedules;
mod schema;
mod search;
mod second_factor;
mod secrets;
mod service;
mod store;
mod surface;
mod throttle;
mod tls;
mod units;
mod users;
mod webhooks;
mod writes;

use alyx_tests::{Client, Document, Project, TestServer};
use serde_json::{Value, json};

/// The project of `tests/fixtures/lab`, running.
async fn lab() -> TestServer {
    TestServer::start(Project::fixture("lab")).await
}

/// A post of somebody's.
async fn post(author: &Client, title: &str, status: &str) -> Document {
    let document = json!({ "title": title, "author": author.id(), "status": status });
    author.create("posts", document).await.expect_created()
}

/// The titles of a list answer.
fn titles(docs: &[Value]) -> Vec<&str> {
    docs.iter().filter_map(|doc| doc["title"].as_str()).collect()
}

/// The audit log of a project that is stopped, oldest first.
fn audit_rows(project: &Project) -> Vec<Value> {
    let database = rusqlite::Connection::open(project.data().join("data.db")).expect("open the database");
    let mut statement = database
        .prepare(
            "SELECT json_object('at', at, 'identity', identity, 'address', address, 'action', action,
                 'target', target, 'outcome', outcome, 'request_id', request_id,
                 'details', json(details_json)) FROM _alyx_audit ORDER BY seq",
        )
        .expect("there is an audit log");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("read the audit log");
    rows.map(|row| serde_json::from_str(&row.expect("a row")).expect("a row is JSON")).collect()
}
