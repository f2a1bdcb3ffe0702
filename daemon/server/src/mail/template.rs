//! A template of a mail: text with `{{ name }}` where a value goes.
//!
//! The first line of the text is `Subject: …`, then a blank line, then the text. Values are single lines
//! whatever they hold, and are escaped in HTML; templates themselves come from the operator.

use std::collections::BTreeMap;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    subject: Vec<Piece>,
    text: Vec<Piece>,
    html: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(String),
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the first line must be `Subject: …`, and the second must be blank")]
    NoSubject,
    #[error("`{{{{` in line {line} has no `}}}}`")]
    Open { line: usize },
    #[error("there is no value `{name}` in line {line}; there are {accepted}")]
    Unknown { line: usize, name: String, accepted: String },
}

/// A filled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

impl Template {
    /// Parses a text and, if there is one, its HTML.
    pub fn parse(text: &str, html: Option<&str>, accepted: &[&str]) -> Result<Self, TemplateError> {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once('\n').ok_or(TemplateError::NoSubject)?;
        let subject = head.strip_prefix("Subject:").ok_or(TemplateError::NoSubject)?.trim();
        let body = body.strip_prefix('\n').ok_or(TemplateError::NoSubject)?;
        if subject.is_empty() {
            return Err(TemplateError::NoSubject);
        }
        Ok(Self {
            subject: pieces(subject, 1, accepted)?,
            text: pieces(body, 3, accepted)?,
            html: html.map(|html| pieces(html, 1, accepted)).transpose()?,
        })
    }

    /// Puts the values in.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Filled {
        Filled {
            subject: one_line(&fill(&self.subject, values, ToOwned::to_owned)),
            text: fill(&self.text, values, ToOwned::to_owned),
            html: self.html.as_ref().map(|html| fill(html, values, escape)),
        }
    }
}

fn pieces(text: &str, first_line: usize, accepted: &[&str]) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let line = first_line + text[..text.len() - after.len()].matches('\n').count();
        let (name, behind) = after.split_once("}}").ok_or(TemplateError::Open { line })?;
        let name = name.trim();
        if !accepted.contains(&name) {
            let accepted = accepted.join(", ");
            return Err(TemplateError::Unknown { line, name: one_line(name), accepted });
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Value(name.to_owned()));
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn fill(pieces: &[Piece], values: &BTreeMap<String, String>, write: fn(&str) -> String) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value(name) => write(&one_line(values.get(name).map_or("", String::as_str))),
    };
    pieces.iter().map(piece).collect()
}

/// Line breaks and other control characters become spaces, so a value cannot make a header, a line of
/// its own, or steer a terminal.
fn one_line(text: &str) -> String {
    let is_break = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    text.chars().map(|letter| if is_break(letter) { ' ' } else { letter }).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Template, TemplateError};

    fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text, Some("<p>{{ name }}</p>"), &["name", "link"])
    }

    #[test]
    fn values_are_escaped_and_stay_on_their_line() {
        let template = parse("Subject: Hello {{name}}\n\nDear {{ name }},\n{{link}}\n").unwrap();
        let name = "A\r\nBcc: eve@example.org\u{1b}[2J <b>&'\"".to_owned();
        let values = BTreeMap::from([("name".to_owned(), name)]);
        let filled = template.fill(&values);
        assert_eq!(filled.subject, "Hello A  Bcc: eve@example.org [2J <b>&'\"");
        assert_eq!(filled.text, "Dear A  Bcc: eve@example.org [2J <b>&'\",\n\n");
        assert_eq!(
            filled.html.as_deref(),
            Some("<p>A  Bcc: eve@example.org [2J &lt;b&gt;&amp;&#39;&quot;</p>")
        );
    }

    #[test]
    fn values_are_not_templates() {
        let template = parse("Subject: x\n\n{{ name }}").unwrap();
        let values = BTreeMap::from([
            ("name".to_owned(), "{{ link }}".to_owned()),
            ("link".to_owned(), "secret".to_owned()),
        ]);
        assert_eq!(template.fill(&values).text, "{{ link }}");
    }

    #[test]
    fn wrong_templates_say_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        };
        check("", "Subject");
        check("Hello\n\ntext", "Subject");
        check("Subject: \n\ntext", "Subject");
        check("Subject: x\ntext", "Subject");
        check("Subject: x\n\nline\n{{ nam }}", "there is no value `nam` in line 4; there are name, link");
        check("Subject: x\n\n{{ name", "in line 3 has no");
    }
}
