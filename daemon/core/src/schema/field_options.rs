//! Options that every field may name: flags, lengths and `validate`. Which type may have which is
//! checked here, so an option never silently does nothing.

use serde_json::Value as Json;

use super::reader::{At, Reader, Section};
use super::yaml::{Node, Yaml};
use super::{Field, FieldKind, FieldRules, Format, Pattern, Validation};
use crate::document::convert::convert;
use crate::limits::SELECT_VALUES_MAX;

/// Options as read.
#[derive(Default)]
pub(super) struct Options<'n> {
    pub(super) primary: bool,
    pub(super) unique: bool,
    pub(super) nullable: bool,
    pub(super) index: bool,
    pub(super) search: bool,
    pub(super) client: bool,
    pub(super) internal: bool,
    pub(super) hidden: bool,
    pub(super) on_update_now: bool,
    pub(super) rules: FieldRules,
    min_length: Option<At<'n>>,
    max_length: Option<At<'n>>,
    min: Option<At<'n>>,
    max: Option<At<'n>>,
    pattern: Option<At<'n>>,
    format: Option<At<'n>>,
    one_of: Option<At<'n>>,
}

/// Reads the options of a field.
pub(super) fn read<'n>(reader: &mut Reader<'_>, section: &mut Section<'n>) -> Options<'n> {
    let mut flag = |key| section.take(key).and_then(|at| reader.bool(&at)).unwrap_or(false);
    let mut options = Options {
        primary: flag("primary"),
        unique: flag("unique"),
        nullable: flag("nullable"),
        index: flag("index"),
        search: flag("search"),
        client: flag("client"),
        internal: flag("internal"),
        hidden: flag("hidden"),
        ..Options::default()
    };
    if let Some(at) = section.take("onUpdate") {
        options.on_update_now = reader.word(&at, "action", &[("now", ())]).is_some();
    }
    if let Some(mut rules) = section.take("rules").and_then(|at| reader.section(&at)) {
        let mut rule = |key| rules.take(key).and_then(|at| super::collection::read_rule(reader, &at));
        options.rules = FieldRules { read: rule("read"), write: rule("write") };
        rules.finish(reader);
    }
    options.min_length = section.take("minLength");
    options.max_length = section.take("maxLength");
    if let Some(mut validate) = section.take("validate").and_then(|at| reader.section(&at)) {
        options.min = validate.take("min");
        options.max = validate.take("max");
        let inner = [("minLength", &mut options.min_length), ("maxLength", &mut options.max_length)];
        for (key, outer) in inner {
            match (validate.take(key), outer) {
                (Some(at), Some(_)) => {
                    let message = format!("{key} is already given by the field itself");
                    reader.report(at.key, &at.path, message, "remove one of them");
                }
                (Some(at), outer) => *outer = Some(at),
                (None, _) => {}
            }
        }
        options.format = validate.take("format");
        options.pattern = validate.take("pattern");
        options.one_of = validate.take("enum");
        validate.finish(reader);
    }
    options
}

impl Options<'_> {
    /// The conditions on the value, as far as the type knows them.
    pub(super) fn validation(&self, reader: &mut Reader<'_>, kind: &FieldKind) -> Validation {
        let rich = matches!(kind, FieldKind::RichText(_));
        let text = kind.is_prose() && !rich;
        let number = matches!(kind, FieldKind::Int | FieldKind::Float);
        let plain_text = matches!(kind, FieldKind::String | FieldKind::Text);
        let mut allowed = |at: &Option<At<'_>>, holds: bool, types: &str| {
            if let (Some(at), false) = (at, holds) {
                let message = format!("a field of type {} does not have this option", kind.as_str());
                reader.report(at.key, &at.path, message, &format!("it is for {types}"));
            }
        };
        allowed(&self.min_length, text || rich, "string, text, richtext, email and url");
        allowed(&self.max_length, text || rich, "string, text, richtext, email and url");
        allowed(&self.pattern, text, "string, text, email and url");
        allowed(&self.min, number, "int and float");
        allowed(&self.max, number, "int and float");
        allowed(&self.format, plain_text, "string and text");
        allowed(&self.one_of, text || number, "string, text, email, url, int and float");

        let length = |at: &Option<At<'_>>, reader: &mut Reader<'_>| {
            at.as_ref().and_then(|at| reader.whole(at, 0, u64::from(u32::MAX)))
        };
        let mut validation = Validation {
            min_length: length(&self.min_length, reader),
            max_length: length(&self.max_length, reader),
            min: self.min.as_ref().and_then(|at| reader.number(at)),
            max: self.max.as_ref().and_then(|at| reader.number(at)),
            pattern: self.pattern.as_ref().and_then(|at| pattern(reader, at)),
            format: self.format.as_ref().and_then(|at| {
                let words = [("email", Format::Email), ("url", Format::Url), ("uuid", Format::Uuid)];
                reader.word(at, "format", &words)
            }),
            one_of: None,
        };
        let lengths = validation.min_length.zip(validation.max_length).is_some_and(|(min, max)| min > max);
        if let (Some(at), true) = (&self.min_length, lengths) {
            reader.refuse(at, "minLength is larger than maxLength", "");
        }
        if let (Some(at), true) =
            (&self.min, validation.min.zip(validation.max).is_some_and(|(min, max)| min > max))
        {
            reader.refuse(at, "min is larger than max", "");
        }
        if text || number {
            validation.one_of = self.one_of.as_ref().and_then(|at| one_of(reader, at, kind, &validation));
        }
        validation
    }
}

fn pattern(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Pattern> {
    let text = reader.text(at)?;
    Pattern::new(text)
        .map_err(|error| {
            let hint = "the syntax is that of the Rust crate regex: no look-around, no back-references";
            // The last line names the cause; those above draw the expression.
            let cause = error.to_string();
            let cause = cause.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            reader.refuse(at, format!("the pattern is not valid: {cause}"), hint);
        })
        .ok()
}

fn one_of(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    kind: &FieldKind,
    validation: &Validation,
) -> Option<Vec<Json>> {
    let items = reader.list(at, SELECT_VALUES_MAX)?;
    if items.is_empty() {
        reader.refuse(at, "must have at least one value", "");
    }
    let field = Field { validation: validation.clone(), ..super::field::plain("value", kind.clone()) };
    let mut values = Vec::new();
    for item in &items {
        let Some(value) = json(reader, item) else { continue };
        match convert(&field, &value.to_string()) {
            Ok(_) => values.push(value),
            Err(fault) => {
                reader.refuse(item, format!("is not valid for the field: it {}", fault.message), "")
            }
        }
    }
    Some(values)
}

/// A YAML value in the JSON form that a client would send.
pub(crate) fn json(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Json> {
    let value = to_json(at.node);
    if value.is_none() {
        reader.refuse(at, "is not a finite number", "");
    }
    value
}

fn to_json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Yaml::Null => Json::Null,
        Yaml::Bool(value) => Json::from(*value),
        Yaml::Int(value) => Json::from(*value),
        Yaml::Float(value) => Json::Number(serde_json::Number::from_f64(*value)?),
        Yaml::Text(text) => Json::from(text.as_str()),
        Yaml::List(items) => Json::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Yaml::Map(entries) => {
            let entry = |(key, node): &(super::yaml::Key, Node)| Some((key.text.clone(), to_json(node)?));
            Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}
