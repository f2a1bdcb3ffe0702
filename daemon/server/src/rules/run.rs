//! Runs a file of rule tests against the rules in force, with the same judge that requests meet.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::document::{Access, Document, parse_update};
use alyx_core::identity::RequestFacts;
use alyx_core::query::parse_list;
use alyx_core::rules::Decision;
use alyx_core::schema::{Collection, Diagnostic, Operation, RuleTest, Subject, parse_rule_tests};
use serde_json::{Value as Json, json};

use super::scratch::{Scratch, describe, parse};
use crate::clock;
use crate::documents::{Judge, reading};
use crate::problem::ApiError;

/// What came of one expectation.
struct Found {
    yes: bool,
    /// Why a rule failed, or why the operation is not possible at all.
    reason: Option<String>,
}

/// The results of a file as JSON. The inner error is what is wrong with the file.
pub async fn run(
    catalog: &Arc<Catalog>,
    file: &str,
    text: &str,
) -> Result<Result<Json, Vec<Diagnostic>>, ApiError> {
    let tests = match parse_rule_tests(file, text, &catalog.schema) {
        Ok(tests) => tests,
        Err(problems) => return Ok(Err(problems)),
    };
    let scratch = match Scratch::make(catalog, file, &tests).await? {
        Ok(scratch) => scratch,
        Err(problems) => return Ok(Err(problems)),
    };
    let mut results = Vec::new();
    for test in &tests.tests {
        let collection = match &test.subject {
            Subject::Document { place, .. } => Some(&tests.documents[*place].collection),
            Subject::New { collection, .. } => Some(collection),
            Subject::Function(_) => None,
        };
        let bench = Bench { catalog, scratch: &scratch, test, collection, facts: facts() };
        let what = match &test.subject {
            Subject::Document { place, .. } => tests.documents[*place].name.clone(),
            Subject::New { collection, .. } => collection.name.clone(),
            Subject::Function(name) => name.clone(),
        };
        let mut record = |of: String, yes: bool, line: u32, found: Found| {
            results.push(json!({
                "test": test.name, "as": test.who, "subject": what, "line": line, "of": of,
                "expected": yes, "found": found.yes, "passed": yes == found.yes, "reason": found.reason,
            }));
        };
        for expected in &test.operations {
            let found = bench.operation(expected.of).await?;
            record(expected.of.as_str().to_owned(), expected.yes, expected.position.line, found);
        }
        for expected in &test.fields {
            let found = bench.field(&expected.of).await?;
            record(format!("see {}", expected.of), expected.yes, expected.position.line, found);
        }
    }
    let failed = results.iter().filter(|result| result["passed"] != true).count();
    Ok(Ok(json!({ "passed": results.len() - failed, "failed": failed, "results": results })))
}

fn facts() -> RequestFacts {
    RequestFacts {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        ip: "127.0.0.1".to_owned(),
        time: clock::now_text(),
        ..RequestFacts::default()
    }
}

/// One test with all it needs.
struct Bench<'a> {
    catalog: &'a Catalog,
    scratch: &'a Scratch,
    test: &'a RuleTest,
    collection: Option<&'a Arc<Collection>>,
    facts: RequestFacts,
}

