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

#[test]
fn schemas_and_rule_tests_in_rules_md_are_valid() {
    let text = include_str!("../../../docs/rules.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect();
    let mut schemas = Vec::new();
    for yaml in blocks.iter().filter(|yaml| yaml.starts_with("version:")) {
        let schema = parse("docs/rules.md", yaml).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Catalog::build("docs/rules.md", schema.clone()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        schemas.push(schema);
    }
    assert_eq!(schemas.len(), 2, "the page shows two whole schemas");
    let tests =
        blocks.iter().find(|yaml| yaml.starts_with("# rules.test.yaml")).expect("the page shows tests");
    let tests =
        parse_rule_tests("docs/rules.md", tests, &schemas[0]).unwrap_or_else(|all| panic!("{all:#?}"));
    assert_eq!((tests.documents.len(), tests.tests.len()), (6, 5));
}
