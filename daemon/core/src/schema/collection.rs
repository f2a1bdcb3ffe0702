//! Reads one collection: its fields, declared indexes and rules. What depends on other collections
//! is checked by [`super::check`].

use std::collections::HashSet;

use super::reader::{At, Reader};
use super::{
    Collection, CollectionRules, Field, FieldKind, Index, Position, RuleSource, SortOrder, field, users,
};
use crate::limits::{FIELDS_MAX, INDEX_FIELDS_MAX, INDEXES_MAX};

/// Reads a collection. Problems are reported; what is returned then is only good for further checks.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, at: &At<'_>) -> Option<Collection> {
    let mut section = reader.section(at)?;
    let fields = section.take("fields");
    let indexes = section.take("indexes");
    let rules = section.take("rules");
    section.finish(reader);
    let is_users = name == users::USERS;
    let mut collection = Collection {
        name: name.to_owned(),
        fields: if is_users { users::base_fields() } else { Vec::new() },
        indexes: Vec::new(),
        rules: rules.map(|at| read_rules(reader, &at)).unwrap_or_default(),
        position: at.key,
    };
    let fields_path = fields.as_ref().map_or_else(|| at.path.clone(), |at| at.path.clone());
    for (name, at) in fields.map(|at| reader.named(&at, FIELDS_MAX, "fields")).unwrap_or_default() {
        let declared = field::read(reader, name, &at);
        if is_users && !users::accepts(reader, name, &at, declared.as_ref()) {
            continue;
        }
        collection.fields.extend(declared);
    }
    // A field that could not be read may have been the primary one.
    if !reader.has_problem_below(&fields_path) {
        check_primary(reader, &collection.fields, at);
    }
    if let Some(at) = indexes {
        collection.indexes = read_indexes(reader, &at, &collection.fields);
    }
    Some(collection)
}

fn check_primary(reader: &mut Reader<'_>, fields: &[Field], at: &At<'_>) {
    let mut primary = fields.iter().filter(|field| field.primary);
    match (primary.next(), primary.next()) {
        (None, _) => {
            let hint = "add id: { type: id, primary: true, default: auto }";
            reader.report(at.key, &at.path, "the collection has no primary field", hint);
        }
        (Some(first), Some(second)) => {
            let message = format!("\"{}\" and \"{}\" are both primary", first.name, second.name);
            reader.report(second.position, &at.path, message, "a collection has exactly one primary field");
        }
        (Some(_), None) => {}
    }
}

fn read_rules(reader: &mut Reader<'_>, at: &At<'_>) -> CollectionRules {
    let Some(mut section) = reader.section(at) else { return CollectionRules::default() };
    let mut filter = |key| section.take(key).and_then(|at| read_list_rule(reader, &at));
    let (read, list) = (filter("read"), filter("list"));
    let mut rule = |key| section.take(key).and_then(|at| read_rule(reader, &at));
    let rules = CollectionRules {
        create: rule("create"),
        get: rule("get").or_else(|| read.clone()),
        list: list.or_else(|| read.clone()),
        subscribe: rule("subscribe").or_else(|| read.clone()),
        update: rule("update"),
        delete: rule("delete"),
    };
    section.finish(reader);
    rules
}

/// Reads a rule that may be a post filter: text, or `{ rule: text, post_filter: true }`.
fn read_list_rule(reader: &mut Reader<'_>, at: &At<'_>) -> Option<RuleSource> {
    if !matches!(at.node.value, super::yaml::Yaml::Map(_)) {
        return read_rule(reader, at);
    }
    let mut section = reader.section(at)?;
    let (rule, post_filter) = (section.take("rule"), section.take("post_filter"));
    section.finish(reader);
    let post_filter = post_filter.map_or(Some(false), |at| reader.bool(&at));
    let Some(rule) = rule else {
        let hint = "write { rule: \"…\", post_filter: true }";
        reader.report(at.key, &at.path, "the rule has no text", hint);
        return None;
    };
    Some(RuleSource { post_filter: post_filter?, ..read_rule(reader, &rule)? })
}

/// Reads a rule. Its text is compiled with the catalog, not here.
pub(super) fn read_rule(reader: &mut Reader<'_>, at: &At<'_>) -> Option<RuleSource> {
    if let super::yaml::Yaml::Bool(value) = at.node.value {
        reader.refuse(at, "a rule must be text", &format!("write \"{value}\" with quotes"));
        return None;
    }
    let text = reader.text(at)?;
    if text.trim().is_empty() {
        reader.refuse(at, "the rule is empty", "remove it: without a rule only administrators are allowed");
        return None;
    }
    Some(RuleSource {
        text: text.to_owned(),
        position: at.node.content,
        path: at.path.clone(),
        post_filter: false,
    })
}

fn read_indexes(reader: &mut Reader<'_>, at: &At<'_>, fields: &[Field]) -> Vec<Index> {
    let items = reader.list(at, INDEXES_MAX).unwrap_or_default();
    items.iter().filter_map(|item| read_index(reader, item, fields)).collect()
}

fn read_index(reader: &mut Reader<'_>, at: &At<'_>, fields: &[Field]) -> Option<Index> {
    let mut section = reader.section(at)?;
    let (name, columns) = (section.take("name"), section.take("fields"));
    let (unique, order) = (section.take("unique"), section.take("order"));
    section.finish(reader);
    let unique = unique.map_or(Some(false), |at| reader.bool(&at));
    let words = [("asc", SortOrder::Ascending), ("desc", SortOrder::Descending)];
    let order = order.map_or(Some(SortOrder::Ascending), |at| reader.word(&at, "order", &words));
    let name = match name {
        None => {
            reader.report(at.key, &at.path, "the index has no name", "add name: idx_…");
            None
        }
        Some(at) => reader.text(&at).filter(|name| reader.name(name, at.node.position, &at.path)),
    };
    let Some(columns) = columns else {
        reader.report(at.key, &at.path, "the index has no fields", "add fields: [a, b]");
        return None;
    };
    let columns = read_index_fields(reader, &columns, fields)?;
    Some(Index { name: name?.to_owned(), fields: columns, unique: unique?, order: order? })
}

fn read_index_fields(reader: &mut Reader<'_>, at: &At<'_>, fields: &[Field]) -> Option<Vec<String>> {
    let items = reader.list(at, INDEX_FIELDS_MAX)?;
    if items.is_empty() {
        reader.refuse(at, "must name at least one field", "");
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for item in &items {
        let Some(name) = reader.text(item) else { continue };
        let shown = super::reader::shorten(name);
        match fields.iter().find(|field| field.name == name) {
            None => {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                reader.refuse(
                    item,
                    format!("there is no field \"{shown}\""),
                    &super::reader::suggestion(name, &names),
                );
            }
            Some(field) if matches!(field.kind, FieldKind::Blob) || field.kind.is_json_text() => {
                reader.refuse(item, format!("a field of type {} cannot be indexed", field.kind.as_str()), "");
            }
            Some(_) if !seen.insert(name) => {
                reader.refuse(item, format!("the field \"{shown}\" stands here twice"), "")
            }
            Some(_) => columns.push(name.to_owned()),
        }
    }
    (columns.len() == items.len() && !columns.is_empty()).then_some(columns)
}

/// The place of what the file does not declare.
pub(super) const BUILT_IN: Position = Position { line: 1, column: 1 };
