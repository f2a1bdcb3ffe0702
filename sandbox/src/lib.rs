//! Turns a spawn request into a confined process and reports its end.
//!
//! | layer | modules |
//! |---|---|
//! | command line | [`cli`] |
//! | the loop and what it decides | [`supervisor`] with `startup`, `requests`, `workers`, `rate` |
//! | links | [`listener`], [`link`], [`packet`], [`notify`] |
//! | making workers | [`spawn`] (supervisor's side) → [`spawner`] → [`confine`] (the list of steps) → [`init`] |
//! | pure decisions | [`plan`], [`seccomp`], [`layers`], [`config`] |
//! | mechanisms | [`staging`], [`privilege`], [`cgroup`], [`sample`], [`bundle`] |
//! | system calls | [`sys`], the only unsafe code |
//!
//! Three kinds of process run this program: the supervisor, its spawner, and the init of each worker.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod bundle;
mod cgroup;
pub mod cli;
mod config;
mod confine;
mod init;
mod layers;
mod limits;
mod link;
mod listener;
mod log;
mod notify;
mod packet;
mod plan;
mod privilege;
mod sample;
mod seccomp;
mod spawn;
mod spawner;
mod staging;
mod supervisor;
#[allow(unsafe_code, reason = "the one place for it")]
mod sys;
