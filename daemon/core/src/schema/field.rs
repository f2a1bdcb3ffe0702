//! Reads one field: its type, its options and which of them go together.

use super::field_options::{self, Options};
use super::reader::{At, Reader, Section};
use super::yaml::Yaml;
use super::{
    DefaultValue, Field, FieldKind, FieldRules, OnDelete, PrimaryKind, RichText, SelectOptions, Validation,
};
use crate::document::convert::convert;
use crate::limits::{SELECT_VALUE_MAX_BYTES, SELECT_VALUES_MAX};

/// The types of `type:`. What further options bring is filled in later.
const TYPES: &[(&str, FieldType)] = &[
    ("id", FieldType::Plain(FieldKind::Id)),
    ("uuid", FieldType::Plain(FieldKind::Uuid)),
    ("string", FieldType::Plain(FieldKind::String)),
    ("text", FieldType::Plain(FieldKind::Text)),
    ("richtext", FieldType::RichText),
    ("int", FieldType::Plain(FieldKind::Int)),
    ("float", FieldType::Plain(FieldKind::Float)),
    ("bool", FieldType::Plain(FieldKind::Bool)),
    ("timestamp", FieldType::Plain(FieldKind::Timestamp)),
    ("date", FieldType::Plain(FieldKind::Date)),
    ("json", FieldType::Plain(FieldKind::Json)),
    ("blob", FieldType::Plain(FieldKind::Blob)),
    ("email", FieldType::Plain(FieldKind::Email)),
    ("url", FieldType::Plain(FieldKind::Url)),
    ("select", FieldType::Select),
    ("relation", FieldType::Relation),
];

enum FieldType {
    Plain(FieldKind),
    RichText,
    Select,
    Relation,
}

/// The names of all types.
pub(super) fn type_names() -> Vec<&'static str> {
    TYPES.iter().map(|(name, _)| *name).collect()
}

/// Reads the name of a type that needs no options.
pub(crate) fn plain_kind(reader: &mut Reader<'_>, at: &At<'_>) -> Option<FieldKind> {
    let words: Vec<(&str, &FieldType)> = TYPES.iter().map(|(name, field_type)| (*name, field_type)).collect();
    match reader.word(at, "type", &words)? {
        FieldType::Plain(kind) => Some(kind.clone()),
        FieldType::RichText => Some(FieldKind::RichText(RichText::default())),
        FieldType::Select | FieldType::Relation => {
            reader.refuse(at, "this type needs its options", "write to: { type: …, … } as in the schema");
            None
        }
    }
}

/// Reads a field. Problems are reported; what is returned then is only good for further checks.
pub(crate) fn read(reader: &mut Reader<'_>, name: &str, at: &At<'_>) -> Option<Field> {
    let mut section = reader.section(at)?;
    let declared = section.take("type");
    if declared.is_none() {
        let hint = format!("add type: {}", type_names().join(" | "));
        reader.report(at.key, &at.path, "the field has no type", &hint);
    }
    if let Some(at) =
        declared.as_ref().filter(|at| matches!(&at.node.value, Yaml::Text(text) if text == "file"))
    {
        let hint = "use a field of type blob for small files, or a url to where the file lies";
        reader.refuse(at, "this version does not store files yet", hint);
        return None;
    }
    let words: Vec<(&str, &FieldType)> = TYPES.iter().map(|(name, field_type)| (*name, field_type)).collect();
    let field_type = declared.and_then(|at| reader.word(&at, "type", &words));
    let kind = kind(reader, &mut section, field_type, at);
    let options = field_options::read(reader, &mut section);
    let default = section.take("default");
    section.finish(reader);
    let kind = kind?;
    let mut field = build(name, kind, at, options, reader);
    default_value(reader, &mut field, default.as_ref());
    check(reader, &field, at);
    Some(field)
}

