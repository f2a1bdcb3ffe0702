//! The only place that writes to stdout and stderr.
//!
//! Data goes to stdout, words to stderr. A reader that goes away (`alyx … | head`) ends the program
//! quietly. Text that functions or users wrote is stripped of control characters before it reaches
//! a terminal, so that a log line cannot move the cursor or set the clipboard.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::exit::{Exit, Failure};

/// What `--json` chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

/// Writes one line of data.
pub fn line(text: &str) -> Result<(), Failure> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes data as it is and flushes, so that a follower sees it at once.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Ok),
        _ => Failure::new(format!("failed to write to standard output: {error}")),
    })
}

/// Writes a value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("failed to print JSON: {error}")))?;
    line(&text)
}

/// Writes a line for people. A closed stderr is nobody to tell, so errors are dropped.
pub fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(writeln!(stderr, "{text}"));
}

/// Shows a wrong command line; help and version count as success.
pub fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    if error.use_stderr() { Exit::Usage.code() } else { Exit::Ok.code() }
}

/// Shows why a command failed.
pub fn failure(failure: &Failure) -> ExitCode {
    if !failure.silent {
        note(&format!("error: {}", plain(&failure.message)));
        for line in &failure.lines {
            note(&format!("  {}", plain(line)));
        }
        if let Some(hint) = &failure.hint {
            note(&format!("\nhint: {}", plain(hint)));
        }
    }
    failure.exit.code()
}

/// The text without what moves the cursor or turns the direction of writing: control characters other
/// than line breaks and tabs, and the marks of Unicode Standard Annex 9.
pub fn plain(text: &str) -> String {
    let is_plain = |letter: char| match letter {
        '\n' | '\t' => true,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        letter => !letter.is_control(),
    };
    text.chars().map(|letter| if is_plain(letter) { letter } else { '\u{fffd}' }).collect()
}

/// Columns padded to their widest cell; the last one is not padded.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut lines = vec![headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| plain(cell).replace('\n', " ")).collect()));
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &lines {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    raw(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(plain(text), expected);
        check("plain ünïcode 🙂", "plain ünïcode 🙂");
        check("two\nlines\tand a tab", "two\nlines\tand a tab");
        check("\u{1b}]52;c;aGk=\u{7}", "\u{fffd}]52;c;aGk=\u{fffd}");
        check("\u{9b}31m", "\u{fffd}31m");
        check("a\rb", "a\u{fffd}b");
    }
}
