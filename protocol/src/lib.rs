//! What the processes of Alyx say to each other, compiled by both sides of every link.
//!
//! | module | link |
//! |---|---|
//! | [`control`] | daemon ⇄ supervisor, one JSON message a packet |
//! | [`worker`] | daemon ⇄ worker, length-prefixed frames on descriptor 3 |
//! | [`api`] | HTTP clients ⇄ daemon: the shapes that the CLI and the tests share |
//!
//! Nothing here does I/O. Every bound lives in [`limits`].
#![warn(missing_docs)]

#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "control")]
pub mod control;
pub mod ids;
pub mod isolation;
pub mod limits;
#[cfg(feature = "worker")]
pub mod worker;
