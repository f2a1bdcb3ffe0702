//! The two evaluators of rules agree: for random rules, documents, identities and requests, SQLite
//! selects exactly the rows that the evaluation in memory allows.
//!
//! `ALYX_LONG=1` runs a hundred thousand rules instead of a few thousand.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

#[path = "rules_agreement/documents.rs"]
mod documents;
#[path = "rules_agreement/generator.rs"]
mod generator;
#[path = "rules_agreement/reference.rs"]
mod reference;

use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::identity::{Identity, RequestFacts, UserIdentity};
use alyx_core::rules::{Decision, DocRef, LookupFailed, Lookups, Rule, RuleInput, Scope};
use alyx_core::schema::{Collection, Position, RuleSource};
use alyx_core::sql::{SqlExpr, SqlPredicate, quote};
use alyx_core::value::Value;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestCaseError, TestRunner};
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;

use self::documents::{collection, create_table, document, insert};
use self::generator::Generator;

const ROWS: usize = 8;

#[test]
fn m01_memory_and_sql_agree_on_random_rules() {
    let long = std::env::var_os("ALYX_LONG").is_some();
    let config = ProptestConfig {
        cases: if long { 100_000 } else { 4_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let connection = Connection::open_in_memory().unwrap();
    let outcomes = std::cell::Cell::new([0_usize; 3]);
    let result = TestRunner::new(config).run(&any::<u64>(), |seed| {
        let mut tally = outcomes.get();
        agree(seed, &connection, &mut tally)?;
        outcomes.set(tally);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // The generator must not degenerate into rules that always give the same answer.
    let [allowed, denied, failed] = outcomes.get();
    let all = allowed + denied + failed;
    for (share, name) in [(allowed, "allowed"), (denied, "denied"), (failed, "failed")] {
        assert!(share * 20 > all, "only {share} of {all} decisions {name}");
    }
}

fn agree(seed: u64, connection: &Connection, tally: &mut [usize; 3]) -> Result<(), TestCaseError> {
    let mut generator = Generator::new(seed);
    let schema = documents::schema(&mut generator);
    let collection = schema.collections["documents"].as_ref();
    let text = generator.rule();
    let source = RuleSource {
        text,
        position: Position { line: 1, column: 1 },
        path: "rule".to_owned(),
        post_filter: false,
    };
    let rule = match Rule::compile_in(&schema, &source, Scope::List(collection)) {
        Ok(rule) => rule,
        Err(diagnostic) if is_bound(&diagnostic.message) => return Ok(()),
        Err(diagnostic) => return Err(TestCaseError::fail(format!("{diagnostic}\n{}", source.text))),
    };
    create_table(connection, collection);
    let rows: Vec<Document> = (0..ROWS).map(|_| document(collection, &mut generator)).collect();
    let lookups = Rows(connection);
    for (at, row) in rows.iter().enumerate() {
        insert(connection, at, row);
    }
    for identity in identities() {
        let request = generator.request();
        let selected = select(connection, &rule.predicate(&identity, &request));
        for (at, document) in rows.iter().enumerate() {
            let doc = Some(DocRef { collection, document });
            let input = RuleInput { identity: &identity, request: &request, doc, old: None };
            let decision = rule.check_with(&input, &lookups);
            if matches!(&decision, Decision::Error(text) if text.contains("too many")) {
                continue;
            }
            tally[match decision {
                Decision::Allow => 0,
                Decision::Deny => 1,
                Decision::Error(_) => 2,
            }] += 1;
            if (decision == Decision::Allow) != selected.contains(&at) {
                return Err(TestCaseError::fail(disagreement(
                    &source.text,
                    &decision,
                    &rule.predicate(&identity, &request),
                    &identity,
                    &request,
                    &document.values,
                )));
            }
        }
    }
    Ok(())
}

#[test]
fn memory_agrees_with_the_interpreter_of_the_crate_cel() {
    let long = std::env::var_os("ALYX_LONG").is_some();
    let config = ProptestConfig {
        cases: if long { 20_000 } else { 1_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let collection = collection();
    let result = TestRunner::new(config).run(&any::<u64>(), |seed| {
        let mut generator = Generator::new(seed);
        let text = generator.rule();
        // Known differences: has(doc.field) asks for null here, U+0000 has no size, and an int is not
        // rounded before it is compared with a double.
        let mixes = ["score", ".0", ".5", "e18", "e300"].iter().any(|float| text.contains(float))
            && ["views", "rank", "00719925", "23372036"].iter().any(|int| text.contains(int));
        if mixes || ["has(", "size(", "collection("].iter().any(|part| text.contains(part)) {
            return Ok(());
        }
        let source =
            RuleSource { text, position: Position::default(), path: "rule".to_owned(), post_filter: false };
        let Ok(rule) = Rule::compile(&source, Scope::Get(&collection)) else { return Ok(()) };
        for identity in identities() {
            let (document, request) = (document(&collection, &mut generator), generator.request());
            let doc = Some(DocRef { collection: &collection, document: &document });
            let input = RuleInput { identity: &identity, request: &request, doc, old: None };
            let decision = rule.check(&input);
            let found = match decision {
                Decision::Allow => Some(true),
                Decision::Deny => Some(false),
                Decision::Error(_) => None,
            };
            let expected = reference::evaluate(&source.text, &identity, &request, &collection, &document);
            if found != expected {
                return Err(TestCaseError::fail(format!(
                    "rule: {}\nhere: {decision:?}\nreference: {expected:?}\n{identity:?}\n{request:?}\n{:?}",
                    source.text, document.values
                )));
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Whether a random rule is merely too large.
fn is_bound(message: &str) -> bool {
    ["too ", "more than"].iter().any(|part| message.contains(part))
}

/// Looks up rows of the test's table, as the store does in its own.
#[derive(Debug)]
struct Rows<'c>(&'c Connection);

impl Lookups for Rows<'_> {
    fn get(&self, collection: &Collection, id: &str) -> Result<Option<Vec<Value>>, LookupFailed> {
        let names: Vec<String> = collection.fields.iter().map(|field| quote(&field.name)).collect();
        let text = format!("SELECT {} FROM documents WHERE id = ?", names.join(", "));
        let mut statement = self.0.prepare_cached(&text).unwrap();
        let mut rows = statement.query([id]).unwrap();
        let row = rows.next().unwrap();
        Ok(row.map(|row| (0..names.len()).map(|at| from_sql(row.get(at).unwrap())).collect()))
    }

    fn exists(&self, _: &Collection, alias: &str, condition: Option<&SqlExpr>) -> Result<bool, LookupFailed> {
        let (condition, params) = condition.map_or(("1", &[][..]), |expr| (&expr.text, &expr.params));
        let text = format!("SELECT 1 FROM documents AS {alias} WHERE {condition}");
        let mut statement = self.0.prepare(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        Ok(statement.exists(rusqlite::params_from_iter(params.iter().map(to_sql))).unwrap())
    }
}

fn from_sql(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(value) => Value::Integer(value),
        SqlValue::Real(value) => Value::Real(value),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(bytes) => Value::Blob(bytes),
    }
}

fn disagreement(
    rule: &str,
    decision: &Decision,
    predicate: &SqlPredicate,
    identity: &Identity,
    request: &RequestFacts,
    values: &[Value],
) -> String {
    format!(
        "rule: {rule}\nmemory: {decision:?}\nSQL: {predicate:?}\n{identity:?}\n{request:?}\nvalues: {values:?}"
    )
}

fn select(connection: &Connection, predicate: &SqlPredicate) -> Vec<usize> {
    let (condition, params) = match predicate {
        SqlPredicate::Always => ("1", Vec::new()),
        SqlPredicate::Never => return Vec::new(),
        SqlPredicate::When(expr) => (expr.text.as_str(), expr.params.iter().map(to_sql).collect()),
    };
    let text = format!("SELECT d.{} FROM documents AS d WHERE ({condition})", quote("_row"));
    let mut statement = connection.prepare(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let rows = statement.query_map(rusqlite::params_from_iter(params), |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|row| row.unwrap_or_else(|error| panic!("{error}\n{text}")))
        .map(|row| usize::try_from(row).unwrap())
        .collect()
}

fn to_sql(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(value) => SqlValue::Integer(*value),
        Value::Real(value) => SqlValue::Real(*value),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Blob(bytes) => SqlValue::Blob(bytes.clone()),
    }
}

fn identities() -> Vec<Identity> {
    let user = |id: &str, role: &str, verified| {
        Identity::User(UserIdentity {
            id: id.to_owned(),
            email: "a@example.org".to_owned(),
            role: role.to_owned(),
            verified,
            session: String::new(),
            metadata: Arc::default(),
            scopes: Arc::default(),
        })
    };
    let called = Identity::Function { name: "f".to_owned(), on_behalf_of: Box::new(user("é", "ab", false)) };
    vec![Identity::Anonymous, user("a", "user", true), called]
}
