//! What separates two schemas, and what may be done about it unasked.

use super::{Change, Class, Step, diff};
use crate::schema::{Schema, parse};

fn schema(collections: &str) -> Schema {
    parse("schema.yaml", &format!("version: 1\n{collections}"))
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A collection `c` with an id and the fields given.
fn c(fields: &str) -> String {
    format!(
        "collections:\n  c: {{ fields: {{ id: {{ type: id, primary: true, default: auto }}, {fields} }} }}\n"
    )
}

fn show(change: &Change) -> String {
    let class = match change.class {
        Class::Safe => "safe",
        Class::NeedsConfirmation => "confirm",
        Class::Impossible => "impossible",
    };
    let step = match &change.step {
        Step::None => "none".to_owned(),
        Step::CreateCollection(collection) => format!("create {}", collection.name),
        Step::DropCollection { collection } => format!("drop {collection}"),
        Step::AddField { collection, field } => format!("add {}", collection.fields[*field].name),
        Step::DropField { field, .. } => format!("drop-field {field}"),
        Step::CreateIndex { index, .. } => format!("index {}", index.name),
        Step::DropIndex { index, .. } => format!("drop-index {index}"),
        Step::Rebuild { collection, .. } => format!("rebuild {}", collection.name),
    };
    format!("{class} {step}")
}

fn check(old: &str, new: &str, expected: &[&str]) {
    let changes = diff(Some(&schema(old)), &schema(new));
    let found: Vec<String> = changes.iter().map(show).collect();
    assert_eq!(found, expected, "{changes:#?}");
}

#[test]
fn whole_collections() {
    let found: Vec<String> = diff(None, &schema(&c("a: { type: int }"))).iter().map(show).collect();
    assert_eq!(found, ["safe create c", "safe create users"]);
    check("", &c("a: { type: int }"), &["safe create c"]);
    check(&c("a: { type: int }"), "", &["confirm drop c"]);
    check(&c("a: { type: int }"), &c("a: { type: int }"), &[]);
    check(&c("a: { type: int }"), &format!("# moved\n\n{}", c("a:   { type: int }")), &[]);
}

#[test]
fn fields() {
    let to = |old: &str, new: &str, expected: &[&str]| check(&c(old), &c(new), expected);
    let a = "a: { type: string }";
    let added = |options: &str| format!("{a}, b: {{ {options} }}");
    to(a, &added("type: int, nullable: true"), &["safe add b"]);
    to(a, &added("type: int, default: 1"), &["safe add b"]);
    to(a, &added("type: int"), &["impossible none"]);
    to(a, &added("type: timestamp, default: now"), &["confirm rebuild c"]);
    to(a, &added("type: int, nullable: true, index: true"), &["safe add b", "safe index _alyx_index.c.b"]);
    to(a, &added("type: int, nullable: true, unique: true"), &["safe add b", "safe index _alyx_unique.c.b"]);
    to(a, &added("type: int, default: 1, unique: true"), &["safe add b", "confirm index _alyx_unique.c.b"]);
    to(
        a,
        &added("type: relation, relation: { collection: users }, nullable: true"),
        &["safe add b", "safe index _alyx_index.c.b"],
    );
    to(&added("type: int, index: true"), a, &["safe drop-index _alyx_index.c.b", "confirm drop-field b"]);
    to(a, "a: { type: text }", &["safe none"]);
    to("a: { type: email }", a, &["safe none"]);
    to(a, "a: { type: email }", &["confirm rebuild c"]);
    to("a: { type: int }", a, &["confirm rebuild c"]);
    to("a: { type: json }", a, &["confirm rebuild c"]);
    to(a, "a: { type: string, nullable: true }", &["confirm rebuild c"]);
    to("a: { type: string, nullable: true }", a, &["confirm rebuild c"]);
    to(a, "a: { type: string, maxLength: 5, default: x, hidden: true }", &["safe none"]);
    to(a, "a: { type: string, unique: true }", &["confirm index _alyx_unique.c.a"]);
    to("a: { type: string, unique: true }", a, &["safe drop-index _alyx_unique.c.a"]);
    to(a, "a: { type: string, index: true }", &["safe index _alyx_index.c.a"]);
    let relation =
        |options: &str| format!("a: {{ type: relation, relation: {{ collection: users{options} }} }}");
    to(&relation(""), &relation(", onDelete: cascade"), &["confirm rebuild c"]);
    to(&relation(""), &relation("").replace("users", "c"), &["confirm rebuild c"]);
    let select = |values: &str| format!("a: {{ type: select, select: {{ {values} }} }}");
    to(&select("values: [x]"), &select("values: [x, y]"), &["safe none"]);
    to(&select("values: [x, y]"), &select("values: [x]"), &["safe none"]);
    to(&select("values: [x, y]"), &select("values: [x, y], maxSelect: 2"), &["confirm rebuild c"]);
}

#[test]
fn the_primary_field_stays() {
    let old = "collections: { c: { fields: { id: { type: id, primary: true, default: auto }, b: { type: string } } } }\n";
    let new = "collections: { c: { fields: { b: { type: string, primary: true } } } }\n";
    check(old, new, &["impossible none", "impossible none"]);
    let new =
        "collections: { c: { fields: { key: { type: string, primary: true }, b: { type: string } } } }\n";
    check(old, new, &["impossible none", "impossible none"]);
}

#[test]
fn indexes_rules_and_functions() {
    let with = |rest: &str| {
        format!(
            "collections:\n  c:\n    fields: {{ id: {{ type: id, primary: true, default: auto }}, a: {{ type: int }} }}\n{rest}"
        )
    };
    let index = |options: &str| with(&format!("    indexes: [{{ name: i, fields: [a]{options} }}]\n"));
    check(&with(""), &index(""), &["safe index i"]);
    check(&index(""), &with(""), &["safe drop-index i"]);
    check(&index(""), &index(", order: desc"), &["safe drop-index i", "safe index i"]);
    check(&index(""), &index(", unique: true"), &["safe drop-index i", "confirm index i"]);
    check(&with(""), &with("    rules: { read: \"true\" }\n"), &["safe none"]);
    check(
        &with("    rules: { read: \"true\" }\n"),
        &with("    rules: { get: \"true\", list: 'true' }\n"),
        &[],
    );
    let function = |options: &str| format!("functions: {{ f: {{ runtime: node{options} }} }}\n");
    check("", &function(""), &["safe none"]);
    check(&function(""), "", &["safe none"]);
    check(&function(""), &format!("\n\n{}", function("")), &[]);
    check(&function(""), &function(", timeout: 1s"), &["safe none"]);
}
