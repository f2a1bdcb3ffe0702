//! What a step of a migration file does to the schema it meets. The schema moves on with every step, so
//! that the next one, and at last the comparison with the wanted schema, start from where it got.

use std::sync::Arc;

use super::field::describe_conversion;
use super::{BackfillSource, Change, Check, MigrationStep, Otherwise, Step, Which};
use crate::document::convert::convert;
use crate::schema::{Collection, Field, FieldKind, PrimaryKind, Schema, Validation};

/// Moves `schema` on by one step. `later` are the steps that follow it, `target` is the schema after
/// all: fields that a backfill fills before they are added are looked up there.
///
/// # Errors
/// One sentence: why the step has no meaning for this schema, which is unchanged then.
pub fn advance(
    schema: &mut Schema,
    step: &MigrationStep,
    later: &[&MigrationStep],
    target: &Schema,
) -> Result<Vec<Change>, String> {
    match step {
        MigrationStep::RenameField { collection, from, to } => rename_field(schema, collection, from, to),
        MigrationStep::RenameCollection { from, to } => rename_collection(schema, from, to),
        MigrationStep::ChangeType { collection, field, to, otherwise } => {
            change_type(schema, (collection, field), to, *otherwise)
        }
        MigrationStep::Backfill { collection, field, source, which } => {
            let found = wanted_field(collection, field, later, target);
            backfill(schema, (collection, field), source, *which, found)
        }
        MigrationStep::Sql { up, down } => {
            let lines = up.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = lines.chars().take(80).collect();
            let step = Step::Sql { text: up.clone(), down: down.clone() };
            Ok(vec![Change::risky(format!("run {shown}"), Check::Nothing, step)])
        }
    }
}

fn find(schema: &Schema, name: &str) -> Result<Arc<Collection>, String> {
    schema.collections.get(name).cloned().ok_or_else(|| format!("there is no collection {name}"))
}

fn find_field(collection: &Collection, name: &str) -> Result<usize, String> {
    let found = collection.field(name).map(|(place, _)| place);
    found.ok_or_else(|| format!("{} has no field {name}", collection.name))
}

fn rename_field(schema: &mut Schema, name: &str, from: &str, to: &str) -> Result<Vec<Change>, String> {
    let old = find(schema, name)?;
    let place = find_field(&old, from)?;
    if old.field(to).is_some() {
        return Err(format!("{name} has a field {to} already"));
    }
    if old.fields[place].system {
        return Err(format!("{name}.{from} is a built-in field"));
    }
    let mut new = (*old).clone();
    to.clone_into(&mut new.fields[place].name);
    for column in new.indexes.iter_mut().flat_map(|index| &mut index.fields).filter(|column| *column == from)
    {
        to.clone_into(column);
    }
    let new = Arc::new(new);
    schema.collections.insert(name.to_owned(), Arc::clone(&new));
    let description = format!("rename the field {name}.{from} to {to}");
    let step = Step::RenameField { old, new, from: from.to_owned(), to: to.to_owned() };
    Ok(vec![Change::safe(description, step)])
}

fn rename_collection(schema: &mut Schema, from: &str, to: &str) -> Result<Vec<Change>, String> {
    let old = find(schema, from)?;
    if schema.collections.contains_key(to) {
        return Err(format!("there is a collection {to} already"));
    }
    if old.fields.iter().any(|field| field.system) {
        return Err(format!("{from} is a built-in collection"));
    }
    let new = Arc::new(Collection { name: to.to_owned(), ..(*old).clone() });
    schema.collections.shift_remove(from);
    schema.collections.insert(to.to_owned(), Arc::clone(&new));
    for collection in schema.collections.values_mut() {
        let refers = |field: &Field| matches!(&field.kind, FieldKind::Relation { collection, .. } if collection == from);
        if !collection.fields.iter().any(refers) {
            continue;
        }
        for field in &mut Arc::make_mut(collection).fields {
            if let FieldKind::Relation { collection, .. } = &mut field.kind
                && collection == from
            {
                to.clone_into(collection);
            }
        }
    }
    // It may refer to itself.
    let new = schema.collections.get(to).cloned().unwrap_or(new);
    let description = format!("rename the collection {from} to {to}");
    Ok(vec![Change::safe(description, Step::RenameCollection { old, new })])
}

