//! Words for the person or program that started us: data on standard output, the rest on standard
//! error. The only place that prints.

use std::io::Write;

/// Data.
pub fn data(text: &str) {
    // A reader that went away has seen enough.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Words.
pub fn words(text: &str) {
    // Nobody is left to be told that nobody listens.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
