//! One line per message on standard error, plain text, as systemd's journal and a terminal want it.
//!
//! Never a secret, a body or a path that came from the daemon: callers pass ids and reasons.

use std::error::Error;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

/// A level: its number for the journal (sd-daemon(3)), and its word for people.
type Level = (u8, &'static str);

fn line((number, word): Level, text: &str) {
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut stderr = std::io::stderr().lock();
    // The journal knows who writes, and takes the level from the number. There is nowhere left to say that
    // the log is closed.
    drop(if *JOURNAL {
        writeln!(stderr, "<{number}>{text}")
    } else {
        writeln!(stderr, "alyx-supervisor: {word}{text}")
    });
}

/// Whether standard error is the journal: `$JOURNAL_STREAM` is the device and inode of what systemd
/// connected (systemd.exec(5)).
static JOURNAL: LazyLock<bool> = LazyLock::new(|| {
    let (Ok(stream), Ok(stderr)) = (std::env::var("JOURNAL_STREAM"), std::fs::metadata("/proc/self/fd/2"))
    else {
        return false;
    };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
});

/// Somebody must act.
pub fn error(text: &str) {
    line((3, "error: "), text);
}

/// We coped.
pub fn warning(text: &str) {
    line((4, "warning: "), text);
}

/// The story of the service.
pub fn info(text: &str) {
    line((6, ""), text);
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
