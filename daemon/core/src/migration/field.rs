//! Compares two versions of one field.

use std::sync::Arc;

use super::diff::rebuild;
use super::{Change, Check, Otherwise, Step};
use crate::schema::{Collection, Field, FieldKind, RichText};

/// Adds what separates two versions of a field. Indexes are compared elsewhere.
pub(super) fn compare_field(
    old_collection: &Arc<Collection>,
    old: &Field,
    new: &Field,
    collection: &Arc<Collection>,
    changes: &mut Vec<Change>,
) {
    let name = format!("{}.{}", collection.name, new.name);
    if old.primary != new.primary {
        let description = format!("change which field of {} is primary: {name}", collection.name);
        changes.push(Change::impossible(description, "documents are known by it"));
        return;
    }
    let step = || rebuild(old_collection, collection);
    match (old.nullable, new.nullable) {
        (true, false) => {
            let check = Check::Nulls { collection: old_collection.name.clone(), field: old.name.clone() };
            let description = format!("{name}: it is no longer nullable");
            changes.push(Change::refused_if(check, description, "there are nulls", step()));
        }
        (false, true) => changes.push(Change::safe(format!("{name}: it becomes nullable"), step())),
        _ => {}
    }
    changes.extend(compare_kind(old_collection, old, new, &name, step));
    // Validation and the rest apply to what is written from now on.
    let aligned = Field {
        kind: new.kind.clone(),
        nullable: new.nullable,
        unique: new.unique,
        index: new.index,
        search: new.search,
        rules: new.rules.clone(),
        position: new.position,
        ..old.clone()
    };
    let rules = |field: &Field| {
        [&field.rules.read, &field.rules.write].map(|rule| rule.as_ref().map(|rule| rule.text.clone()))
    };
    if rules(old) != rules(new) {
        changes.push(Change::safe(format!("{name}: change its rules"), Step::None));
    }
    if aligned != *new {
        let description = format!("{name}: change its options; documents there are keep their values");
        changes.push(Change::safe(description, Step::None));
    }
}

fn compare_kind(
    collection: &Arc<Collection>,
    old: &Field,
    new: &Field,
    name: &str,
    step: impl Fn() -> Step,
) -> Option<Change> {
    let (from, to) = (&old.kind, &new.kind);
    if from == to {
        return None;
    }
    let relation = |kind: &FieldKind| matches!(kind, FieldKind::Relation { .. });
    if is_stored_alike(from, to) {
        // A reference is part of the table.
        let what = match (relation(from), from.as_str() == to.as_str()) {
            (true, true) => "change where it refers to, or its onDelete".to_owned(),
            (_, true) => "change the options of its type".to_owned(),
            (_, false) => {
                format!("change the type from {} to {}; it is stored alike", from.as_str(), to.as_str())
            }
        };
        let step = if relation(from) { step() } else { Step::None };
        return Some(Change::safe(format!("{name}: {what}"), step));
    }
    let check = Check::Conversion {
        collection: Arc::clone(collection),
        old: Box::new(old.clone()),
        new: Box::new(new.clone()),
        otherwise: Otherwise::Refuse,
    };
    Some(Change::risky(format!("{name}: {}", describe_conversion(from, to)), check, step()))
}

/// What is said of a change of type that converts values.
pub(super) fn describe_conversion(from: &FieldKind, to: &FieldKind) -> String {
    match (from, to) {
        (FieldKind::Select(_), FieldKind::Select(_)) => {
            "one value and several values are stored differently; every value is converted".to_owned()
        }
        (FieldKind::RichText(_), FieldKind::RichText(_)) => {
            "its preset becomes narrower; every text is cleaned again".to_owned()
        }
        _ => format!("its type changes from {} to {}; every value is converted", from.as_str(), to.as_str()),
    }
}

/// Whether a stored value stays as it is when the type changes.
#[must_use]
pub(super) fn is_stored_alike(old: &FieldKind, new: &FieldKind) -> bool {
    match (old, new) {
        (FieldKind::Relation { target: a, .. }, FieldKind::Relation { target: b, .. }) => a == b,
        (FieldKind::Select(_), FieldKind::Select(_)) => old.is_json_text() == new.is_json_text(),
        _ => old == new || widens(old, new),
    }
}

/// Whether every stored value of `old` is one of `new`.
fn widens(old: &FieldKind, new: &FieldKind) -> bool {
    let text = !matches!(old, FieldKind::Int | FieldKind::Float | FieldKind::Bool | FieldKind::Blob);
    // What a wider preset kept, it would keep again.
    let richer = |preset: RichText| match preset {
        RichText::Basic => 0,
        RichText::Standard => 1,
        RichText::Full => 2,
    };
    if let (FieldKind::RichText(old), FieldKind::RichText(new)) = (old, new) {
        return richer(*old) <= richer(*new);
    }
    matches!(new, FieldKind::String | FieldKind::Text) && text && !old.is_json_text()
}
