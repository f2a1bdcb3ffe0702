//! `migrations/NNNN_name.yaml`: what a comparison of two schemas cannot know.
//!
//! ```yaml
//! steps:
//!   - rename_collection: { from: posts, to: articles }
//!   - rename_field: { collection: articles, from: name, to: title }
//!   - change_type: { collection: articles, field: views, to: int, otherwise: set_null }
//!   - backfill: { collection: articles, field: slug, sql: "lower(title)" }
//!   - sql: { up: "update articles set views = views * 2", down: "update articles set views = views / 2" }
//! ```

use serde_json::Value as Json;

use crate::limits::{MIGRATION_STEPS_MAX, SQL_MAX_BYTES};
use crate::schema::field;
use crate::schema::field_options::json;
use crate::schema::reader::{At, Reader, suggestion};
use crate::schema::yaml::Yaml;
use crate::schema::{Diagnostic, Field, FieldKind, read};

/// A migration file.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationFile {
    /// The number its name starts with; files are applied in this order, each once.
    pub number: u64,
    /// Its name without the ending: `0002_titles`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What tells whether it was changed after it was applied.
    pub checksum: String,
    /// It was applied and taken back, so it is not applied again unasked.
    pub taken_back: bool,
    /// What it does, in order.
    pub steps: Vec<MigrationStep>,
}

/// One step of a migration file.
#[derive(Clone, Debug, PartialEq)]
pub enum MigrationStep {
    /// A field keeps its values under another name.
    RenameField {
        /// The collection, by the name it has when this step is reached.
        collection: String,
        /// Name so far.
        from: String,
        /// Name from now on.
        to: String,
    },
    /// A collection keeps its documents under another name.
    RenameCollection {
        /// Name so far.
        from: String,
        /// Name from now on.
        to: String,
    },
    /// Values are converted to another type.
    ChangeType {
        /// The collection.
        collection: String,
        /// The field.
        field: String,
        /// The type with its options; the other options are those of the schema.
        to: FieldKind,
        /// What becomes of a value that cannot be converted.
        otherwise: Otherwise,
    },
    /// Values are written.
    Backfill {
        /// The collection.
        collection: String,
        /// The field. It may be one that the new schema adds.
        field: String,
        /// The values.
        source: BackfillSource,
        /// The documents.
        which: Which,
    },
    /// Statements are run.
    Sql {
        /// The statements.
        up: String,
        /// What takes them back.
        down: Option<String>,
    },
}

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The change is refused.
    Refuse,
    /// It becomes null.
    SetNull,
}

/// Where the values of a backfill come from.
#[derive(Clone, Debug, PartialEq)]
pub enum BackfillSource {
    /// One value, in the JSON form a client would send.
    Value(Json),
    /// An SQL expression over the document's columns.
    Sql(String),
}

/// The documents of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those with null in the field.
    Missing,
    /// All.
    All,
}

/// The number that a file's name starts with, as in `0002_titles.yaml`. Leading zeros mean nothing.
#[must_use]
pub fn file_number(name: &str) -> Option<u64> {
    let (number, rest) = name.strip_suffix(".yaml")?.split_once('_')?;
    let digits = !number.is_empty() && number.len() <= 12 && number.bytes().all(|byte| byte.is_ascii_digit());
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let named = !rest.is_empty() && rest.len() <= 100 && rest.bytes().all(letter);
    (digits && named).then(|| number.parse().ok()).flatten().filter(|number| *number > 0)
}

/// Reads the steps of a migration file. `file_name` is what diagnostics call it.
///
/// # Errors
/// Everything that is wrong with it, in order of position.
pub fn parse_migration(file_name: &str, text: &str) -> Result<Vec<MigrationStep>, Vec<Diagnostic>> {
    read(file_name, text, read_file)
}

