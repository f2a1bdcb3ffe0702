//! Rules: any text is compiled for every operation or refused with its place; what compiles decides
//! for every caller, and its SQL is of bounded size.
#![no_main]

use alyx_core::rules::{DocRef, LookupFailed, Lookups, Rule, RuleInput, Scope};
use alyx_core::schema::{Collection, Position, RuleSource};
use alyx_core::sql::{SqlExpr, SqlPredicate};
use alyx_core::value::Value;
use alyx_fuzz::{CALLERS, CATALOG, POST, REQUEST, posts};
use libfuzzer_sys::fuzz_target;

/// Finds the same document everywhere.
#[derive(Debug)]
struct Found;

impl Lookups for Found {
    fn get(&self, collection: &Collection, _: &str) -> Result<Option<Vec<Value>>, LookupFailed> {
        Ok((collection.name == "posts").then(|| POST.values.clone()))
    }

    fn exists(&self, _: &Collection, _: &str, condition: Option<&SqlExpr>) -> Result<bool, LookupFailed> {
        condition.into_iter().for_each(bounded);
        Ok(true)
    }
}

fuzz_target!(|text: &str| {
    let c = posts();
    let (path, position) = ("rules.x".to_owned(), Position { line: 1, column: 1 });
    let mut source = RuleSource { text: text.to_owned(), position, path, post_filter: false };
    for scope in [Scope::Create(c), Scope::Update(c), Scope::Delete(c), Scope::FieldWrite(c), Scope::Invoke] {
        decide(&source, scope);
    }
    decide(&source, Scope::List(c));
    source.post_filter = true;
    decide(&source, Scope::List(c));
});

fn decide(source: &RuleSource, scope: Scope<'_>) {
    let Ok(rule) = Rule::compile_in(&CATALOG.schema, source, scope) else { return };
    let doc = Some(DocRef { collection: posts(), document: &POST });
    for identity in CALLERS.iter() {
        drop(rule.check_with(&RuleInput { identity, request: &REQUEST, doc, old: doc }, &Found));
        if let SqlPredicate::When(sql) = rule.predicate(identity, &REQUEST) {
            bounded(&sql);
        }
    }
}

fn bounded(sql: &SqlExpr) {
    assert!(sql.text.len() <= 64 * 1024 && sql.params.len() <= 32_766, "{} bytes", sql.text.len());
    assert_eq!(sql.text.matches('?').count(), sql.params.len(), "{}", sql.text);
}
