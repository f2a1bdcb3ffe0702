//! The pages of `docs/` as what a reader types, and what is shown below it.

use serde_json::Value;

/// A line that a reader types, and what the document shows below it.
#[derive(Debug)]
pub struct Step {
    /// One line of a shell.
    pub command: String,
    /// Lines that are among what it prints.
    pub shown: Vec<String>,
}

/// Code blocks of a language: the text of each.
#[must_use]
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, Vec<&str>)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(name)) => open = Some((name.trim() == language, Vec::new())),
            (Some((wanted, lines)), Some(_)) => {
                if *wanted {
                    found.push(lines.join("\n"));
                }
                open = None;
            }
            (Some((_, lines)), None) => lines.push(line),
            (None, None) => {}
        }
    }
    found
}

/// The steps of a block.
#[must_use]
pub fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
            (None, Some(step)) => step.shown.push(line.to_owned()),
            (None, None) => {}
        }
    }
    steps
}

/// What to type into a shell so that its output can be checked.
#[must_use]
pub fn script(steps: &[Step], edit: impl Fn(&str) -> String) -> String {
    steps.iter().map(|step| format!("{}\nprintf '\\n<<<%s>>>\\n' $?\n", edit(&step.command))).collect()
}

/// Checks that each step succeeded and printed what is shown.
#[track_caller]
pub fn check(steps: &[Step], output: &str) {
    let mut rest = output;
    for step in steps {
        let (said, after) =
            rest.split_once("\n<<<").unwrap_or_else(|| panic!("{step:?} did not end: {output}"));
        let (code, after) = after.split_once(">>>\n").expect("the code is closed");
        assert_eq!(code, "0", "{}: {said}", step.command);
        for line in &step.shown {
            assert!(
                said.lines().any(|said| is_same(said, line)),
                "{}: expected {line}, got {said}",
                step.command
            );
        }
        rest = after;
    }
}

/// Whether two lines say the same, where they are JSON whatever the order of its members.
fn is_same(said: &str, shown: &str) -> bool {
    match (serde_json::from_str::<Value>(said), serde_json::from_str::<Value>(shown)) {
        (Ok(said), Ok(shown)) => said == shown,
        _ => said.trim() == shown.trim(),
    }
}
