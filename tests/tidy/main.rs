//! The house rules that a program can hold: who imports whom, sizes, where `unsafe` may stand,
//! licences, and that the documentation points at things that exist.
//!
//! It reads the tree and `cargo metadata`; it never builds or runs anything of ours.

mod crates;
mod markdown;
mod rust;
mod security;
mod source;
mod tree;

use std::fmt::Display;

/// Fails with every finding at once, one a line.
#[track_caller]
fn expect_none<T: Display>(rule: &str, findings: impl IntoIterator<Item = T>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| format!("  {finding}")).collect();
    assert!(lines.is_empty(), "{rule}:\n{}", lines.join("\n"));
}
