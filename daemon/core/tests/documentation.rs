//! The schemas and rule tests that the documentation shows are valid.

use alyx_core::catalog::Catalog;
use alyx_core::schema::{parse, parse_rule_tests};

#[test]
fn schemas_in_schema_md_are_valid() {
    let text = include_str!("../../../docs/schema.md");
    let mut count = 0;
    for block in text.split("```yaml\n").skip(1) {
        let yaml = block.split("```").next().unwrap_or_default();
        let schema = parse("docs/schema.md", yaml).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Catalog::build("docs/schema.md", schema).unwrap_or_else(|problems| panic!("{problems:#?}"));
        count += 1;
    }
    assert_eq!(count, 2, "the page shows two schemas");
}

/// The tests that belong to the first schema; those of the others stand below them.
const ROOMS: &str = "# rules.test.yaml for the rooms above";

#[test]
fn schemas_and_rule_tests_in_rules_md_are_valid() {
    let text = include_str!("../../../docs/rules.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect();
    let mut rooms = None;
    let mut count = 0;
    for yaml in blocks.iter().filter(|yaml| yaml.starts_with("version:")) {
        let schema = parse("docs/rules.md", yaml).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Catalog::build("docs/rules.md", schema.clone()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        rooms.get_or_insert(schema);
        count += 1;
    }
    assert_eq!(count, 8, "the page shows eight whole schemas");
    let tests =
        blocks.iter().find(|yaml| yaml.starts_with(ROOMS)).expect("the page shows tests of the rooms");
    let tests = parse_rule_tests("docs/rules.md", tests, &rooms.expect("the first schema"))
        .unwrap_or_else(|all| panic!("{all:#?}"));
    assert_eq!((tests.documents.len(), tests.tests.len()), (6, 5));
}
