//! Compares two versions of one field.

use std::sync::Arc;

use super::{Change, Step};
use crate::schema::{Collection, Field, FieldKind, RichText};

/// Adds what separates two versions of a field. Indexes are compared elsewhere.
pub(super) fn compare_field(
    old: &Field,
    new: &Field,
    collection: &Arc<Collection>,
    changes: &mut Vec<Change>,
) {
    let name = format!("{}.{}", collection.name, new.name);
    if old.primary != new.primary {
        let description = format!("change which field of {} is primary: {name}", collection.name);
        changes.push(Change::impossible(description));
        return;
    }
    let reasons = rebuild_reasons(old, new);
    if reasons.is_empty() {
        if old.kind != new.kind {
            let (from, to) = (old.kind.as_str(), new.kind.as_str());
            let what = match from == to {
                true => "change the options of its type".to_owned(),
                false => format!("change the type from {from} to {to}; it is stored alike"),
            };
            changes.push(Change::safe(format!("{name}: {what}"), Step::None));
        }
    } else {
        let reason = reasons.join("; ");
        let step = Step::Rebuild { collection: Arc::clone(collection), reason: reason.clone() };
        changes.push(Change::risky(format!("{name}: {reason}"), step));
    }
    // Validation and the rest apply to what is written from now on.
    let aligned = Field {
        kind: new.kind.clone(),
        nullable: new.nullable,
        unique: new.unique,
        index: new.index,
        position: new.position,
        ..old.clone()
    };
    if aligned != *new {
        let description = format!("{name}: change its options; documents there are keep their values");
        changes.push(Change::safe(description, Step::None));
    }
}

/// What SQLite cannot alter in place, or what the values there are may not survive.
fn rebuild_reasons(old: &Field, new: &Field) -> Vec<String> {
    let mut reasons = Vec::new();
    match (old.nullable, new.nullable) {
        (true, false) => {
            reasons.push("it is no longer nullable, so a null that is there is refused".to_owned())
        }
        (false, true) => reasons.push("it becomes nullable, so the table is made anew".to_owned()),
        _ => {}
    }
    reasons.extend(kind_reason(&old.kind, &new.kind));
    reasons
}

fn kind_reason(old: &FieldKind, new: &FieldKind) -> Option<String> {
    match (old, new) {
        (FieldKind::Relation { collection: a, .. }, FieldKind::Relation { collection: b, .. }) if a != b => {
            Some(format!("it refers to {b} instead of {a}"))
        }
        (FieldKind::Relation { on_delete: a, .. }, FieldKind::Relation { on_delete: b, .. }) if a != b => {
            Some("its onDelete changes".to_owned())
        }
        // The reference is part of the table.
        (FieldKind::Relation { .. }, FieldKind::Relation { .. }) => None,
        (FieldKind::Relation { .. }, _) => Some("it is no relation any more".to_owned()),
        (_, FieldKind::Relation { .. }) => Some("it becomes a relation".to_owned()),
        (FieldKind::Select(_), FieldKind::Select(_)) if old.is_json_text() == new.is_json_text() => None,
        (FieldKind::Select(_), FieldKind::Select(_)) => {
            Some("one value and several values are stored differently".to_owned())
        }
        _ if old == new => None,
        _ if widens(old, new) => None,
        _ => Some(format!("its type changes from {} to {}", old.as_str(), new.as_str())),
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
