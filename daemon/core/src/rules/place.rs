//! Where something stands in a rule's text and in its file, and what to say about it. Line and
//! column are exact where the file holds the text as it is: plain and quoted scalars without
//! escapes, and literal blocks (`|`), whose lines all start at the same column.

use crate::schema::{Diagnostic, Position, RuleSource};

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// In bytes of the text.
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The file's name is left to the caller.
    pub(super) fn into_diagnostic(self, source: &RuleSource) -> Diagnostic {
        Diagnostic {
            file: String::new(),
            position: position(source, self.offset),
            path: source.path.clone(),
            message: self.message,
            hint: self.hint,
        }
    }
}

/// The place of a byte of the text in the file.
fn position(source: &RuleSource, offset: usize) -> Position {
    let before = source.text.get(..offset.min(source.text.len())).unwrap_or(&source.text);
    let lines = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    Position {
        line: source.position.line + u32::try_from(lines).unwrap_or(u32::MAX),
        column: source.position.column + u32::try_from(column).unwrap_or(u32::MAX),
    }
}

/// The byte at a line and column (both from 1, in characters) of the text.
pub(super) fn offset_of(text: &str, line: isize, column: isize) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line - 1), usize::try_from(column - 1)) else { return 0 };
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

/// `did you mean …`, or all names when none is near.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().map(|other| (distance(name, other), other)).min();
    match nearest {
        Some((distance, other)) if distance <= 1 + name.chars().count() / 4 => {
            format!("did you mean {other:?}?")
        }
        _ => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Edits between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
