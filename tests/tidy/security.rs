//! `docs/security.md` and `docs/auth.md` against the tests that exist: a claim without proof is not a
//! claim.

use std::collections::BTreeSet;
use std::fs;

use alyx_tests::tree;

use super::expect_none;
use super::source::all_rust_files;

/// How many numbered behaviours there are.
const NUMBERS: usize = 108;

fn document() -> String {
    fs::read_to_string(tree::root().join("docs/security.md")).expect("docs/security.md exists")
}

fn accounts() -> String {
    fs::read_to_string(tree::root().join("docs/auth.md")).expect("docs/auth.md exists")
}

fn checks() -> String {
    fs::read_to_string(tree::root().join("docs/auth-checks.md")).expect("docs/auth-checks.md exists")
}

/// Names of all test functions of the workspace.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in all_rust_files() {
        for attribute in ["#[test]\n", "#[tokio::test]\n", "#[tokio::test(flavor = \"multi_thread\")]\n"] {
            for (at, _) in source.text.match_indices(attribute) {
                let rest = source.text[at + attribute.len()..].trim_start();
                let rest = rest.strip_prefix("async ").unwrap_or(rest);
                let name = rest.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                found.extend(name.map(str::to_owned));
            }
        }
    }
    found
}

/// What stands between back-quotes and looks like the name of a test.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_security_document_names_tests_that_exist() {
    let tests = tests();
    let named = named(&document());
    assert!(named.len() > 80, "the document names {} tests", named.len());
    expect_none("a test that docs/security.md names exists", named.difference(&tests));
}

#[test]
fn the_page_about_accounts_names_tests_that_exist() {
    let (tests, checks) = (tests(), checks());
    let named: BTreeSet<String> = named(&accounts()).union(&named(&checks)).cloned().collect();
    assert!(named.len() > 40, "the pages name {} tests", named.len());
    expect_none("a test that docs/auth.md and docs/auth-checks.md name exists", named.difference(&tests));
}

#[test]
fn every_item_of_a_standard_has_a_test_or_a_reason() {
    const REASONS: [&str; 3] = ["by construction", "not applicable", "reason"];
    let page = checks();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| item |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 90, "the page has {} items", rows.len());
    let is_held = |row: &&Vec<&str>| match row.as_slice() {
        [_, here, tests] => !named(tests).is_empty() || (REASONS.contains(tests) && !here.is_empty()),
        _ => false,
    };
    let bare = rows.iter().filter(|row| !is_held(row)).map(|row| row.join(" | "));
    expect_none("an item has its tests or a reason", bare);
}

/// What the page lists behind `Actions:`, against the table of `audit.rs`.
#[test]
fn the_page_about_accounts_lists_every_audited_action() {
    let source = fs::read_to_string(tree::root().join("daemon/server/src/audit.rs")).expect("the table");
    let table = source.split_once("\nactions! {").and_then(|(_, rest)| rest.split_once("\n}"));
    let table = table.expect("audit.rs has a table of actions").0;
    // The store itself records this one, in the transaction that ends the session.
    let by_the_store = std::iter::once("session.reuse");
    let actions: BTreeSet<&str> = table.split('"').skip(1).step_by(2).chain(by_the_store).collect();
    let page = accounts();
    let line = page.lines().find_map(|line| line.strip_prefix("Actions: ")).expect("the list");
    let listed: BTreeSet<&str> = line.split('`').skip(1).step_by(2).collect();
    assert!(actions.len() > 10, "the table has {} actions", actions.len());
    expect_none("docs/auth.md lists no action that is not there", listed.difference(&actions));
    expect_none("docs/auth.md lists every action", actions.difference(&listed));
}

#[test]
fn every_hostile_behaviour_is_accounted_for() {
    let text = document();
    let named = named(&text);
    let numbered = tests().into_iter().filter(|name| {
        let number = name.strip_prefix('a').and_then(|rest| rest.split('_').next()).unwrap_or_default();
        number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    expect_none(
        "docs/security.md names every test of the list",
        numbered.filter(|name| !named.contains(name)),
    );
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let missing = (1..=NUMBERS).filter(|number| {
        let start = format!("| {number} |");
        rows.iter().filter(|row| row.starts_with(&start)).count() != 1
    });
    expect_none("docs/security.md has one row for each number", missing);
}

#[test]
fn every_claim_has_a_proof() {
    let text = document();
    let claims: Vec<&str> = text.lines().filter(|line| line.starts_with("| S-")).collect();
    assert!(claims.len() >= 10, "the document makes {} claims", claims.len());
    let ids: BTreeSet<&str> = claims.iter().filter_map(|claim| claim.get(2..6)).collect();
    assert_eq!(ids.len(), claims.len(), "each claim has an id of its own");
    expect_none("a claim names a test", claims.iter().filter(|claim| named(claim).is_empty()));
}
