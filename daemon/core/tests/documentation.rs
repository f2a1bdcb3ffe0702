//! The schemas that the documentation shows are valid.

use alyx_core::catalog::Catalog;
use alyx_core::schema::parse;

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
