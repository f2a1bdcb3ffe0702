//! No text makes the parser panic, hang or accept a schema that breaks what the model promises.

use alyx_core::catalog::Catalog;
use alyx_core::limits::DIAGNOSTICS_MAX;
use alyx_core::migration::diff;
use alyx_core::schema::{parse, parse_function};
use proptest::prelude::{any, prop, proptest};

const GOOD: &str = include_str!("../../../docs/schema.md");

fn good() -> &'static str {
    GOOD.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page shows a schema")
}

/// Whatever comes out must be usable: promises of the model are relied on with `expect` elsewhere.
fn survive(text: &str) {
    match parse("s", text) {
        Err(problems) => assert!((1..=DIAGNOSTICS_MAX).contains(&problems.len()), "{text}"),
        Ok(schema) => {
            for collection in schema.collections.values() {
                assert!(!collection.primary().1.nullable);
                assert!(!collection.all_indexes().iter().any(|index| index.fields.is_empty()));
            }
            assert!(diff(Some(&schema), &schema).is_empty());
            drop(Catalog::build("s", schema));
        }
    }
    drop(parse_function("f", "f", text));
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn text_that_looks_like_yaml(text in "(version: 1\n)?([ \n:{}\\[\\]&*!|>'\"#,-]|a|id|type|fields|collections|users|\\? |~|1|é){0,80}") {
        survive(&text);
    }

    #[test]
    fn a_good_schema_with_damage(places in prop::collection::vec((any::<prop::sample::Index>(), "[ \n:{}\\[\\],a-z0-9'\"~-]{0,3}"), 1..6)) {
        let mut text: Vec<char> = good().chars().collect();
        for (place, insert) in places {
            let at = place.index(text.len());
            text.splice(at..=at, insert.chars());
        }
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_good_schema_without_some_lines(keep in prop::collection::vec(any::<bool>(), 60)) {
        let lines = good().lines().zip(keep.iter().chain(std::iter::repeat(&true)));
        let kept: Vec<&str> = lines.filter(|(_, keep)| **keep).map(|(line, _)| line).collect();
        survive(&kept.join("\n"));
    }
}

#[test]
fn a_large_schema_is_read() {
    let collections: String = (0..200)
        .map(|n| {
            let fields: String = (0..20)
                .map(|f| {
                    format!(
                        "      f{f}: {{ type: relation, relation: {{ collection: c{f} }}, nullable: true }}\n"
                    )
                })
                .collect();
            format!("  c{n}:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n{fields}")
        })
        .collect();
    let schema = parse("s", &format!("version: 1\ncollections:\n{collections}")).expect("valid");
    assert_eq!(schema.collections.len(), 201);
}
