//! The conformance cases of cel-spec, run by the checker and the evaluator of rules. What they do not
//! pass has a row in `docs/rules-conformance.md`, whose counts this test holds.

mod case;
mod exclusions;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::eval::{Facts, Machine};
use super::lower::{Lowering, Roots};
use super::parse;
use super::val::Val;
use crate::identity::{Identity, RequestFacts};

use self::case::{Case, Expected, is_same};

/// What became of a case.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// The value that the standard names.
    Value,
    /// An error at run time, as in the standard.
    Error,
    /// Refused when the schema loads, where the standard fails at run time at the latest.
    Refused,
    /// Refused when the schema loads, where the standard has a value.
    Left(String),
    /// Another value, or none where the standard has one.
    Different(String),
}

#[test]
fn cel_spec_conformance() {
    let Some(cases) = cases() else { return };
    let mut counts = BTreeMap::new();
    let mut unexplained = Vec::new();
    for case in &cases {
        let outcome = run(case);
        let row = match &outcome {
            Outcome::Value => Some("equal values"),
            Outcome::Error => Some("errors when evaluated"),
            Outcome::Refused => Some(exclusions::row(case).unwrap_or("errors refused when the schema loads")),
            Outcome::Left(_) => exclusions::row(case),
            // What rules do not have is refused; only what is meant otherwise gives something else.
            Outcome::Different(_) => exclusions::difference(case),
        };
        match row {
            Some(row) => *counts.entry(row.to_owned()).or_insert(0_usize) += 1,
            None => {
                let Case { file, section, name, expr, .. } = case;
                unexplained.push(format!("{file}/{section}/{name}: {expr}: {outcome:?}"));
            }
        }
    }
    assert!(unexplained.is_empty(), "{} cases:\n{}", unexplained.len(), unexplained.join("\n"));
    let documented = documented();
    assert_eq!(counts, documented, "docs/rules-conformance.md has other counts");
}

/// All cases; `None` if they are not installed, which is said, and is a failure under CI.
fn cases() -> Option<Vec<Case>> {
    let path = root().join("target/peers/cel-spec.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(std::env::var_os("CI").is_none(), "cel-spec.json is missing; run tests/peers/install.sh");
        eprintln!("not run: cel-spec.json is missing; run tests/peers/install.sh");
        return None;
    };
    Some(serde_json::from_str(&text).expect("the cases of cel-spec"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The counts in the page: rows of three or more columns whose second one is a number.
fn documented() -> BTreeMap<String, usize> {
    let page = std::fs::read_to_string(root().join("docs/rules-conformance.md")).expect("the page");
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    };
    page.lines().filter_map(row).collect()
}

fn run(case: &Case) -> Outcome {
    match (evaluate(case), case.expected()) {
        (Ok(Ok(found)), Expected::Value(wanted)) if is_same(&found, &wanted) => Outcome::Value,
        (Ok(Err(_)), Expected::Error) => Outcome::Error,
        (Err(_), Expected::Error) => Outcome::Refused,
        (Err(refusal), _) => Outcome::Left(refusal),
        (Ok(found), _) => Outcome::Different(format!("{found:?}")),
    }
}

/// The value or fault of an expression, or why it is refused.
fn evaluate(case: &Case) -> Result<Result<Val<'static>, String>, String> {
    let mut types = Vec::new();
    let mut values = Vec::new();
    for (name, value) in case.variables() {
        let value = value.ok_or_else(|| format!("{name} has no such value here"))?;
        types.push((name, value.ty()));
        values.push(value);
    }
    let parsed = parse::parse(&case.expr).map_err(|refusal| refusal.message)?;
    let mut lowering = Lowering::new(&parsed, Roots { doc: None, old: None, collections: None });
    lowering.variables = types;
    let node = lowering.node(&parsed.root).map_err(|refusal| refusal.message)?;
    let request = RequestFacts::default();
    let mut machine = Machine::new(Facts::new(&Identity::Anonymous, &request)).with_variables(values);
    Ok(machine.value(&node).map(Val::into_owned).map_err(|fault| fault.to_string()))
}
