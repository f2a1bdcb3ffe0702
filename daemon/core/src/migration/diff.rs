//! Compares schemas collection by collection. Indexes are dropped before and created after the
//! fields they name are changed.

use std::sync::Arc;

use super::field::compare_field;
use super::{Change, Class, Step};
use crate::schema::{Collection, Field, Index, Schema};

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
        let description = format!("drop the collection {name} with all its documents");
        changes.push(Change::risky(description, Step::DropCollection { collection: name.clone() }));
    }
    compare_functions(old, new, &mut changes);
    changes
}

impl Change {
    pub(super) fn safe(description: String, step: Step) -> Self {
        Self { class: Class::Safe, description, step }
    }

    pub(super) fn risky(description: String, step: Step) -> Self {
        Self { class: Class::NeedsConfirmation, description, step }
    }

    pub(super) fn impossible(description: String) -> Self {
        Self { class: Class::Impossible, description, step: Step::None }
    }
}

fn compare(old: &Collection, new: &Arc<Collection>, changes: &mut Vec<Change>) {
    let name = &new.name;
    let (old_indexes, new_indexes) = (old.all_indexes(), new.all_indexes());
    for index in old_indexes.iter().filter(|index| !new_indexes.contains(index)) {
        let step = Step::DropIndex { collection: name.clone(), index: index.name.clone() };
        changes.push(Change::safe(format!("drop the {} of {name}", show(index)), step));
    }
    for (place, field) in new.fields.iter().enumerate() {
        match old.field(&field.name) {
            None => changes.push(add_field(new, place, field)),
            Some((_, old)) => compare_field(old, field, new, changes),
        }
    }
    for field in old.fields.iter().filter(|field| new.field(&field.name).is_none()) {
        changes.push(drop_field(name, field));
    }
    for index in new_indexes.iter().filter(|index| !old_indexes.contains(index)) {
        changes.push(create_index(old, new, index));
    }
    if without_positions(&old.rules) != without_positions(&new.rules) {
        changes.push(Change::safe(format!("change the rules of {name}"), Step::None));
    }
}

fn add_field(collection: &Arc<Collection>, place: usize, field: &Field) -> Change {
    let name = format!("{}.{}", collection.name, field.name);
    let step = Step::AddField { collection: Arc::clone(collection), field: place };
    match &field.default {
        _ if field.primary => Change::impossible(format!(
            "make {name} the primary field: the documents there are have no value for it"
        )),
        _ if field.nullable => Change::safe(format!("add the field {name}"), step),
        Some(crate::schema::DefaultValue::Literal(value)) => {
            Change::safe(format!("add the field {name} with {value} in every document"), step)
        }
        None if !field.on_update_now => Change::impossible(format!(
            "add the field {name}: the documents there are have no value for it; give it a default or make it nullable"
        )),
        _ => {
            let reason = "every document needs a value of its own".to_owned();
            let description = format!("add the field {name}: {reason}");
            Change::risky(description, Step::Rebuild { collection: Arc::clone(collection), reason })
        }
    }
}

fn drop_field(collection: &str, field: &Field) -> Change {
    let name = &field.name;
    if field.primary {
        return Change::impossible(format!("drop the primary field {collection}.{name}"));
    }
    let step = Step::DropField { collection: collection.to_owned(), field: name.clone() };
    Change::risky(format!("drop the field {collection}.{name} with all its values"), step)
}

/// A unique index is safe only where every field in it is new and null.
fn create_index(old: &Collection, new: &Arc<Collection>, index: &Index) -> Change {
    let step = Step::CreateIndex { collection: Arc::clone(new), index: index.clone() };
    let description = format!("create the {} of {}", show(index), new.name);
    let null = |name: &String| {
        let nullable = new.field(name).is_some_and(|(_, field)| field.nullable && field.default.is_none());
        old.field(name).is_none() && nullable
    };
    if !index.unique || index.fields.iter().any(null) {
        return Change::safe(description, step);
    }
    let reason = "it fails if two documents have the same values";
    Change::risky(format!("{description}: {reason}"), step)
}

fn show(index: &Index) -> String {
    let word = if index.unique { "unique index" } else { "index" };
    format!("{word} {} on {}", index.name, index.fields.join(", "))
}

/// Rules without their places, which change with every edit above them.
fn without_positions(rules: &crate::schema::CollectionRules) -> [Option<&str>; 5] {
    [&rules.create, &rules.get, &rules.list, &rules.update, &rules.delete]
        .map(|rule| rule.as_ref().map(|rule| rule.text.as_str()))
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
