//! A collection with a field of every kind and awkward names, and random documents for it.

use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::schema::{
    Collection, CollectionRules, Field, FieldKind, FieldRules, OnDelete, Position, PrimaryKind, Schema,
    SelectOptions, Validation,
};
use alyx_core::sql::quote;
use alyx_core::value::Value;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;

use super::generator::{FLOATS, Generator, INTS, TEXTS, TIMES};
use super::to_sql;

pub fn collection() -> Collection {
    let select = |max_select| SelectOptions {
        values: TEXTS.iter().map(|text| (*text).to_owned()).collect(),
        max_select,
    };
    let author = FieldKind::Relation {
        collection: "users".to_owned(),
        on_delete: OnDelete::Cascade,
        target: PrimaryKind::Id,
    };
    let kinds = [
        ("id", FieldKind::Id),
        ("title", FieldKind::String),
        ("order", FieldKind::Text),
        ("author", author),
        ("status", FieldKind::Select(select(1))),
        ("tags", FieldKind::Select(select(4))),
        ("views", FieldKind::Int),
        ("rank", FieldKind::Int),
        ("score", FieldKind::Float),
        ("flag", FieldKind::Bool),
        ("done", FieldKind::Bool),
        ("created-at", FieldKind::Timestamp),
        ("seen", FieldKind::Timestamp),
        ("meta", FieldKind::Json),
        ("data", FieldKind::Blob),
    ];
    Collection {
        name: "documents".to_owned(),
        fields: kinds.into_iter().map(|(name, kind)| field(name, kind)).collect(),
        indexes: Vec::new(),
        rules: CollectionRules::default(),
        position: Position::default(),
    }
}

fn field(name: &str, kind: FieldKind) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        primary: name == "id",
        unique: false,
        nullable: name != "id",
        index: false,
        search: false,
        default: None,
        on_update_now: false,
        client: false,
        internal: false,
        hidden: false,
        system: false,
        validation: Validation::default(),
        rules: FieldRules::default(),
        position: Position::default(),
    }
}

/// The same collection with its fields in another order, some of them never null, and some more.
pub fn schema(generator: &mut Generator) -> Schema {
    let mut collection = collection();
    for further in 0..generator.below(4) {
        let kind = generator.pick(&[FieldKind::Int, FieldKind::Bool, FieldKind::Date].each_ref()).clone();
        collection.fields.push(field(&format!("select-{further}"), kind));
    }
    for at in (1..collection.fields.len()).rev() {
        let other = generator.below(at + 1);
        collection.fields.swap(at, other);
    }
    for field in &mut collection.fields {
        field.nullable &= !generator.one_in(4);
    }
    let collections = [(collection.name.clone(), Arc::new(collection))].into_iter().collect();
    Schema { collections, ..Schema::default() }
}

pub fn create_table(connection: &Connection, collection: &Collection) {
    let columns: String = collection
        .fields
        .iter()
        .map(|field| {
            let ty = match field.kind {
                FieldKind::Int | FieldKind::Bool => "INTEGER",
                FieldKind::Float => "REAL",
                FieldKind::Blob => "BLOB",
                _ => "TEXT",
            };
            format!(", {} {ty}", quote(&field.name))
        })
        .collect();
    connection.execute("DROP TABLE IF EXISTS documents", []).unwrap();
    let text = format!("CREATE TABLE documents ({} INTEGER PRIMARY KEY{columns}) STRICT", quote("_row"));
    connection.execute(&text, []).unwrap();
}

pub fn insert(connection: &Connection, row: usize, document: &Document) {
    let places = ", ?".repeat(document.values.len());
    let mut statement =
        connection.prepare_cached(&format!("INSERT INTO documents VALUES (?{places})")).unwrap();
    let key = SqlValue::Integer(i64::try_from(row).unwrap());
    let values = std::iter::once(key).chain(document.values.iter().map(to_sql));
    statement.execute(rusqlite::params_from_iter(values)).unwrap();
}

/// Values come from the same small pools as the literals of rules, so that comparisons hit.
pub fn document(collection: &Collection, generator: &mut Generator) -> Document {
    let values = collection
        .fields
        .iter()
        .map(|field| {
            if field.nullable && generator.one_in(4) {
                return Value::Null;
            }
            match &field.kind {
                FieldKind::Int => Value::Integer(generator.pick(&INTS)),
                FieldKind::Float => Value::Real(generator.pick(&FLOATS)),
                FieldKind::Bool => Value::Integer(i64::from(generator.one_in(2))),
                FieldKind::Timestamp => Value::Text(generator.pick(&TIMES).to_owned()),
                FieldKind::Json => {
                    let texts = [
                        "null",
                        "{\"a\":1}",
                        "[1,\"a\"]",
                        "1",
                        "{}",
                        "true",
                        "[null]",
                        "[\"\\u0061\",[\"1\"]]",
                        "[10,\"\"]",
                        "{\"\\u00e9\":null,\"\":2}",
                        "\"a\"",
                        "[\"a\\u0000b\"]",
                        "{\"a\\u0000b\":0}",
                    ];
                    Value::Text(generator.pick(&texts).to_owned())
                }
                FieldKind::Blob => Value::Blob(generator.pick(&TEXTS).as_bytes().to_vec()),
                FieldKind::Select(options) if options.max_select > 1 => {
                    let count = generator.below(4);
                    let tags: Vec<&str> = (0..count).map(|_| generator.pick(&TEXTS)).collect();
                    Value::Text(serde_json::to_string(&tags).unwrap())
                }
                _ => Value::Text(generator.pick(&TEXTS).to_owned()),
            }
        })
        .collect();
    Document { values, rev: 1 }
}