fn build(name: &str, kind: FieldKind, at: &At<'_>, options: Options, reader: &mut Reader<'_>) -> Field {
    let validation = options.validation(reader, &kind);
    Field {
        name: name.to_owned(),
        kind,
        primary: options.primary,
        unique: options.unique,
        nullable: options.nullable,
        index: options.index,
        search: options.search,
        default: None,
        on_update_now: options.on_update_now,
        client: options.client,
        internal: options.internal,
        hidden: options.hidden,
        system: false,
        validation,
        rules: options.rules,
        position: at.key,
    }
}

/// The type with the options that only it has: `select`, `relation`, `references`, `onDelete`.
fn kind(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    field_type: Option<&FieldType>,
    at: &At<'_>,
) -> Option<FieldKind> {
    let select = section.take("select");
    let richtext = section.take("richtext");
    let relation = section.take("relation");
    let references = section.take("references");
    let on_delete = section.take("onDelete");
    let field_type = field_type?;
    if let (Some(at), false) = (&select, matches!(field_type, FieldType::Select)) {
        reader.report(at.key, &at.path, "only a field of type select has this option", "");
    }
    if let (Some(at), false) = (&richtext, matches!(field_type, FieldType::RichText)) {
        reader.report(at.key, &at.path, "only a field of type richtext has this option", "");
    }
    if let (Some(at), false) = (&relation, matches!(field_type, FieldType::Relation)) {
        reader.report(at.key, &at.path, "only a field of type relation has this option", "");
    }
    let may_refer = matches!(
        field_type,
        FieldType::Relation | FieldType::Plain(FieldKind::Id | FieldKind::Uuid | FieldKind::String)
    );
    if let (Some(at), false) = (&references, may_refer) {
        let hint = "use it with type relation, id, uuid or string";
        reader.report(at.key, &at.path, "a field of this type cannot refer to another document", hint);
        return None;
    }
    match (field_type, relation, references) {
        (FieldType::Relation, None, None) => {
            let hint = "add relation: { collection: NAME }";
            reader.report(at.key, &at.path, "the relation has no target", hint);
            None
        }
        (FieldType::Relation, Some(_), Some(references)) => {
            let message = "the target is already given by relation";
            reader.report(references.key, &references.path, message, "remove one of them");
            None
        }
        (FieldType::Relation, Some(relation), None) => read_relation(reader, &relation, on_delete.as_ref()),
        (_, _, Some(references)) => read_references(reader, &references, on_delete.as_ref()),
        (plain, _, None) => {
            if let Some(at) = on_delete {
                reader.report(at.key, &at.path, "only a relation has this option", "");
            }
            match plain {
                FieldType::Plain(kind) => Some(kind.clone()),
                FieldType::RichText => Some(FieldKind::RichText(read_richtext(reader, richtext.as_ref())?)),
                _ => read_select(reader, select.as_ref(), at),
            }
        }
    }
}

fn read_select(reader: &mut Reader<'_>, select: Option<&At<'_>>, at: &At<'_>) -> Option<FieldKind> {
    let Some(select) = select else {
        let hint = "add select: { values: [a, b] }";
        reader.report(at.key, &at.path, "the select has no values", hint);
        return None;
    };
    let mut section = reader.section(select)?;
    let values = section.take("values");
    let max_select = section.take("maxSelect");
    section.finish(reader);
    let max_select = max_select.map_or(Some(1), |at| reader.whole(&at, 1, SELECT_VALUES_MAX as u64));
    let Some(values) = values else {
        reader.report(select.key, &select.path, "values are missing", "add values: [a, b]");
        return None;
    };
    let items = reader.list(&values, SELECT_VALUES_MAX)?;
    if items.is_empty() {
        reader.refuse(&values, "must have at least one value", "");
    }
    let mut texts: Vec<String> = Vec::new();
    for item in &items {
        let Some(text) = reader.text(item) else { continue };
        if text.is_empty() || text.len() > SELECT_VALUE_MAX_BYTES || text.contains('\0') {
            reader.refuse(item, format!("must have 1 to {SELECT_VALUE_MAX_BYTES} bytes and no U+0000"), "");
        } else if texts.iter().any(|other| other == text) {
            reader.refuse(item, format!("the value \"{text}\" stands here twice"), "");
        } else {
            texts.push(text.to_owned());
        }
    }
    // Bounded above, so it fits.
    let max_select = u32::try_from(max_select?).unwrap_or(u32::MAX);
    Some(FieldKind::Select(SelectOptions { values: texts, max_select }))
}

