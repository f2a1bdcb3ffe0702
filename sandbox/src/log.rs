//! One line per message on standard error, plain text, as systemd's journal and a terminal want it.
//!
//! Never a secret, a body or a path that came from the daemon: callers pass ids and reasons.

use std::error::Error;
use std::io::Write;

fn line(word: &str, text: &str) {
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    // There is nowhere left to say that the log is closed.
    drop(writeln!(std::io::stderr().lock(), "alyx-supervisor: {word}{text}"));
}

/// Somebody must act.
pub fn error(text: &str) {
    line("error: ", text);
}

/// We coped.
pub fn warning(text: &str) {
    line("warning: ", text);
}

/// The story of the service.
pub fn info(text: &str) {
    line("", text);
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