impl Bench<'_> {
    async fn operation(&self, operation: Operation) -> Result<Found, ApiError> {
        if let Subject::Function(name) = &self.test.subject {
            return self.invoke(name).await;
        }
        let entry = self.collection.and_then(|collection| self.catalog.collection(&collection.name));
        let Some(entry) = entry else {
            return Ok(Found::impossible("there is no such collection".to_owned()));
        };
        let judge = Judge::new(&self.scratch.store, entry, &self.test.identity, &self.facts);
        match (&self.test.subject, operation) {
            (Subject::New { body, .. }, _) => {
                let body = body.to_string();
                let document =
                    match parse(&entry.collection, &serde_json::from_str(&body).unwrap_or_default()) {
                        Ok(document) => document,
                        Err(message) => return Ok(Found::impossible(message)),
                    };
                let judge = judge.with_body(body.as_bytes());
                let found = Found::of(judge.decide(entry.create.as_ref(), Some(&document), None).await?);
                written(found, &judge, body.as_bytes(), &document, None).await
            }
            (Subject::Document { place, .. }, Operation::List) => self.listed(*place).await,
            (Subject::Document { place, change }, Operation::Update) => {
                let (old, body) = (&self.scratch.documents[*place], change.to_string());
                let parsed =
                    parse_update(&entry.collection, old, body.as_bytes(), Access::Client, &self.facts.time);
                let new = match parsed {
                    Ok(new) => new,
                    Err(error) => return Ok(Found::impossible(describe(error))),
                };
                let judge = judge.with_body(body.as_bytes());
                let found = Found::of(judge.decide(entry.update.as_ref(), Some(&new), Some(old)).await?);
                written(found, &judge, body.as_bytes(), &new, Some(old)).await
            }
            (Subject::Document { place, .. }, operation) => {
                let document = &self.scratch.documents[*place];
                let (rule, old) = match operation {
                    Operation::Delete => (&entry.delete, Some(document)),
                    Operation::Subscribe => (&entry.subscribe, None),
                    _ => (&entry.get, None),
                };
                Ok(Found::of(judge.decide(rule.as_ref(), Some(document), old).await?))
            }
            (Subject::Function(_), _) => Ok(Found::impossible("a function is only invoked".to_owned())),
        }
    }

    /// Through SQL, as lists are.
    async fn listed(&self, place: usize) -> Result<Found, ApiError> {
        let Some(entry) = self.collection.and_then(|collection| self.catalog.collection(&collection.name))
        else {
            return Ok(Found::impossible("there is no such collection".to_owned()));
        };
        if self.test.identity.is_admin() {
            return Ok(Found { yes: true, reason: None });
        }
        if entry.list.is_none() {
            return Ok(Found { yes: false, reason: None });
        }
        let (primary, field) = entry.collection.primary();
        let id = self.scratch.documents[place].values[primary].as_text().unwrap_or_default();
        let filter = [("filter".to_owned(), format!("{}:eq:{id}", field.name))];
        let collection = Arc::clone(&entry.collection);
        let reading = reading(self.catalog, &collection.name, &self.test.identity, &self.facts)?;
        let query = parse_list(reading, &filter)?;
        let page = self.scratch.store.list(collection, query).await?;
        Ok(Found { yes: page.count == 1, reason: None })
    }

    async fn invoke(&self, name: &str) -> Result<Found, ApiError> {
        if self.test.identity.is_admin() {
            return Ok(Found { yes: true, reason: None });
        }
        let Some(rule) = self.catalog.function(name).and_then(|entry| entry.invoke.as_ref()) else {
            return Ok(Found { yes: false, reason: None });
        };
        let (rule, who, facts) = (Arc::clone(rule), self.test.identity.clone(), self.facts.clone());
        let decided = self.scratch.store.with_lookups(move |lookups| {
            let input = alyx_core::rules::RuleInput { identity: &who, request: &facts, doc: None, old: None };
            rule.check_with(&input, lookups)
        });
        Ok(Found::of(decided.await?))
    }

    async fn field(&self, field: &str) -> Result<Found, ApiError> {
        let (Subject::Document { place, .. }, Some(collection)) = (&self.test.subject, self.collection)
        else {
            return Ok(Found::impossible("there is no document".to_owned()));
        };
        let Some(entry) = self.catalog.collection(&collection.name) else {
            return Ok(Found::impossible("there is no such collection".to_owned()));
        };
        let judge = Judge::new(&self.scratch.store, entry, &self.test.identity, &self.facts);
        let shown = judge.show(&self.scratch.documents[*place]).await?;
        let shown: Json = serde_json::from_slice(&shown).unwrap_or_default();
        Ok(Found { yes: shown.get(field).is_some(), reason: None })
    }
}

/// An allowed write may still name a field that the caller may not set.
async fn written(
    found: Found,
    judge: &Judge<'_>,
    body: &[u8],
    document: &Document,
    old: Option<&Document>,
) -> Result<Found, ApiError> {
    if !found.yes {
        return Ok(found);
    }
    match judge.check_written(body, document, old).await {
        Ok(()) => Ok(found),
        Err(error) => {
            let problem = error.into_problem();
            let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
            Ok(Found::impossible(format!("{} may not be set", fields.join(", "))))
        }
    }
}

impl Found {
    fn of(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self { yes: true, reason: None },
            Decision::Deny => Self { yes: false, reason: None },
            Decision::Error(reason) => Self { yes: false, reason: Some(reason) },
        }
    }

    fn impossible(reason: String) -> Self {
        Self { yes: false, reason: Some(reason) }
    }
}
