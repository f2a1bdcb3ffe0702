//! Conditions over JSON that somebody is to be told: CEL as in rules, without types. There are no macros, so
//! the work is bounded by the lengths of text and data.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Value};
use serde_json::Value as Json;

use super::parse;

/// Functions that may be called; operators have names that are no words.
const FUNCTIONS: [&str; 10] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "double",
    "timestamp",
    "duration",
];

/// A condition.
#[derive(Clone, Debug)]
pub struct Condition {
    text: Arc<str>,
    root: Arc<IdedExpr>,
}

/// Two are equal that are written alike.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl Condition {
    /// Reads a condition in which these variables may be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, String> {
        let root = parse::parse(text).map_err(|refusal| refusal.message)?.root;
        let used = root.references();
        if let Some(name) = used.variables().into_iter().find(|name| !variables.contains(name)) {
            return Err(format!("there is no {name:?}; there are {}", variables.join(", ")));
        }
        let is_word = |name: &&str| name.starts_with(|first: char| first.is_ascii_alphabetic());
        let unknown = used.functions().into_iter().filter(is_word).find(|name| !FUNCTIONS.contains(name));
        if let Some(name) = unknown {
            return Err(format!("there is no function {name:?}"));
        }
        Ok(Self { text: text.into(), root: Arc::new(root) })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The members of these variables that it reads, as in `doc.title`.
    #[must_use]
    pub fn members_of(&self, variables: &[&str]) -> Vec<&str> {
        let mut found = Vec::new();
        let mut rest = vec![&*self.root];
        while let Some(expression) = rest.pop() {
            match &expression.expr {
                Expr::Select(select) => {
                    if matches!(&select.operand.expr, Expr::Ident(name) if variables.contains(&name.as_str()))
                    {
                        found.push(select.field.as_str());
                    }
                    rest.push(&select.operand);
                }
                Expr::Call(call) => rest.extend(call.target.as_deref().into_iter().chain(&call.args)),
                Expr::List(list) => rest.extend(&list.elements),
                Expr::Map(map) => {
                    for entry in &map.entries {
                        if let EntryExpr::MapEntry(entry) = &entry.expr {
                            rest.extend([&entry.key, &entry.value]);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether it holds for what is told: the members of an object.
    ///
    /// # Errors
    /// If it does not come to true or false.
    pub fn holds(&self, told: &serde_json::Map<String, Json>) -> Result<bool, String> {
        let mut context = Context::default();
        for (name, value) in told {
            context.add_variable_from_value(name.as_str(), of_json(value));
        }
        match Value::resolve(&self.root, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(of_json).collect())),
        Json::Object(members) => {
            let members: HashMap<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), of_json(value))).collect();
            Value::Map(members.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Condition;

    #[test]
    fn m36_conditions_look_at_what_is_told() {
        let told = json!({ "action": "update", "doc": { "n": 7, "t": "abc", "tags": ["x"] }, "old": null });
        let holds = |text: &str| {
            Condition::compile(text, &["action", "doc", "old"])?.holds(told.as_object().expect("an object"))
        };
        for text in
            ["doc.n > 5", "action == 'update' && old == null", "doc.t.startsWith('a')", "'x' in doc.tags"]
        {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        assert_eq!(holds("doc.n == 8"), Ok(false));
        for text in
            ["", "doc.n >", "other.n > 5", "doc.zzz == 1", "old.n == 1", "doc.n", "has(doc.n)", "f(doc)"]
        {
            assert!(holds(text).is_err(), "{text}");
        }
    }
}
