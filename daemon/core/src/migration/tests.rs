//! What separates two schemas, and what may be done about it unasked.

use super::{Change, Class, Step, convert_value, deny_rules, diff, file_number, hold_back, parse_migration};
use crate::catalog::Catalog;
use crate::schema::{CollectionRules, Schema, parse};
use crate::value::Value;

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
        Step::DropCollection(collection) => format!("drop {}", collection.name),
        Step::AddField { collection, field } => format!("add {}", collection.fields[*field].name),
        Step::CreateIndex { index, .. } => format!("index {}", index.name),
        Step::DropIndex { index } => format!("drop-index {index}"),
        Step::Search(collection) => format!("search {}", collection.name),
        Step::Rebuild { new, .. } => format!("rebuild {}", new.name),
        other => format!("{other:?}"),
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
    to(a, &added("type: int"), &["impossible rebuild c"]);
    to(a, &added("type: timestamp, default: now"), &["safe add b"]);
    to(a, &added("type: uuid, default: auto"), &["safe rebuild c"]);
    to(a, &added("type: int, nullable: true, index: true"), &["safe add b", "safe index _alyx_index.c.b"]);
    to(a, &added("type: int, nullable: true, unique: true"), &["safe add b", "safe index _alyx_unique.c.b"]);
    to(
        a,
        &added("type: int, default: 1, unique: true"),
        &["safe add b", "impossible index _alyx_unique.c.b"],
    );
    to(
        a,
        &added("type: relation, relation: { collection: users }, nullable: true"),
        &["safe add b", "safe index _alyx_index.c.b"],
    );
    to(&added("type: int, index: true"), a, &["safe drop-index _alyx_index.c.b", "confirm rebuild c"]);
    to(a, "a: { type: text }", &["safe none"]);
    to("a: { type: email }", a, &["safe none"]);
    to(a, "a: { type: email }", &["confirm rebuild c"]);
    to("a: { type: int }", a, &["confirm rebuild c"]);
    to("a: { type: json }", a, &["confirm rebuild c"]);
    to(a, "a: { type: string, nullable: true }", &["safe rebuild c"]);
    to("a: { type: string, nullable: true }", a, &["impossible rebuild c"]);
    to(a, "a: { type: string, maxLength: 5, default: x, hidden: true }", &["safe none"]);
    to(a, "a: { type: string, unique: true }", &["impossible index _alyx_unique.c.a"]);
    to("a: { type: string, unique: true }", a, &["safe drop-index _alyx_unique.c.a"]);
    to(a, "a: { type: string, index: true }", &["safe index _alyx_index.c.a"]);
    let relation =
        |options: &str| format!("a: {{ type: relation, relation: {{ collection: users{options} }} }}");
    to(&relation(""), &relation(", onDelete: cascade"), &["safe rebuild c"]);
    to(&relation(""), &relation("").replace("users", "c"), &["safe rebuild c"]);
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
    check(&index(""), &index(", unique: true"), &["safe drop-index i", "impossible index i"]);
    check(&with(""), &with("    rules: { read: \"true\" }\n"), &["safe none"]);
    check(
        &with("    rules: { read: \"true\" }\n"),
        &with("    rules: { get: \"true\", list: 'true', subscribe: 'true' }\n"),
        &[],
    );
    let function = |options: &str| format!("functions: {{ f: {{ runtime: node{options} }} }}\n");
    check("", &function(""), &["safe none"]);
    check(&function(""), "", &["safe none"]);
    check(&function(""), &format!("\n\n{}", function("")), &[]);
    check(&function(""), &function(", timeout: 1s"), &["safe none"]);
}

/// Rules and visibility change at once, tables wait.
#[test]
fn what_waits_denies_or_keeps_its_place() {
    let old = "collections:\n  c:\n    fields: { id: { type: id, primary: true }, a: { type: int }, s: { type: string } }\n    rules: { read: 'true', create: 'true' }\n  gone:\n    fields: { id: { type: id, primary: true } }\n    rules: { read: 'true' }\n";
    let new = "collections:\n  c:\n    fields: { id: { type: id, primary: true }, a: { type: string, hidden: true }, b: { type: int, nullable: true } }\n    rules: { create: 'doc.b == 1' }\n";
    let (old, new) = (schema(old), schema(new));
    let held = hold_back(&old, &new);
    let c = &held.collections["c"];
    assert_eq!(c.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["id", "a", "s"]);
    assert!(c.fields[1].hidden && c.fields[1].kind == old.collections["c"].fields[1].kind);
    assert!(c.rules.get.is_none() && c.rules.list.is_none() && c.rules.create.is_some());
    assert_eq!(held.collections["gone"].rules, CollectionRules::default());
    let problems = Catalog::build("s.yaml", held.clone()).expect_err("b is not there yet");
    let denied = deny_rules(held, &problems);
    assert_eq!(denied.collections["c"].rules.create.as_ref().expect("still a rule").text, "false");
    Catalog::build("s.yaml", denied).expect("the rest compiles");
}