fn read_richtext(reader: &mut Reader<'_>, richtext: Option<&At<'_>>) -> Option<RichText> {
    let Some(at) = richtext else { return Some(RichText::default()) };
    let mut section = reader.section(at)?;
    let preset = section.take("preset");
    section.finish(reader);
    let words = [("basic", RichText::Basic), ("standard", RichText::Standard), ("full", RichText::Full)];
    preset.map_or(Some(RichText::default()), |at| reader.word(&at, "preset", &words))
}

fn read_relation(
    reader: &mut Reader<'_>,
    relation: &At<'_>,
    outer_on_delete: Option<&At<'_>>,
) -> Option<FieldKind> {
    let mut section = reader.section(relation)?;
    let collection = section.take("collection");
    let on_delete = section.take("onDelete");
    section.finish(reader);
    if let (Some(_), Some(outer)) = (&on_delete, outer_on_delete) {
        reader.report(outer.key, &outer.path, "onDelete is already given in relation", "remove one of them");
    }
    let on_delete = read_on_delete(reader, on_delete.as_ref().or(outer_on_delete));
    let Some(collection) = collection else {
        reader.report(relation.key, &relation.path, "collection is missing", "add collection: NAME");
        return None;
    };
    let collection = reader.text(&collection)?.to_owned();
    Some(FieldKind::Relation { collection, on_delete: on_delete?, target: PrimaryKind::Id })
}

/// `references: collection.field`. That the field is the primary one is checked with the target.
fn read_references(
    reader: &mut Reader<'_>,
    references: &At<'_>,
    on_delete: Option<&At<'_>>,
) -> Option<FieldKind> {
    let on_delete = read_on_delete(reader, on_delete);
    let text = reader.text(references)?;
    let Some((collection, _)) = text.split_once('.') else {
        reader.refuse(
            references,
            "must name a collection and its primary field",
            "write references: users.id",
        );
        return None;
    };
    Some(FieldKind::Relation {
        collection: collection.to_owned(),
        on_delete: on_delete?,
        target: PrimaryKind::Id,
    })
}

fn read_on_delete(reader: &mut Reader<'_>, at: Option<&At<'_>>) -> Option<OnDelete> {
    let words =
        [("restrict", OnDelete::Restrict), ("cascade", OnDelete::Cascade), ("set_null", OnDelete::SetNull)];
    at.map_or(Some(OnDelete::Restrict), |at| reader.word(at, "action", &words))
}

fn default_value(reader: &mut Reader<'_>, field: &mut Field, at: Option<&At<'_>>) {
    let Some(at) = at else { return };
    let Some(literal) = field_options::json(reader, at) else { return };
    field.default = match (&field.kind, literal.as_str()) {
        (FieldKind::Id | FieldKind::Uuid, Some("auto")) => Some(DefaultValue::Auto),
        (FieldKind::Timestamp | FieldKind::Date, Some("now")) => Some(DefaultValue::Now),
        _ if literal.is_null() => {
            if !field.nullable {
                reader.refuse(at, "the default is null, but the field is not nullable", "add nullable: true");
            }
            None
        }
        _ => match convert(field, &literal.to_string()) {
            Ok(_) => Some(DefaultValue::Literal(literal)),
            Err(fault) => {
                let hint = match field.kind {
                    FieldKind::Id | FieldKind::Uuid => "auto makes a new one",
                    FieldKind::Timestamp | FieldKind::Date => "now is the current time",
                    _ => "",
                };
                reader.refuse(
                    at,
                    format!("the default is not valid for the field: it {}", fault.message),
                    hint,
                );
                None
            }
        },
    };
    let literal = matches!(field.default, Some(DefaultValue::Literal(_)));
    if literal && field.primary {
        reader.refuse(at, "a primary field cannot have a fixed default", "use auto, or remove the default");
    }
    if literal && matches!(field.kind, FieldKind::Blob) {
        reader.refuse(at, "a blob cannot have a default", "make it nullable");
    }
}

