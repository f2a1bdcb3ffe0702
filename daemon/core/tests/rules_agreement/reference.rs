//! The interpreter of the crate `cel` as a third opinion on the evaluation in memory.

use std::collections::HashMap;
use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::{Collection, FieldKind};
use alyx_core::value::Value as Stored;
use cel::objects::{Key, Map};
use cel::{Context, Program, Value};

/// True or false; nothing for an error.
pub fn evaluate(
    rule: &str,
    identity: &Identity,
    request: &RequestFacts,
    collection: &Collection,
    document: &Document,
) -> Option<bool> {
    let rule = rule.replace("doc.`created-at`", "doc[\"created-at\"]").replace("doc.`id`", "doc.id");
    let program = Program::compile(&rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let mut context = Context::default();
    let fields = collection.fields.iter().zip(&document.values);
    let doc = fields.map(|(field, value)| (field.name.clone(), stored(&field.kind, value)));
    context.add_variable_from_value("doc", map(doc));
    context.add_variable_from_value("auth", auth(identity));
    let query = request.query.iter().map(|(key, value)| (key.clone(), text(value)));
    let facts = [
        ("method".to_owned(), text(&request.method)),
        ("time".to_owned(), timestamp(&request.time)),
        ("query".to_owned(), map(query)),
    ];
    context.add_variable_from_value("request", map(facts.into_iter()));
    match program.execute(&context) {
        Ok(Value::Bool(value)) => Some(value),
        _ => None,
    }
}

fn auth(identity: &Identity) -> Value {
    let user = identity.user();
    let fact = |value: Option<&String>| value.map_or(Value::Null, |value| text(value));
    let facts = [
        ("id".to_owned(), fact(user.map(|user| &user.id))),
        ("email".to_owned(), fact(user.map(|user| &user.email))),
        ("role".to_owned(), fact(user.map(|user| &user.role))),
        ("verified".to_owned(), user.map_or(Value::Null, |user| Value::Bool(user.verified))),
    ];
    map(facts.into_iter())
}

fn stored(kind: &FieldKind, value: &Stored) -> Value {
    match (value, kind) {
        (Stored::Null, _) => Value::Null,
        (Stored::Integer(value), FieldKind::Bool) => Value::Bool(*value != 0),
        (Stored::Integer(value), _) => Value::Int(*value),
        (Stored::Real(value), _) => Value::Float(*value),
        (Stored::Blob(bytes), _) => Value::Bytes(Arc::new(bytes.clone())),
        (Stored::Text(value), FieldKind::Timestamp) => timestamp(value),
        (Stored::Text(value), FieldKind::Select(options)) if options.max_select > 1 => {
            let items: Vec<String> = serde_json::from_str(value).unwrap();
            Value::List(Arc::new(items.iter().map(|item| text(item)).collect()))
        }
        (Stored::Text(value), FieldKind::Json) => json(serde_json::from_str(value).unwrap()),
        (Stored::Text(value), _) => text(value),
    }
}

fn json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Int(number.as_i64().unwrap()),
        serde_json::Value::String(value) => text(&value),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.into_iter().map(json).collect())),
        serde_json::Value::Object(object) => map(object.into_iter().map(|(key, value)| (key, json(value)))),
    }
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn timestamp(text: &str) -> Value {
    let program = Program::compile(&format!("timestamp('{text}')")).unwrap();
    program.execute(&Context::default()).unwrap()
}

fn map(entries: impl Iterator<Item = (String, Value)>) -> Value {
    let entries: HashMap<Key, Value> = entries.map(|(key, value)| (Key::from(key), value)).collect();
    Value::Map(Map { map: Arc::new(entries) })
}