#[test]
fn files_are_numbered() {
    let check = |name: &str, expected: Option<u64>| assert_eq!(file_number(name), expected, "{name}");
    check("0002_titles.yaml", Some(2));
    check("10_a-b_c.yaml", Some(10));
    for wrong in
        ["titles.yaml", "_a.yaml", "1.yaml", "1_.yaml", "0_a.yaml", "1_A.yaml", "1_a.yml", "-1_a.yaml"]
    {
        check(wrong, None);
    }
    check("99999999999999999999_a.yaml", None);
}

#[test]
fn steps_are_checked_all_at_once() {
    let check = |text: &str, expected: &[&str]| {
        let found = parse_migration("m.yaml", text).expect_err("it is wrong");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.contains(b));
        assert!(fits, "{found:#?}");
    };
    check("", &["steps are missing"]);
    check("steps: []\nextra: 1\n", &["unknown key \"extra\""]);
    check(
        "steps:\n  - rename_feld: {}\n  - rename_field: { collection: c, from: a }\n  - { sql: { up: '' } }\n  - backfill: { collection: c, field: f }\n  - change_type: { collection: c, field: f, to: strng }\n  - rename_collection: { from: a, to: _alyx_b }\n  - change_type: { collection: c, field: f, to: select }\n",
        &[
            "unknown step \"rename_feld\"\n  hint: did you mean \"rename_field\"?",
            "m.yaml:3:",
            "must have 1 to",
            "either value or sql",
            "unknown type \"strng\"",
            "is reserved",
            "this type needs its options",
        ],
    );
    let good = "steps:\n  - change_type: { collection: c, field: f, to: { type: select, select: { values: [a] } }, otherwise: set_null }\n";
    assert_eq!(parse_migration("m.yaml", good).expect("it is fine").len(), 1);
}

#[test]
fn values_are_converted_exactly_or_not_at_all() {
    let kind = |options: &str| schema(&c(&format!("a: {{ {options} }}"))).collections["c"].fields[1].clone();
    let check = |old: &str, value: Value, new: &str, expected: Option<Value>| {
        let found = convert_value(&kind(old).kind, &kind(new), value.as_ref());
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{old} → {new}: {found:?}");
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let (string, int, float) = ("type: string", "type: int", "type: float");
    check(string, text("12"), int, Some(Value::Integer(12)));
    check(string, text(" 12 "), int, Some(Value::Integer(12)));
    check(string, text("1.5"), int, None);
    check(string, text("x"), int, None);
    check(int, Value::Integer(12), string, Some(text("12")));
    check(float, Value::Real(1.0), int, Some(Value::Integer(1)));
    check(float, Value::Real(1.5), int, None);
    check(int, Value::Integer(1), "type: bool", Some(Value::Integer(1)));
    check(int, Value::Integer(2), "type: bool", None);
    check(string, text("true"), "type: bool", Some(Value::Integer(1)));
    check("type: bool", Value::Integer(1), string, Some(text("true")));
    check("type: date", text("2026-01-02"), "type: timestamp", Some(text("2026-01-02T00:00:00.000000Z")));
    check("type: timestamp", text("2026-01-02T03:04:05.000006Z"), "type: date", None);
    check(string, text("A@B.org"), "type: email", Some(text("a@b.org")));
    check(string, text("a b"), "type: json", Some(text("\"a b\"")));
    check("type: json", text("{\"a\":1}"), string, Some(text("{\"a\":1}")));
    let (one, two) = (
        "type: select, select: { values: [a, b] }",
        "type: select, select: { values: [a, b], maxSelect: 2 }",
    );
    check(one, text("a"), two, Some(text("[\"a\"]")));
    check(two, text("[\"b\"]"), one, Some(text("b")));
    check(two, text("[\"a\",\"b\"]"), one, None);
    check("type: text", text("<b onclick=x>b</b>"), "type: richtext", Some(text("<b>b</b>")));
    check("type: blob", Value::Blob(vec![104, 105]), string, Some(text("aGk=")));
    check(string, Value::Null, int, Some(Value::Null));
}
