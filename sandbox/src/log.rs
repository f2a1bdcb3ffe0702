//! One line per message on standard error, plain text, as systemd's journal and a terminal want it.
//!
//! Never a secret, a body or a path that came from the daemon: callers pass ids and reasons.

use std::error::Error;
use std::io::Write;

fn line(number: u8, word: &str, text: &str) {
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    // Of whom systemd started, the journal knows the name, and takes the level from a number (sd-daemon(3)).
    let systemd = std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let before = if systemd { format!("<{number}>") } else { format!("alyx-supervisor: {word}") };
    // There is nowhere left to say that the log is closed.
    drop(writeln!(std::io::stderr().lock(), "{before}{text}"));
}

/// Somebody must act.
pub fn error(text: &str) {
    line(3, "error: ", text);
}

/// We coped.
pub fn warning(text: &str) {
    line(4, "warning: ", text);
}

/// The story of the service.
pub fn info(text: &str) {
    line(6, "", text);
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
