//! Reads a YAML tree while collecting everything that is wrong with it. A reader never stops at a
//! problem: what cannot be read is reported and left out, so one run shows all problems.

use super::yaml::{Key, Node, Yaml};
use super::{Diagnostic, Position};
use crate::limits::{DIAGNOSTICS_MAX, NAME_MAX_BYTES};

/// Collects the problems of one file.
pub(crate) struct Reader<'a> {
    file: &'a str,
    diagnostics: Vec<Diagnostic>,
}

/// A mapping whose keys are being taken. What is never asked for is unknown.
pub(crate) struct Section<'n> {
    entries: &'n [(Key, Node)],
    /// Path of the section itself.
    pub(crate) path: String,
    known: Vec<&'static str>,
}

/// A node together with its path.
#[derive(Clone)]
pub(crate) struct At<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
    /// Place of the key before it, or its own where there is none.
    pub(crate) key: Position,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file, diagnostics: Vec::new() }
    }

    /// Reports a problem.
    pub(crate) fn report(&mut self, position: Position, path: &str, message: impl Into<String>, hint: &str) {
        self.diagnostics.push(Diagnostic {
            file: self.file.to_owned(),
            position,
            path: path.to_owned(),
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        });
    }

    /// Reports a problem with a node.
    pub(crate) fn refuse(&mut self, at: &At<'_>, message: impl Into<String>, hint: &str) {
        self.report(at.node.position, &at.path, message, hint);
    }

    /// The value if nothing was reported, else all problems in order of position.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        self.diagnostics.sort_by(|a, b| (a.position, &a.path).cmp(&(b.position, &b.path)));
        self.diagnostics.truncate(DIAGNOSTICS_MAX);
        match value {
            Some(value) if self.diagnostics.is_empty() => Ok(value),
            _ => Err(self.diagnostics),
        }
    }

    /// Whether a problem at or below this path was reported.
    pub(crate) fn has_problem_below(&self, path: &str) -> bool {
        let below = |other: &str| {
            other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.diagnostics.iter().any(|diagnostic| below(&diagnostic.path))
    }

    /// Opens a mapping. Nothing at all (`rules:` with an empty value) is an empty mapping.
    pub(crate) fn section<'n>(&mut self, at: &At<'n>) -> Option<Section<'n>> {
        let entries = self.entries(at)?;
        Some(Section { entries, path: at.path.clone(), known: Vec::new() })
    }

    /// The entries of a mapping whose keys are names.
    pub(crate) fn entries<'n>(&mut self, at: &At<'n>) -> Option<&'n [(Key, Node)]> {
        match &at.node.value {
            Yaml::Map(entries) => Some(entries),
            Yaml::Null => Some(&[]),
            other => {
                self.refuse(at, format!("must be a mapping of keys, not {}", kind(other)), "");
                None
            }
        }
    }

    /// The named children of a mapping, without those whose name is refused.
    pub(crate) fn named<'n>(&mut self, at: &At<'n>, max: usize, what: &str) -> Vec<(&'n str, At<'n>)> {
        let entries = self.entries(at).unwrap_or_default();
        if entries.len() > max {
            self.refuse(at, format!("has {} {what}, more than {max}", entries.len()), "");
            return Vec::new();
        }
        let children = entries.iter().map(|(key, node)| {
            let child = At { node, path: join(&at.path, &key.text), key: key.position };
            (key.text.as_str(), child)
        });
        children.filter(|(name, child)| self.name(name, child.key, &child.path)).collect()
    }

    /// Checks a name of a collection, field, index or function.
    pub(crate) fn name(&mut self, name: &str, position: Position, path: &str) -> bool {
        let hint = "names match ^[a-z][a-z0-9_-]*$ and have at most 63 characters";
        let shown: String = name.chars().take(80).collect();
        let valid_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if name.starts_with("_alyx") {
            self.report(
                position,
                path,
                format!("the name \"{shown}\" is reserved, as all that start with _alyx"),
                hint,
            );
        } else if name.starts_with("sqlite_") {
            self.report(
                position,
                path,
                format!("the name \"{shown}\" is reserved, as all that start with sqlite_"),
                hint,
            );
        } else if name.len() > NAME_MAX_BYTES {
            self.report(position, path, format!("the name \"{shown}\" is too long"), hint);
        } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(valid_byte)
        {
            self.report(position, path, format!("the name \"{shown}\" is not valid"), hint);
        } else {
            return true;
        }
        false
    }

    /// Text.
    pub(crate) fn text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        match &at.node.value {
            Yaml::Text(text) => Some(text),
            other => {
                let hint = match other {
                    Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) => "put it in quotes",
                    _ => "",
                };
                self.refuse(at, format!("must be text, not {}", kind(other)), hint);
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn bool(&mut self, at: &At<'_>) -> Option<bool> {
        match &at.node.value {
            Yaml::Bool(value) => Some(*value),
            other => {
                self.refuse(at, format!("must be true or false, not {}", kind(other)), "");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&mut self, at: &At<'_>, min: u64, max: u64) -> Option<u64> {
        let accepted = match max {
            u64::MAX => format!("must be a whole number of at least {min}"),
            max => format!("must be a whole number from {min} to {max}"),
        };
        match at.node.value {
            Yaml::Int(value) => match u64::try_from(value) {
                Ok(value) if (min..=max).contains(&value) => Some(value),
                _ => {
                    self.refuse(at, format!("{accepted}, not {value}"), "");
                    None
                }
            },
            ref other => {
                self.refuse(at, format!("{accepted}, not {}", kind(other)), "");
                None
            }
        }
    }

    /// A finite number.
    pub(crate) fn number(&mut self, at: &At<'_>) -> Option<f64> {
        match at.node.value {
            // Bounds of validation are doubles; whole numbers beyond 2^53 would not stay what they are.
            Yaml::Int(value) if value.unsigned_abs() <= 1 << 53 => Some(value as f64),
            Yaml::Float(value) if value.is_finite() => Some(value),
            ref other => {
                self.refuse(
                    at,
                    format!("must be a number, not {}", kind(other)),
                    "whole numbers go up to 2^53 here",
                );
                None
            }
        }
    }

    /// The items of a list.
    pub(crate) fn list<'n>(&mut self, at: &At<'n>, max: usize) -> Option<Vec<At<'n>>> {
        match &at.node.value {
            Yaml::List(items) if items.len() > max => {
                self.refuse(at, format!("has {} items, more than {max}", items.len()), "");
                None
            }
            Yaml::List(items) => {
                let item = |(place, node): (usize, &'n Node)| At {
                    node,
                    path: format!("{}[{place}]", at.path),
                    key: node.position,
                };
                Some(items.iter().enumerate().map(item).collect())
            }
            other => {
                self.refuse(at, format!("must be a list, not {}", kind(other)), "write [a, b]");
                None
            }
        }
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&mut self, at: &At<'_>, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(at, format!("unknown {what} \"{}\"", shorten(text)), &suggestion(text, &names));
        }
        found
    }
}