/// What goes together.
fn check(reader: &mut Reader<'_>, field: &Field, at: &At<'_>) {
    let mut refuse = |message: &str, hint: &str| reader.report(at.key, &at.path, message, hint);
    if field.primary {
        if !matches!(field.kind, FieldKind::Id | FieldKind::Uuid | FieldKind::String) {
            refuse(
                "a primary field must be of type id, uuid or string",
                "use { type: id, primary: true, default: auto }",
            );
        }
        if field.nullable {
            refuse("a primary field cannot be nullable", "remove nullable");
        }
        if field.search {
            refuse("a primary field cannot be searched", "get the document by its id");
        }
        if field.internal || field.hidden {
            refuse("a primary field cannot be internal or hidden", "");
        }
    } else if field.name == "id" {
        refuse("a field named id must be the primary one", "add primary: true, or use another name");
    }
    let indexable = !matches!(field.kind, FieldKind::Json | FieldKind::Blob) && !field.kind.is_json_text();
    if !indexable && (field.unique || field.index) {
        refuse("a field of this type cannot be unique or indexed", "");
    }
    if field.search {
        check_search(field, &mut refuse);
    }
    if field.on_update_now && field.kind != FieldKind::Timestamp {
        refuse("onUpdate: now needs a field of type timestamp", "");
    }
    let set_by_server =
        matches!(field.default, Some(DefaultValue::Auto | DefaultValue::Now)) || field.on_update_now;
    if field.client && !set_by_server {
        refuse(
            "client: true has no effect here",
            "it lets clients set what default: auto, default: now or onUpdate: now would set",
        );
    }
    if field.internal && field.hidden {
        refuse(
            "a field is either internal or hidden",
            "internal: never leaves the server and clients cannot set it; hidden: clients can set it",
        );
    }
    check_rules(field, &mut refuse);
    let has_value = field.nullable || field.default.is_some() || field.on_update_now;
    if field.internal && !has_value {
        refuse(
            "an internal field needs a default or nullable: true",
            "clients cannot set it, so nothing could be created",
        );
    }
    if let FieldKind::Relation { on_delete: OnDelete::SetNull, .. } = field.kind
        && !field.nullable
    {
        refuse("onDelete: set_null needs a nullable field", "add nullable: true");
    }
    if field.primary && matches!(field.kind, FieldKind::Relation { .. }) {
        refuse("a primary field cannot be a relation", "");
    }
}

/// What can be part of a full-text index.
fn check_search(field: &Field, refuse: &mut impl FnMut(&str, &str)) {
    if !field.kind.is_prose() {
        refuse("a field of this type cannot be searched", "it is for string, text, richtext, email and url");
    }
    if matches!(field.name.as_str(), "rank" | "rowid") {
        refuse(
            "a field named rank or rowid cannot be searched",
            "the full-text index has columns of these names",
        );
    }
    if field.internal || field.hidden {
        refuse("an internal or hidden field cannot be searched", "clients would learn what it holds");
    }
}

/// A rule that could never matter is a misunderstanding.
fn check_rules(field: &Field, refuse: &mut impl FnMut(&str, &str)) {
    if field.rules.read.is_some() && field.primary {
        refuse("a primary field cannot have a read rule", "whoever may see the document knows its id");
    }
    if field.rules.read.is_some() && (field.internal || field.hidden) {
        refuse("a read rule has no effect here", "internal and hidden fields are never shown to clients");
    }
    if field.rules.write.is_some() && (field.internal || field.is_server_set()) {
        refuse("a write rule has no effect here", "clients cannot set this field anyway");
    }
}

/// A field without options, for the built-in fields of `users`.
pub(super) fn plain(name: &str, kind: FieldKind) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        primary: false,
        unique: false,
        nullable: false,
        index: false,
        search: false,
        default: None,
        on_update_now: false,
        client: false,
        internal: false,
        hidden: false,
        system: true,
        validation: Validation::default(),
        rules: FieldRules::default(),
        position: super::Position { line: 1, column: 1 },
    }
}
