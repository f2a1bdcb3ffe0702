//! Compares schemas collection by collection. Indexes are dropped before and created after the
//! fields they name are changed.

use std::sync::Arc;

use super::field::compare_field;
use super::{Change, Check, Otherwise, Step};
use crate::schema::{Collection, CollectionRules, DefaultValue, Field, Index, Schema};

/// The changes that lead from `old` (`None`: nothing yet) to `new`, in an order in which their steps
/// can be carried out. Empty if nothing changes.
#[must_use]
pub fn diff(old: Option<&Schema>, new: &Schema) -> Vec<Change> {
    let mut changes = Vec::new();
    let before = |name: &str| old.and_then(|old| old.collections.get(name));
    for (name, collection) in &new.collections {
        match before(name) {
            None => changes.push(Change::safe(
                format!("create the collection {name}"),
                Step::CreateCollection(Arc::clone(collection)),
            )),
            Some(old) => compare(old, collection, &mut changes),
        }
    }
    let gone = |name: &&String| !new.collections.contains_key(*name);
    for name in old.iter().flat_map(|old| old.collections.keys()).filter(gone) {
        changes.extend(before(name).map(drop_collection));
    }
    compare_functions(old, new, &mut changes);
    changes
}

fn drop_collection(collection: &Arc<Collection>) -> Change {
    let name = &collection.name;
    Change::risky(
        format!("drop the collection {name} with all its documents"),
        Check::Documents { collection: name.clone() },
        Step::DropCollection(Arc::clone(collection)),
    )
}

/// A table is made anew before anything else is done to it, because that does the rest, too.
fn compare(old: &Arc<Collection>, new: &Arc<Collection>, changes: &mut Vec<Change>) {
    let name = &new.name;
    let (old_indexes, new_indexes) = (old.all_indexes(), new.all_indexes());
    for index in old_indexes.iter().filter(|index| !new_indexes.contains(index)) {
        let step = Step::DropIndex { index: index.name.clone() };
        changes.push(Change::safe(format!("drop the {} of {name}", show(index)), step));
    }
    let mut of_fields = Vec::new();
    for (place, field) in new.fields.iter().enumerate() {
        match old.field(&field.name) {
            None => of_fields.push(add_field(old, new, place, field)),
            Some((_, before)) => compare_field(old, before, field, new, &mut of_fields),
        }
    }
    for field in old.fields.iter().filter(|field| new.field(&field.name).is_none()) {
        of_fields.push(drop_field(old, new, field));
    }
    of_fields.sort_by_key(|change| !matches!(change.step, Step::Rebuild { .. }));
    let rebuilt = of_fields.first().is_some_and(|change| matches!(change.step, Step::Rebuild { .. }));
    changes.append(&mut of_fields);
    for index in new_indexes.iter().filter(|index| !old_indexes.contains(index)) {
        changes.push(create_index(old, new, index));
    }
    let searched = |collection: &Collection| {
        let fields = collection.fields.iter().filter(|field| field.search);
        fields.map(|field| (field.name.clone(), field.kind.clone())).collect::<Vec<_>>()
    };
    if searched(old) != searched(new) {
        let step = Step::Search(Arc::clone(new));
        changes.push(Change::safe(format!("make the full-text index of {name} anew"), step));
    } else if rebuilt && !searched(new).is_empty() {
        let step = Step::Search(Arc::clone(new));
        changes.push(Change::safe(format!("fill the full-text index of {name} again"), step));
    }
    if without_positions(&old.rules) != without_positions(&new.rules) {
        changes.push(Change::safe(format!("change the rules of {name}"), Step::None));
    }
}

