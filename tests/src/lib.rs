//! The harness of the black-box suites: it starts the real binaries and talks to them.
//!
//! A test reads like the sentence you would say:
//!
//! ```ignore
//! let server = TestServer::start(Project::blog()).await;
//! let ada = server.user("ada").await;
//! let post = ada.create("posts", json!({ "title": "hi" })).await.expect_created();
//! server.anon().get("posts", post.id()).await.expect_error(404, "document_not_found");
//! server.stop().await;
//! ```
//!
//! | module | job |
//! |---|---|
//! | [`project`] | the folder of a project, from an example or written in the test |
//! | [`server`] | `alyx dev` on a free port and a folder of its own, and proof that it left nothing |
//! | [`client`] | HTTP as somebody, and what was expected of the answer |
//! | [`cli`] | the `alyx` command |
//! | [`leftovers`] | processes, mounts and files that a stopped service must not leave |
//! | [`namespace`] | tests that mount, or that have a network of their own |
//! | [`supervisor`] | `alyx-supervisor` alone, over its control link |
//! | [`page`] | what a page of the documentation has its readers type |
//! | [`peers`] | independent clients and servers from npm and PyPI |
//! | [`wait`] | waiting for a condition, never for a time |
//! | [`tree`] | this source tree |
//! | [`vm`] | a Debian with systemd and cgroup v2 in an emulated machine |
//!
//! No test uses a fixed port, a shared folder or an order. Build the binaries first:
//! `cargo build --workspace --bins`; `make test` does.

pub mod authenticator;
pub mod cli;
pub mod client;
pub mod leftovers;
pub mod mails;
pub mod namespace;
pub mod page;
pub mod peers;
pub mod project;
pub mod realtime;
pub mod server;
pub mod supervisor;
pub mod tree;
pub mod vm;
pub mod wait;

pub use cli::{Cli, Said};
pub use client::{Answer, Client, Document};
pub use project::Project;
pub use server::{PASSWORD, TestServer};
pub use wait::wait_until;