impl<'n> Section<'n> {
    /// The value of a key, if the key is there.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<At<'n>> {
        self.known.push(key);
        let (key, node) = self.entries.iter().find(|(other, _)| other.text == key)?;
        Some(At { node, path: join(&self.path, &key.text), key: key.position })
    }

    /// Reports every key that was not taken.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.text.as_str())) {
            let message = format!("unknown key \"{}\"", shorten(&key.text));
            reader.report(
                key.position,
                &join(&self.path, &key.text),
                message,
                &suggestion(&key.text, &self.known),
            );
        }
    }
}

/// `path.key`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { shorten(key) } else { format!("{path}.{}", shorten(key)) }
}

/// Foreign text for a message, cut to a sensible length.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(80).chain(['…']).collect() }
}

/// Words of other tools, with ours.
const ALIASES: [(&str, &str); 19] = [
    ("integer", "int"),
    ("number", "float"),
    ("double", "float"),
    ("boolean", "bool"),
    ("datetime", "timestamp"),
    ("object", "json"),
    ("bytes", "blob"),
    ("reference", "relation"),
    ("required", "nullable"),
    ("optional", "nullable"),
    ("min", "validate"),
    ("max", "validate"),
    ("pattern", "validate"),
    ("enum", "validate"),
    ("enum", "select"),
    ("values", "select"),
    ("collection", "relation"),
    ("javascript", "node"),
    ("golang", "go"),
];

/// `did you mean …`, or the list of what is accepted.
pub(crate) fn suggestion(text: &str, accepted: &[&str]) -> String {
    // What other tools call it.
    let alias = ALIASES.iter().find(|(other, word)| *other == text && accepted.contains(word));
    let near = accepted
        .iter()
        .map(|word| (distance(text, word), *word))
        .filter(|(distance, word)| *distance <= 2 && *distance < word.len().max(2) - 1)
        .min();
    match alias.map(|(_, word)| (0, *word)).or(near) {
        Some((_, word)) => format!("did you mean \"{word}\"? Accepted: {}", accepted.join(", ")),
        None => format!("accepted: {}", accepted.join(", ")),
    }
}

/// Edits that separate two words (Levenshtein), ignoring case; large for long foreign text.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > NAME_MAX_BYTES {
        return usize::MAX;
    }
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

/// What a value is, for messages.
fn kind(value: &Yaml) -> &'static str {
    match value {
        Yaml::Null => "nothing",
        Yaml::Bool(_) => "true or false",
        Yaml::Int(_) => "a whole number",
        Yaml::Float(_) => "a number",
        Yaml::Text(_) => "text",
        Yaml::List(_) => "a list",
        Yaml::Map(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::{distance, suggestion};

    #[test]
    fn distances() {
        let check = |a: &str, b: &str, expected: usize| assert_eq!(distance(a, b), expected, "{a} {b}");
        check("", "abc", 3);
        check("strng", "string", 1);
        check("nulable", "nullable", 1);
        check("onUpdate", "onupdate", 0);
        check("kitten", "sitting", 3);
    }

    #[test]
    fn suggestions() {
        let check = |text: &str, expected: &str| {
            assert!(suggestion(text, &["unique", "nullable", "type"]).starts_with(expected), "{text}");
        };
        check("nulable", "did you mean \"nullable\"?");
        check("tpye", "did you mean \"type\"?");
        check("search", "accepted: unique, nullable, type");
    }
}
