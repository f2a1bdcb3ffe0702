//! Black-box tests through the real binaries.
//!
//! Tests named `m07_…` hold the line of that number in the list of things that must not happen.
//!
//! | module | subject |
//! |---|---|
//! | `blog` | the example, end to end |
//! | `access` | rules, tokens, administrators |
//! | `documents` | bodies, lists, names |
//! | `changes` | the change feed |
//! | `functions` | hostile and failing functions, the pool |
//! | `hostile` | attacks that worked once |
//! | `newcomer` | what beginners get wrong, and what they are told |
//! | `injection` | SQL through every parameter |
//! | `input` | bad schemas, configurations and command lines |
//! | `reload` | edited functions and schemas |
//! | `schema` | types, options and mistakes of a schema |
//! | `service` | start, stop, kill, errors of the HTTP surface |
//! | `store` | what was acknowledged stays |
//! | `surface` | malformed, slow and foreign requests |
//! | `tls` | certificates, versions, and what `testssl.sh` says |
//! | `throttle` | how often somebody may do something |
//! | `commands` | the `alyx` command |
//! | `contract` | the OpenAPI document, held against independent tools |
//! | `control` | the supervisor against a hostile daemon |
//! | `docs` | the documentation does what it says |

mod access;
mod blog;
mod changes;
mod commands;
mod contract;
mod control;
mod docs;
mod documents;
mod functions;
mod hostile;
mod injection;
mod input;
mod newcomer;
mod reload;
mod schema;
mod service;
mod store;
mod surface;
mod throttle;
mod tls;

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