fn add_field(old: &Arc<Collection>, new: &Arc<Collection>, place: usize, field: &Field) -> Change {
    let name = format!("{}.{}", new.name, field.name);
    let step = Step::AddField { collection: Arc::clone(new), field: place };
    match &field.default {
        _ if field.primary => Change::impossible(
            format!("make {name} the primary field"),
            "the documents there are have no value for it",
        ),
        Some(DefaultValue::Auto) => Change::safe(
            format!("add the field {name} with an id of its own in every document"),
            rebuild(old, new),
        ),
        Some(DefaultValue::Now) => Change::safe(format!("add the field {name} with the current time"), step),
        Some(DefaultValue::Literal(value)) => {
            Change::safe(format!("add the field {name} with {value} in every document"), step)
        }
        None if field.nullable => Change::safe(format!("add the field {name}"), step),
        None if field.on_update_now => {
            Change::safe(format!("add the field {name} with the current time"), step)
        }
        None => Change::refused_if(
            Check::Documents { collection: old.name.clone() },
            format!("add the field {name}"),
            "the documents there are have no value for it; give it a default, make it nullable or backfill it in a migration",
            rebuild(old, new),
        ),
    }
}

fn drop_field(old: &Arc<Collection>, new: &Arc<Collection>, field: &Field) -> Change {
    let (collection, name) = (&old.name, &field.name);
    if field.primary {
        return Change::impossible(
            format!("drop the primary field {collection}.{name}"),
            "documents need an id",
        );
    }
    let check = Check::Values { collection: collection.clone(), field: name.clone() };
    Change::risky(format!("drop the field {collection}.{name} with all its values"), check, rebuild(old, new))
}

pub(super) fn rebuild(old: &Arc<Collection>, new: &Arc<Collection>) -> Step {
    Step::Rebuild { old: Arc::clone(old), new: Arc::clone(new), otherwise: Otherwise::Refuse }
}

/// A unique index is impossible while two documents have the same values.
fn create_index(old: &Collection, new: &Arc<Collection>, index: &Index) -> Change {
    let step = Step::CreateIndex { collection: Arc::clone(new), index: index.clone() };
    let description = format!("create the {} of {}", show(index), new.name);
    let is_new = |name: &&String| old.field(name).is_none();
    if !index.unique {
        return Change::safe(description, step);
    }
    let fresh: Vec<&String> = index.fields.iter().filter(is_new).collect();
    let check = match fresh.as_slice() {
        [] => Check::Duplicates { collection: new.name.clone(), fields: index.fields.clone() },
        // Null is no value, and new ids differ.
        fresh if fresh.iter().any(|name| differs(new, name)) => return Change::safe(description, step),
        // One value for all documents.
        _ => Check::Documents { collection: new.name.clone() },
    };
    Change::refused_if(check, description, "documents have the same values", step)
}

fn differs(collection: &Collection, field: &str) -> bool {
    collection.field(field).is_some_and(|(_, field)| match &field.default {
        None => field.nullable,
        Some(default) => *default == DefaultValue::Auto,
    })
}

fn show(index: &Index) -> String {
    let word = if index.unique { "unique index" } else { "index" };
    format!("{word} {} on {}", index.name, index.fields.join(", "))
}

/// Rules without their places, which change with every edit above them.
fn without_positions(rules: &CollectionRules) -> [Option<(&str, bool)>; 6] {
    let CollectionRules { create, get, list, subscribe, update, delete } = rules;
    [create, get, list, subscribe, update, delete]
        .map(|rule| rule.as_ref().map(|rule| (rule.text.as_str(), rule.post_filter)))
}

fn compare_functions(old: Option<&Schema>, new: &Schema, changes: &mut Vec<Change>) {
    let before = |name: &str| old.and_then(|old| old.functions.get(name));
    for (name, function) in &new.functions {
        let description = match before(name) {
            None => format!("add the function {name}"),
            Some(old) => {
                let mut old = (**old).clone();
                old.position = function.position;
                if let (Some(old), Some(new)) = (&mut old.rules.invoke, &function.rules.invoke) {
                    (old.position, old.path) = (new.position, new.path.clone());
                }
                if old == **function {
                    continue;
                }
                format!("change the function {name}")
            }
        };
        changes.push(Change::safe(description, Step::None));
    }
    for name in old.iter().flat_map(|old| old.functions.keys()) {
        if !new.functions.contains_key(name) {
            changes.push(Change::safe(format!("remove the function {name}"), Step::None));
        }
    }
}