fn change_type(
    schema: &mut Schema,
    (name, field): (&str, &str),
    to: &FieldKind,
    otherwise: Otherwise,
) -> Result<Vec<Change>, String> {
    let old = find(schema, name)?;
    let place = find_field(&old, field)?;
    if old.fields[place].system || old.fields[place].primary {
        return Err(format!("the type of {name}.{field} cannot change"));
    }
    let mut kind = to.clone();
    if let FieldKind::Relation { collection, target, .. } = &mut kind {
        *target = match find(schema, collection)?.primary().1.kind {
            FieldKind::Uuid => PrimaryKind::Uuid,
            FieldKind::String => PrimaryKind::String,
            _ => PrimaryKind::Id,
        };
    }
    let before = old.fields[place].clone();
    let mut new = (*old).clone();
    new.fields[place] = Field {
        kind,
        nullable: before.nullable || otherwise == Otherwise::SetNull,
        // What held for the old type means nothing for the new one; the comparison brings the rest.
        default: None,
        on_update_now: false,
        search: false,
        validation: Validation::default(),
        ..before.clone()
    };
    let description =
        format!("{name}.{field}: {}", describe_conversion(&before.kind, &new.fields[place].kind));
    let (new, after) = (Arc::new(new.clone()), new.fields[place].clone());
    schema.collections.insert(name.to_owned(), Arc::clone(&new));
    let check = Check::Conversion {
        collection: Arc::clone(&old),
        old: Box::new(before),
        new: Box::new(after),
        otherwise,
    };
    Ok(vec![Change::risky(description, check, Step::Rebuild { old, new, otherwise })])
}

/// The field as the schema after all has it, found by following later renames.
fn wanted_field(collection: &str, field: &str, later: &[&MigrationStep], target: &Schema) -> Option<Field> {
    let (mut collection, mut name) = (collection, field);
    for step in later {
        match step {
            MigrationStep::RenameCollection { from, to } if from == collection => collection = to,
            MigrationStep::RenameField { collection: of, from, to } if of == collection && from == name => {
                name = to
            }
            _ => {}
        }
    }
    let (_, found) = target.collections.get(collection)?.field(name)?;
    Some(Field { name: field.to_owned(), ..found.clone() })
}

fn backfill(
    schema: &mut Schema,
    (name, field): (&str, &str),
    source: &BackfillSource,
    which: Which,
    wanted: Option<Field>,
) -> Result<Vec<Change>, String> {
    let mut collection = find(schema, name)?;
    let mut changes = Vec::new();
    if collection.field(field).is_none() {
        let wanted =
            wanted.ok_or_else(|| format!("neither {name} nor the new schema has a field {field}"))?;
        let mut grown = (*collection).clone();
        // Empty first; the comparison brings what else the field is.
        grown.fields.push(Field {
            nullable: true,
            default: None,
            unique: false,
            index: false,
            search: false,
            on_update_now: false,
            ..wanted
        });
        collection = Arc::new(grown);
        schema.collections.insert(name.to_owned(), Arc::clone(&collection));
        let step = Step::AddField { collection: Arc::clone(&collection), field: collection.fields.len() - 1 };
        changes.push(Change::safe(format!("add the field {name}.{field}"), step));
        // A relation has an index, whether asked for or not.
        let index = collection.all_indexes().into_iter().find(|index| index.fields == [field]);
        changes.extend(index.map(|index| {
            let description = format!("create the index {} of {name}", index.name);
            Change::safe(description, Step::CreateIndex { collection: Arc::clone(&collection), index })
        }));
    }
    let place = find_field(&collection, field)?;
    let into = &collection.fields[place];
    if into.primary || into.system {
        return Err(format!("{name}.{field} cannot be filled"));
    }
    if let BackfillSource::Value(value) = source {
        let fits = if value.is_null() {
            Err("must not be null".to_owned())
        } else {
            convert(into, &value.to_string()).map_err(|fault| fault.message)
        };
        fits.map_err(|message| format!("the value {value} is not valid for {name}.{field}: it {message}"))?;
    }
    let step =
        Step::Backfill { collection: Arc::clone(&collection), field: place, source: source.clone(), which };
    changes.push(match which {
        Which::Missing => Change::safe(format!("fill {name}.{field} where it is null"), step),
        Which::All => {
            let check = Check::Values { collection: name.to_owned(), field: field.to_owned() };
            Change::risky(format!("write {name}.{field} in every document"), check, step)
        }
    });
    Ok(changes)
}
