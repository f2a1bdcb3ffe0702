//! What a rule comes to for somebody, and which rules are in force.

use std::sync::Arc;

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::channel::ChannelAct;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::parse_list;
use alyx_core::rules::{RowFilter, Rule};
use alyx_core::schema::{Operation, RuleSource};
use alyx_core::sql::SqlPredicate;
use alyx_core::value::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::app::App;
use crate::documents::reading;
use crate::problem::{ApiError, Code};

/// What is to be explained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    collection: String,
    operation: String,
    /// `anonymous`, or the id or address of an account.
    #[serde(rename = "as")]
    who: String,
}

/// Explains a rule as JSON.
pub async fn explain(app: &App, asked: &Asked, facts: &RequestFacts) -> Result<Json, ApiError> {
    let catalog = app.catalog.load_full();
    let entry = catalog.collection(&asked.collection).ok_or_else(|| {
        ApiError::new(Code::CollectionNotFound, format!("There is no collection {:?}.", asked.collection))
    })?;
    let who = match asked.who.as_str() {
        "anonymous" => Identity::Anonymous,
        name => app.auth.somebody(name).await?,
    };
    let Some((source, rule)) = rule_of(entry, &asked.operation) else {
        let known = "create, get, list, subscribe, update and delete";
        let detail = format!("There is no operation {:?}; known are {known}.", asked.operation);
        return Err(ApiError::new(Code::InvalidRequest, detail));
    };
    let mut answer = json!({
        "collection": asked.collection, "operation": asked.operation, "as": who.label(),
        "rule": source.map(|source| &source.text), "admin": who.is_admin(),
        "post_filter": rule.is_some_and(|rule| rule.is_post_filter()),
        "lookups": rule.is_some_and(|rule| rule.has_lookups()),
    });
    if asked.operation == "list" {
        let filter = match rule {
            _ if who.is_admin() => SqlPredicate::Always.into(),
            Some(rule) => RowFilter::new(rule, &who, facts),
            None => SqlPredicate::Never.into(),
        };
        answer["selects"] = json!(match &filter.sql {
            SqlPredicate::Always => "every document",
            SqlPredicate::Never => "no document",
            SqlPredicate::When(_) => "documents by a condition",
        });
        let reading = reading(&catalog, &asked.collection, &who, facts)?;
        let query = parse_list(reading, &[])?;
        let plan = app.store.explain_list(Arc::clone(&entry.collection), filter, query).await?;
        answer["sql"] = json!(plan.sql);
        answer["params"] = plan.params.iter().map(show).collect();
        answer["plan"] = json!(plan.steps);
    }
    Ok(answer)
}

/// The rules in force, one row each, also those that are missing.
pub fn overview(catalog: &Catalog) -> Json {
    let mut rows = Vec::new();
    let mut row = |name: &str, operation: &str, source: Option<&RuleSource>, rule: Option<&Arc<Rule>>| {
        rows.push(json!({
            "collection": name, "operation": operation, "rule": source.map(|source| &source.text),
            "post_filter": rule.is_some_and(|rule| rule.is_post_filter()),
            "lookups": rule.is_some_and(|rule| rule.has_lookups()),
        }));
    };
    for name in catalog.schema.collections.keys() {
        let Some(entry) = catalog.collection(name) else { continue };
        for (operation, _) in Operation::ALL {
            if let Some((source, rule)) = rule_of(entry, operation) {
                row(name, operation, source, rule);
            }
        }
        for field in &entry.collection.fields {
            for (word, source) in [("read", &field.rules.read), ("write", &field.rules.write)] {
                if source.is_some() {
                    row(name, &format!("{word} {}", field.name), source.as_ref(), None);
                }
            }
        }
    }
    for (name, config) in &catalog.schema.functions {
        let rule = catalog.function(name).and_then(|entry| entry.invoke.as_ref());
        row(name, "invoke", config.rules.invoke.as_ref(), rule);
    }
    for name in catalog.schema.channels.keys() {
        let Some(entry) = catalog.channel(name) else { continue };
        let rules = &entry.config.rules;
        let sources = [&rules.subscribe, &rules.broadcast, &rules.presence];
        for (act, source) in ChannelAct::ALL.into_iter().zip(sources) {
            row(name, &format!("{} on channel", act.as_str()), source.as_ref(), entry.rule(act));
        }
    }
    json!({ "rules": rows })
}

/// The rule of an operation as written and as compiled; `None` for what is no operation of documents.
fn rule_of<'e>(
    entry: &'e CollectionEntry,
    operation: &str,
) -> Option<(Option<&'e RuleSource>, Option<&'e Arc<Rule>>)> {
    let rules = &entry.collection.rules;
    let (source, rule) = match operation {
        "create" => (&rules.create, &entry.create),
        "get" => (&rules.get, &entry.get),
        "list" => (&rules.list, &entry.list),
        "subscribe" => (&rules.subscribe, &entry.subscribe),
        "update" => (&rules.update, &entry.update),
        "delete" => (&rules.delete, &entry.delete),
        _ => return None,
    };
    Some((source.as_ref(), rule.as_ref()))
}

fn show(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => {
            json!(format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
    }
}
