//! Checks that need the whole schema: relations and their targets, and names that must be unique in
//! one database.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::reader::{At, Reader, join, shorten, suggestion};
use super::yaml::{Node, Yaml};
use super::{Collection, FieldKind, Index, PrimaryKind};

/// Checks collections against each other and completes their relations. `at` is the node of
/// `collections`, for positions.
pub(super) fn check(
    reader: &mut Reader<'_>,
    collections: &mut IndexMap<String, Collection>,
    at: Option<&At<'_>>,
) {
    let primaries: HashMap<String, (String, Option<PrimaryKind>)> = collections
        .values()
        .filter_map(|collection| {
            let primary = collection.fields.iter().find(|field| field.primary)?;
            let kind = match primary.kind {
                FieldKind::Id => Some(PrimaryKind::Id),
                FieldKind::Uuid => Some(PrimaryKind::Uuid),
                FieldKind::String => Some(PrimaryKind::String),
                _ => None,
            };
            Some((collection.name.clone(), (primary.name.clone(), kind)))
        })
        .collect();
    let declared = at.map(|at| at.node);
    let names: Vec<String> = collections.keys().cloned().collect();
    // A collection with a problem of its own is not in the list, but its name is known.
    let mut known: Vec<&str> = names.iter().map(String::as_str).chain(keys(declared)).collect();
    known.sort_unstable();
    known.dedup();
    for collection in collections.values_mut() {
        let path = join(&join("collections", &collection.name), "fields");
        let fields =
            declared.and_then(|node| child(node, &collection.name)).and_then(|node| child(node, "fields"));
        for field in &mut collection.fields {
            let FieldKind::Relation { collection: name, target, .. } = &mut field.kind else { continue };
            let path = join(&path, &field.name);
            match primaries.get(name.as_str()) {
                Some((primary, kind)) => {
                    *target = kind.unwrap_or(PrimaryKind::Id);
                    let node = fields.and_then(|fields| child(fields, &field.name));
                    check_reference(reader, node, &path, (name.as_str(), primary.as_str()), *kind);
                }
                None if known.contains(&name.as_str()) => {}
                None => {
                    let message = format!("there is no collection \"{}\"", shorten(name));
                    reader.report(field.position, &path, message, &suggestion(name, &known));
                }
            }
        }
    }
    check_indexes(reader, collections);
}

/// What the short form says beyond the name of the collection: the field, and by `type` its type.
fn check_reference(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    path: &str,
    (collection, primary): (&str, &str),
    kind: Option<PrimaryKind>,
) {
    let Some(references) = node.and_then(|node| child(node, "references")) else { return };
    let path = join(path, "references");
    let named = text(references).and_then(|text| text.split_once('.')).map(|(_, field)| field);
    if named.is_some_and(|named| named != primary) {
        let hint = format!("write {collection}.{primary}");
        reader.report(references.position, &path, "a reference must name the primary field", &hint);
    }
    let declared = match node.and_then(|node| child(node, "type")).and_then(text) {
        Some("id") => PrimaryKind::Id,
        Some("uuid") => PrimaryKind::Uuid,
        Some("string") => PrimaryKind::String,
        _ => return,
    };
    if kind.is_some_and(|kind| kind != declared) {
        let message = format!("the type differs from that of {collection}.{primary}");
        reader.report(references.position, &path, message, "use type relation");
    }
}

/// Indexes share one space of names with tables.
fn check_indexes(reader: &mut Reader<'_>, collections: &IndexMap<String, Collection>) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    let indexes = collections
        .values()
        .flat_map(|collection| collection.indexes.iter().map(move |index| (collection, index)));
    for (collection, index) in indexes {
        let Index { name, .. } = index;
        let path = join(&join("collections", &collection.name), "indexes");
        if collections.contains_key(name) {
            let message = format!("the index \"{name}\" has the name of a collection");
            reader.report(collection.position, &path, message, "rename the index");
        } else if let Some(owner) = owners.insert(name, &collection.name) {
            let message = format!("the name of the index \"{name}\" is used twice, first in \"{owner}\"");
            reader.report(collection.position, &path, message, "index names are unique in the whole schema");
        }
    }
}

fn keys(node: Option<&Node>) -> impl Iterator<Item = &str> {
    let entries = match node.map(|node| &node.value) {
        Some(Yaml::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, _)| key.text.as_str())
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Yaml::Map(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Yaml::Text(text) => Some(text),
        _ => None,
    }
}