fn read_file(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Vec<MigrationStep>> {
    let mut section = reader.section(at)?;
    let steps = section.take("steps");
    section.finish(reader);
    let Some(steps) = steps else {
        reader.report(at.key, "", "steps are missing", "add steps: [{ rename_field: { … } }]");
        return None;
    };
    let items = reader.list(&steps, MIGRATION_STEPS_MAX)?;
    Some(items.iter().filter_map(|item| read_step(reader, item)).collect())
}

type ReadStep = fn(&mut Reader<'_>, &At<'_>) -> Option<MigrationStep>;

const STEPS: [(&str, ReadStep); 5] = [
    ("rename_field", rename_field),
    ("rename_collection", rename_collection),
    ("change_type", change_type),
    ("backfill", backfill),
    ("sql", sql),
];

/// A step is a mapping with one key, its kind.
fn read_step(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let names = STEPS.map(|(name, _)| name);
    let [(key, node)] = reader.entries(at)? else {
        let hint = format!("write one of: {}", names.join(", "));
        reader.refuse(at, "a step has exactly one key, its kind", &hint);
        return None;
    };
    let inner = At { node, path: format!("{}.{}", at.path, key.text), key: key.position };
    match STEPS.iter().find(|(name, _)| *name == key.text) {
        Some((_, read)) => read(reader, &inner),
        None => {
            let shown: String = key.text.chars().take(80).collect();
            let hint = suggestion(&key.text, &names);
            reader.report(key.position, &inner.path, format!("unknown step \"{shown}\""), &hint);
            None
        }
    }
}

/// Takes a key whose value is text and must be there.
macro_rules! required {
    ($reader:expr, $section:expr, $at:expr, $key:literal) => {
        match $section.take($key) {
            Some(value) => $reader.text(&value).map(str::to_owned),
            None => {
                $reader.report($at.key, &$at.path, concat!($key, " is missing"), "");
                None
            }
        }
    };
}

fn new_name(reader: &mut Reader<'_>, name: Option<String>, at: &At<'_>) -> Option<String> {
    name.filter(|name| reader.name(name, at.key, &at.path))
}

fn rename_field(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let mut section = reader.section(at)?;
    let collection = required!(reader, section, at, "collection");
    let from = required!(reader, section, at, "from");
    let to = required!(reader, section, at, "to");
    section.finish(reader);
    Some(MigrationStep::RenameField { collection: collection?, from: from?, to: new_name(reader, to, at)? })
}

fn rename_collection(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let mut section = reader.section(at)?;
    let from = required!(reader, section, at, "from");
    let to = required!(reader, section, at, "to");
    section.finish(reader);
    Some(MigrationStep::RenameCollection { from: from?, to: new_name(reader, to, at)? })
}

fn change_type(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let mut section = reader.section(at)?;
    let collection = required!(reader, section, at, "collection");
    let name = required!(reader, section, at, "field");
    let to = section.take("to");
    let otherwise = section.take("otherwise");
    section.finish(reader);
    let words = [("refuse", Otherwise::Refuse), ("set_null", Otherwise::SetNull)];
    let otherwise = otherwise.map_or(Some(Otherwise::Refuse), |at| reader.word(&at, "word", &words));
    let Some(to) = to else {
        reader.report(
            at.key,
            &at.path,
            "to is missing",
            "add to: int, or to: { type: select, select: { … } }",
        );
        return None;
    };
    let kind = match &to.node.value {
        Yaml::Text(_) => field::plain_kind(reader, &to),
        _ => field::read(reader, "value", &to).map(|field: Field| field.kind),
    };
    Some(MigrationStep::ChangeType {
        collection: collection?,
        field: name?,
        to: kind?,
        otherwise: otherwise?,
    })
}

fn backfill(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let mut section = reader.section(at)?;
    let collection = required!(reader, section, at, "collection");
    let field = required!(reader, section, at, "field");
    let (value, sql, which) = (section.take("value"), section.take("sql"), section.take("documents"));
    section.finish(reader);
    let words = [("missing", Which::Missing), ("all", Which::All)];
    let which = which.map_or(Some(Which::Missing), |at| reader.word(&at, "word", &words));
    let source = match (value, sql) {
        (Some(value), None) => json(reader, &value).map(BackfillSource::Value),
        (None, Some(sql)) => statements(reader, &sql).map(BackfillSource::Sql),
        _ => {
            let hint = "value: is the same in every document, sql: is an expression over its columns";
            reader.report(at.key, &at.path, "a backfill has either value or sql", hint);
            None
        }
    };
    Some(MigrationStep::Backfill { collection: collection?, field: field?, source: source?, which: which? })
}

fn sql(reader: &mut Reader<'_>, at: &At<'_>) -> Option<MigrationStep> {
    let mut section = reader.section(at)?;
    let (up, down) = (section.take("up"), section.take("down"));
    section.finish(reader);
    let Some(up) = up else {
        reader.report(at.key, &at.path, "up is missing", "add up: \"update …\"");
        return None;
    };
    let up = statements(reader, &up);
    let down = match down {
        Some(down) => Some(statements(reader, &down)?),
        None => None,
    };
    Some(MigrationStep::Sql { up: up?, down })
}

fn statements(reader: &mut Reader<'_>, at: &At<'_>) -> Option<String> {
    let text = reader.text(at)?;
    if text.trim().is_empty() || text.contains('\0') || text.len() > SQL_MAX_BYTES {
        reader.refuse(at, format!("must have 1 to {SQL_MAX_BYTES} bytes and no U+0000"), "");
        return None;
    }
    Some(text.to_owned())
}

impl MigrationStep {
    /// What takes it back, if it is known without a look at the data.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        match self {
            Self::RenameField { collection, from, to } => {
                Some(Self::RenameField { collection: collection.clone(), from: to.clone(), to: from.clone() })
            }
            Self::RenameCollection { from, to } => {
                Some(Self::RenameCollection { from: to.clone(), to: from.clone() })
            }
            Self::Sql { up, down } => Some(Self::Sql { up: down.clone()?, down: Some(up.clone()) }),
            // The field it filled goes with the schema; where it wrote over values it is not reversible.
            Self::ChangeType { .. } | Self::Backfill { .. } => None,
        }
    }
}
