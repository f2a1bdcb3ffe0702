//! What a client may send, what it becomes, and what comes back.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::{Access, Document, DocumentError, Fresh, IdKind, parse_create, parse_update, recall, write_json};
use crate::schema::{Collection, Schema, parse};
use crate::value::{Value, ValueRef};

const NOW: &str = "2026-01-02T03:04:05.000006Z";
const LATER: &str = "2026-01-02T03:04:06.000000Z";

fn create(collection: &Collection, body: &str, access: Access) -> Result<Document, DocumentError> {
    let mut ids = |kind| match kind {
        IdKind::Id => "00000000000000000001".to_owned(),
        IdKind::Uuid => "0190b3a0-0000-7000-8000-000000000000".to_owned(),
    };
    parse_create(collection, body.as_bytes(), access, &mut Fresh { now: NOW, ids: &mut ids })
}

fn json(collection: &Collection, document: &Document, access: Access, fields: Option<&[usize]>) -> String {
    let mut out = Vec::new();
    write_json(&mut out, collection, |place| document.values[place].as_ref(), &access.into(), fields);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// `field code, …` of what is wrong.
fn codes(result: Result<Document, DocumentError>) -> String {
    match result {
        Err(DocumentError::Fields(errors)) => errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.code))
            .collect::<Vec<_>>()
            .join(", "),
        Err(other) => other.to_string(),
        Ok(document) => format!("{document:?}"),
    }
}

/// A collection `c` with an id and one field `f`.
fn one_field(options: &str) -> Schema {
    let text = format!(
        "version: 1\ncollections:\n  c: {{ fields: {{ id: {{ type: id, primary: true, default: auto }}, f: {{ {options} }} }} }}\n"
    );
    parse("schema.yaml", &text).expect(options)
}

/// Creates with `f` and reads it back as JSON, or gives the code of the refusal.
fn round(options: &str, value: &str) -> Result<String, String> {
    let schema = one_field(options);
    let collection = &schema.collections["c"];
    match create(collection, &format!("{{\"f\":{value}}}"), Access::Client) {
        Ok(document) => {
            let text = json(collection, &document, Access::Client, Some(&[1]));
            let value = text.strip_prefix("{\"f\":").and_then(|text| text.strip_suffix('}'));
            Ok(value.expect("one field").to_owned())
        }
        Err(DocumentError::Fields(errors)) => Err(errors[0].code.to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

#[test]
fn values_that_are_accepted() {
    let check = |options: &str, value: &str, expected: &str| {
        assert_eq!(round(options, value), Ok(expected.to_owned()), "{options} {value}");
    };
    check("type: int", "0", "0");
    check("type: int", "-0", "0");
    check("type: int", "1.0", "1");
    check("type: int", "1e3", "1000");
    check("type: int", "1.50e1", "15");
    check("type: int", "9007199254740993", "9007199254740993");
    check("type: int", "9223372036854775807", "9223372036854775807");
    check("type: int", "-9223372036854775808", "-9223372036854775808");
    check("type: int", "0e99999999999", "0");
    check("type: float", "1", "1.0");
    check("type: float", "0.1", "0.1");
    check("type: float", "5e-324", "5e-324");
    check("type: float", "1.7976931348623157e308", "1.7976931348623157e+308");
    check("type: float", "-0.0", "-0.0");
    check("type: float, validate: { min: 0 }", "-0.0", "-0.0");
    check("type: bool", "true", "true");
    check("type: bool", "false", "false");
    check("type: string", r#""a\n\"\\\u00e9\ud83d\ude00""#, "\"a\\n\\\"\\\\\u{e9}\u{1f600}\"");
    check("type: string", r#""\u0001""#, r#""\u0001""#);
    check("type: string, maxLength: 1", "\"\u{1f600}\"", "\"\u{1f600}\"");
    check("type: string", "\"\"", "\"\"");
    check("type: text", r#""null""#, r#""null""#);
    check("type: timestamp", r#""2026-01-02T03:04:05.5+01:00""#, r#""2026-01-02T02:04:05.500000Z""#);
    check("type: date", r#""2024-02-29""#, r#""2024-02-29""#);
    check(
        "type: uuid",
        r#""0190B3A0-0000-7000-8000-00000000000F""#,
        r#""0190b3a0-0000-7000-8000-00000000000f""#,
    );
    check(
        "type: json",
        r#" { "b" : 1.50, "a" : [ 12345678901234567890123 ] } "#,
        r#"{"b":1.50,"a":[12345678901234567890123]}"#,
    );
    check("type: json", "[]", "[]");
    check("type: json", "false", "false");
    check("type: blob", r#""aGk=""#, r#""aGk=""#);
    check("type: blob", r#""""#, r#""""#);
    check("type: email", r#""Ada@Example.org""#, r#""ada@example.org""#);
    check("type: email", r#""admin@localhost""#, r#""admin@localhost""#);
    check("type: url", r#""https://example.org/a?b#c""#, r#""https://example.org/a?b#c""#);
    check("type: select, select: { values: [a, b] }", r#""a""#, r#""a""#);
    check("type: select, select: { values: [a, b], maxSelect: 2 }", r#"["b", "a"]"#, r#"["b","a"]"#);
    check("type: select, select: { values: [a, b], maxSelect: 2 }", "[]", "[]");
    check("type: relation, relation: { collection: users }", r#""abc""#, r#""abc""#);
    check("type: string, nullable: true", "null", "null");
    check("type: json, nullable: true", "null", "null");
    check("type: int, validate: { enum: [1, 2] }", "2.0", "2");
    check("type: int, validate: { min: 1, max: 3 }", "3", "3");
    check("type: float, validate: { min: 0.5, max: 1 }", "0.5", "0.5");
    check("type: string, validate: { pattern: '^a+$' }", "\"aa\"", "\"aa\"");
    check("type: string, validate: { enum: [x] }", "\"x\"", "\"x\"");
}

fn refused(options: &str, values: &[&str], code: &str) {
    for value in values {
        assert_eq!(round(options, value), Err(code.to_owned()), "{options} {value}");
    }
}

#[test]
fn numbers_texts_and_truth_values_that_are_refused() {
    let check = refused;
    check("type: int", &["1.5", "\"1\"", "true", "[]", "{}", "1e-1", "0.1e0"], "wrong_type");
    check(
        "type: int",
        &["9223372036854775808", "-9223372036854775809", "1e19", "1e999999999999"],
        "out_of_range",
    );
    check("type: int", &["null"], "required");
    check("type: int, nullable: true", &["\"\""], "wrong_type");
    check("type: float", &["\"1\"", "true", "[1]"], "wrong_type");
    check("type: float", &["1e999", "-1e999"], "out_of_range");
    check("type: bool", &["1", "0", "\"true\"", "[]"], "wrong_type");
    check("type: string", &["1", "true", "[]", "{}", r#""\ud800""#], "wrong_type");
    check("type: string", &[r#""a\u0000b""#], "format");
    check("type: string, minLength: 2", &["\"a\"", "\"\u{1f600}\""], "too_short");
    check("type: string, maxLength: 2", &["\"abc\""], "too_long");
    check("type: string, validate: { pattern: '^a$' }", &["\"ab\"", "\"a\\n\""], "pattern");
    check("type: string, validate: { format: uuid }", &["\"x\""], "format");
    check("type: string, validate: { enum: [x] }", &["\"y\"", "\"X\""], "not_one_of");
    check("type: int, validate: { min: 1 }", &["0", "-9223372036854775808"], "too_small");
    check("type: int, validate: { max: 1 }", &["2", "9223372036854775807"], "too_large");
    check("type: int, validate: { min: 0.5 }", &["0"], "too_small");
    check("type: float, validate: { max: 1.5 }", &["1.6"], "too_large");
}

#[test]
fn values_of_other_types_that_are_refused() {
    let check = refused;
    check(
        "type: timestamp",
        &["\"2026-01-02\"", "\"\"", "\"2026-01-02T03:04:05\"", "\"2026-02-30T00:00:00Z\""],
        "invalid_timestamp",
    );
    check("type: timestamp", &["1767322800"], "wrong_type");
    check("type: date", &["\"2026-02-30\"", "\"2026-01-02T00:00:00Z\""], "invalid_date");
    check(
        "type: uuid",
        &["\"x\"", "\"{0190b3a0-0000-7000-8000-00000000000f}\"", "\"0190b3a0000070008000000000000000\""],
        "format",
    );
    check("type: json", &[r#"{"a":1,"a":2}"#, r#""\ud800""#, "1e999"], "invalid_json");
    check("type: blob", &["\"aGk\"", "\"a-_=\"", "\"aGk=\\n\""], "format");
    check("type: blob", &["[1]"], "wrong_type");
    let emails = [
        "\"\"",
        "\"a\"",
        "\"@b\"",
        "\"a@\"",
        "\"a b@c.d\"",
        "\"a@b@c\"",
        "\"a@-b.c\"",
        "\"a@b..c\"",
        "\"a\\n@b.c\"",
    ];
    check("type: email", &emails, "format");
    let urls = [
        "\"\"",
        "\"x\"",
        "\"javascript:alert(1)\"",
        "\"ftp://a\"",
        "\"http://\"",
        "\" http://a\"",
        "\"http://a\\tb\"",
    ];
    check("type: url", &urls, "format");
    check("type: select, select: { values: [a] }", &["\"b\"", "\"\""], "not_one_of");
    check("type: select, select: { values: [a] }", &["[\"a\"]"], "wrong_type");
    check("type: select, select: { values: [a, b, c], maxSelect: 2 }", &[r#"["a","b","c"]"#], "too_many");
    check("type: select, select: { values: [a, b], maxSelect: 2 }", &[r#"["a","a"]"#], "duplicate_value");
    check("type: select, select: { values: [a, b], maxSelect: 2 }", &["\"a\"", "[1]", "{}"], "wrong_type");
    check("type: relation, relation: { collection: users }", &["\"\"", "\"a b\""], "format");
    check("type: timestamp, default: now", &[r#""2026-01-02T03:04:05Z""#, "null"], "read_only");
    check("type: timestamp, onUpdate: now", &[r#""2026-01-02T03:04:05Z""#], "read_only");
    check("type: string, nullable: true, internal: true", &["\"x\""], "read_only");
}

const NOTES: &str = r#"
version: 1
collections:
  notes:
    fields:
      id:     { type: id, primary: true, default: auto }
      title:  { type: string, minLength: 1 }
      body:   { type: text, nullable: true }
      views:  { type: int, default: 7 }
      day:    { type: date, default: now }
      ref:    { type: uuid, default: auto }
      own:    { type: timestamp, default: now, client: true }
      made:   { type: timestamp, default: now }
      edited: { type: timestamp, default: now, onUpdate: now }
      secret: { type: string, default: s, internal: true }
      pin:    { type: string, nullable: true, hidden: true }
"#;

fn notes() -> Schema {
    parse("schema.yaml", NOTES).expect("valid")
}

#[test]
fn absent_fields_get_their_defaults() {
    let schema = notes();
    let collection = &schema.collections["notes"];
    let document = create(collection, r#"{"title":"a","pin":"1"}"#, Access::Client).expect("valid");
    assert_eq!(document.rev, 1);
    let seen = concat!(
        r#"{"id":"00000000000000000001","title":"a","body":null,"views":7,"day":"2026-01-02","#,
        r#""ref":"0190b3a0-0000-7000-8000-000000000000","own":"2026-01-02T03:04:05.000006Z","#,
        r#""made":"2026-01-02T03:04:05.000006Z","edited":"2026-01-02T03:04:05.000006Z""#,
    );
    assert_eq!(json(collection, &document, Access::Client, None), format!("{seen}}}"));
    assert_eq!(
        json(collection, &document, Access::Admin, None),
        format!("{seen},\"secret\":\"s\",\"pin\":\"1\"}}")
    );
    assert_eq!(json(collection, &document, Access::Client, Some(&[1, 9, 10])), r#"{"title":"a"}"#);
    assert_eq!(json(collection, &document, Access::Client, Some(&[])), "{}");
    let own =
        create(collection, r#"{"title":"a","own":"2020-01-01T00:00:00Z"}"#, Access::Client).expect("valid");
    assert_eq!(own.values[6], Value::Text("2020-01-01T00:00:00.000000Z".into()));
}

#[test]
fn all_errors_come_at_once() {
    let schema = notes();
    let collection = &schema.collections["notes"];
    let body = r#"{"id":"x","views":1.5,"nope":1,"made":"2020-01-01T00:00:00Z","secret":"x","Title":"x"}"#;
    let expected = "id read_only, views wrong_type, nope unknown_field, made read_only, secret read_only, Title unknown_field, title required";
    assert_eq!(codes(create(collection, body, Access::Client)), expected);
    let many: Vec<String> = (0..10_000).map(|n| format!("\"f{n}\":1")).collect();
    let body = format!("{{{}}}", many.join(","));
    match create(collection, &body, Access::Client) {
        Err(DocumentError::Fields(errors)) => assert_eq!(errors.len(), crate::limits::FIELD_ERRORS_MAX),
        other => panic!("{other:?}"),
    }
    assert_eq!(codes(create(collection, r#"{"title":null}"#, Access::Client)), "title required");
    assert_eq!(codes(create(collection, "[]", Access::Client)), "the body must be a JSON object");
    assert!(codes(create(collection, r#"{"title":"a","title":"b"}"#, Access::Client)).contains("twice"));
    assert!(codes(create(collection, "", Access::Client)).contains("not valid JSON"));
}

#[test]
fn who_may_set_what() {
    let schema = notes();
    let collection = &schema.collections["notes"];
    let check = |body: &str, access: Access, expected: &str| {
        assert_eq!(codes(create(collection, body, access)), expected, "{body} {access:?}");
    };
    let made = r#"{"title":"a","made":"2020-01-01T00:00:00Z"}"#;
    check(made, Access::Client, "made read_only");
    check(made, Access::Admin, "made read_only");
    assert!(create(collection, made, Access::System).is_ok());
    assert!(create(collection, r#"{"title":"a","secret":"x"}"#, Access::Admin).is_ok());
    let users = &schema.collections["users"];
    let body = r#"{"email":"a@b.c","role":"admin","verified":true,"disabled":true}"#;
    let refused = "email read_only, role read_only, verified read_only, disabled read_only";
    assert_eq!(codes(create(users, body, Access::Client)), refused);
    let admin = create(users, body, Access::Admin).expect("an administrator may");
    assert!(!json(users, &admin, Access::Client, None).contains("disabled"));
}

#[test]
fn updates_keep_what_is_absent() {
    let schema = notes();
    let collection = &schema.collections["notes"];
    let old = create(collection, r#"{"title":"a","body":"b","pin":"1"}"#, Access::Client).expect("valid");
    let old = Document { rev: 4, ..old };
    let update = |body: &str, access| parse_update(collection, &old, body.as_bytes(), access, LATER);
    let same = update("{}", Access::Client).expect("valid");
    assert_eq!(same.rev, 4);
    assert_eq!(same.values[..8], old.values[..8]);
    assert_eq!(same.values[8], Value::Text(LATER.into()));
    assert_eq!(same.values[9..], old.values[9..]);
    let changed = update(r#"{"body":null,"title":"c"}"#, Access::Client).expect("valid");
    assert_eq!((&changed.values[1], &changed.values[2]), (&Value::Text("c".into()), &Value::Null));
    assert_eq!(
        codes(update(r#"{"title":null,"views":null}"#, Access::Client)),
        "title required, views required"
    );
    for access in [Access::Client, Access::Admin, Access::System] {
        assert_eq!(codes(update(r#"{"id":"x"}"#, access)), "id read_only");
    }
    let server_set = r#"{"made":"2020-01-01T00:00:00Z","edited":"2020-01-01T00:00:00Z"}"#;
    assert_eq!(codes(update(server_set, Access::Client)), "made read_only, edited read_only");
    let own = update(r#"{"own":"2020-01-01T00:00:00Z"}"#, Access::Client).expect("client: true");
    assert_eq!(own.values[6], Value::Text("2020-01-01T00:00:00.000000Z".into()));
    assert_eq!(codes(update("[]", Access::Client)), "the body must be a JSON object");
}

const EVERY: &str = r#"
version: 1
collections:
  every:
    fields:
      key:   { type: string, primary: true }
      text:  { type: text, nullable: true }
      int:   { type: int, nullable: true }
      float: { type: float, nullable: true }
      bool:  { type: bool, nullable: true }
      at:    { type: timestamp, nullable: true }
      day:   { type: date, nullable: true }
      json:  { type: json, nullable: true }
      blob:  { type: blob, nullable: true }
      one:   { type: select, nullable: true, select: { values: [a, 'b"c', "ü,"] } }
      some:  { type: select, nullable: true, select: { values: [a, 'b"c', "ü,"], maxSelect: 3 } }
"#;

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_values() -> impl Strategy<Value = Vec<Value>> {
    let text = || "[^\0]*".prop_map(Value::Text);
    let optional =
        |value: proptest::strategy::BoxedStrategy<Value>| prop_oneof![1 => Just(Value::Null), 4 => value];
    let choice = || prop_oneof![Just("a"), Just("b\"c"), Just("ü,")];
    let float = any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::Real);
    let at = (0..=9999_u32, 1..=12_u32, 1..=28_u32, 0..86_400_u32, 0..1_000_000_u32).prop_map(
        |(y, m, d, s, us)| {
            Value::Text(format!(
                "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{us:06}Z",
                s / 3_600,
                s / 60 % 60,
                s % 60
            ))
        },
    );
    let day = (0..=9999_u32, 1..=12_u32, 1..=28_u32)
        .prop_map(|(y, m, d)| Value::Text(format!("{y:04}-{m:02}-{d:02}")));
    let some = prop::collection::hash_set(choice(), 0..=3).prop_map(|set| {
        Value::Text(serde_json::Value::from(set.into_iter().collect::<Vec<_>>()).to_string())
    });
    let json = any_json()
        .prop_filter("null is no value", |value| !value.is_null())
        .prop_map(|value| Value::Text(value.to_string()));
    (
        "[^\0]+".prop_map(Value::Text),
        optional(text().boxed()),
        optional(any::<i64>().prop_map(Value::Integer).boxed()),
        optional(float.boxed()),
        optional((0..=1_i64).prop_map(Value::Integer).boxed()),
        optional(at.boxed()),
        optional(day.boxed()),
        optional(json.boxed()),
        optional(prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob).boxed()),
        optional(choice().prop_map(|text| Value::Text(text.to_owned())).boxed()),
        optional(some.boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j, k)| vec![a, b, c, d, e, f, g, h, i, j, k])
}

proptest! {
    #[test]
    fn what_is_written_reads_back(values in any_values()) {
        let schema = parse("schema.yaml", EVERY).expect("valid");
        let collection = &schema.collections["every"];
        let document = Document { values, rev: 1 };
        let text = json(collection, &document, Access::Client, None);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        let back = create(collection, &text, Access::Client);
        prop_assert_eq!(recall(collection, &text).map(|found| found.values), Some(document.values.clone()));
        prop_assert_eq!(back, Ok(document), "{}", text);
    }

    #[test]
    fn foreign_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), field in "(key|text|int|float|at|json|some)", value in any_json()) {
        let schema = parse("schema.yaml", EVERY).expect("valid");
        let collection = &schema.collections["every"];
        for body in [body, format!("{{\"{field}\":{value}}}").into_bytes()] {
            let mut ids = |_| String::new();
            drop(parse_create(collection, &body, Access::Client, &mut Fresh { now: NOW, ids: &mut ids }));
        }
    }

    #[test]
    fn whatever_the_store_holds_is_written_as_json(text in any::<String>(), int in any::<i64>(), float in -1e300..1e300_f64) {
        let schema = notes();
        let collection = &schema.collections["notes"];
        let row = |place: usize| match place % 4 {
            0 => ValueRef::Text(&text),
            1 => ValueRef::Integer(int),
            2 => ValueRef::Real(float),
            _ => ValueRef::Null,
        };
        let mut out = Vec::new();
        write_json(&mut out, collection, row, &Access::Admin.into(), None);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }
}

/// Creates with `f`, updates it and reads it back as JSON, or gives the code of the refusal.
fn change(options: &str, from: &str, update: &str) -> Result<String, String> {
    let schema = one_field(options);
    let collection = &schema.collections["c"];
    let old = create(collection, &format!("{{\"f\":{from}}}"), Access::Client).expect(from);
    let body = format!("{{\"f\":{update}}}");
    match parse_update(collection, &old, body.as_bytes(), Access::Client, LATER) {
        Ok(document) => {
            let text = json(collection, &document, Access::Client, Some(&[1]));
            let value = text.strip_prefix("{\"f\":").and_then(|text| text.strip_suffix('}'));
            Ok(value.expect("one field").to_owned())
        }
        Err(DocumentError::Fields(errors)) => Err(errors[0].code.to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

#[test]
fn operators_start_from_the_old_value() {
    let check = |options: &str, from: &str, update: &str, expected: Result<&str, &str>| {
        let found = change(options, from, update);
        let found = found.as_deref().map_err(String::as_str);
        assert_eq!(found, expected, "{options}: {from} {update}");
    };
    let int = "type: int, nullable: true, validate: { max: 10 }";
    check(int, "1", r#"{"$inc":2}"#, Ok("3"));
    check(int, "1", r#"{ "$inc" : -2 }"#, Ok("-1"));
    check(int, "1", r#"{"$inc":9}"#, Ok("10"));
    check(int, "1", r#"{"$inc":10}"#, Err("too_large"));
    check(int, "1", r#"{"$inc":0.5}"#, Err("wrong_type"));
    check(int, "null", r#"{"$inc":1}"#, Err("wrong_operator"));
    check(int, "1", r#"{"$inc":1,"$set":2}"#, Err("wrong_operator"));
    check(int, "1", r#"{"$mul":2}"#, Err("wrong_operator"));
    check(int, "1", r#"{"$push":2}"#, Err("wrong_operator"));
    check(int, "1", r#"{"$set":7}"#, Ok("7"));
    check(int, "1", r#"{"$set":null}"#, Ok("null"));
    check("type: int", "9223372036854775807", r#"{"$inc":1}"#, Err("out_of_range"));
    check("type: int", "1", r#"{"$set":null}"#, Err("required"));
    check("type: float", "0.5", r#"{"$inc":0.25}"#, Ok("0.75"));
    check("type: float", "1.7e308", r#"{"$inc":1.7e308}"#, Err("out_of_range"));

    let tags = "type: select, nullable: true, select: { values: [a, b, c], maxSelect: 2 }";
    check(tags, r#"["a"]"#, r#"{"$push":"b"}"#, Ok(r#"["a","b"]"#));
    check(tags, r#"["a"]"#, r#"{"$push":"a"}"#, Ok(r#"["a"]"#));
    check(tags, r#"["a"]"#, r#"{"$push":{"$each":["b","c"]}}"#, Err("too_many"));
    check(tags, r#"["a"]"#, r#"{"$push":"z"}"#, Err("not_one_of"));
    check(tags, r#"["a","b"]"#, r#"{"$pull":{"$each":["a","c"]}}"#, Ok(r#"["b"]"#));
    check(tags, "null", r#"{"$push":"c"}"#, Ok(r#"["c"]"#));

    let free = "type: json, nullable: true";
    check(free, "[1]", r#"{"$push":{"a": [2]}}"#, Ok(r#"[1,{"a":[2]}]"#));
    check(free, "[1,2,1.0,1]", r#"{"$pull":1}"#, Ok("[2,1.0]"));
    check(free, r#"[{"a":1,"b":2}]"#, r#"{"$pull":{"b":2,"a":1}}"#, Ok("[]"));
    check(free, r#"{"a":1}"#, r#"{"$push":1}"#, Err("wrong_operator"));
    check(free, "[1]", r#"{"$set":{"$push":1}}"#, Ok(r#"{"$push":1}"#));
    check(free, "[1]", r#"{"a":{"$push":1}}"#, Ok(r#"{"a":{"$push":1}}"#));
    check("type: string", r#""a""#, r#"{"$push":"b"}"#, Err("wrong_operator"));
    check("type: string", r#""a""#, r#"{"b":1}"#, Err("wrong_type"));
}

#[test]
fn operators_are_for_updates_only() {
    assert_eq!(round("type: int", r#"{"$inc":1}"#), Err("wrong_type".to_owned()));
    assert_eq!(round("type: json", r#"{"$inc":1}"#), Ok(r#"{"$inc":1}"#.to_owned()));
}

#[test]
fn a_replacement_keeps_what_the_caller_cannot_set() {
    let schema = parse(
        "schema.yaml",
        "version: 1
collections:
  c:
    fields:
      id: { type: id, primary: true, default: auto }
      title: { type: string, nullable: true }
      state: { type: string, default: new }
      secret: { type: string, nullable: true, internal: true }
      made: { type: timestamp, default: now }
      changed: { type: timestamp, default: now, onUpdate: now }
",
    )
    .unwrap();
    let collection = &schema.collections["c"];
    let old = create(collection, r#"{"title":"a","state":"old","secret":"s"}"#, Access::Admin).unwrap();
    let replace = |body: &str| {
        let mut ids = |_| unreachable!("it has an id");
        let mut fresh = Fresh { now: LATER, ids: &mut ids };
        super::parse_replace(collection, "x", Some(&old), body.as_bytes(), Access::Client, &mut fresh)
    };
    let text = json(collection, &replace(r#"{"id":"x"}"#).unwrap(), Access::Admin, None);
    assert_eq!(
        text,
        format!(r#"{{"id":"x","title":null,"state":"new","secret":"s","made":"{NOW}","changed":"{LATER}"}}"#)
    );
    assert_eq!(
        codes(replace(r#"{"id":"y","made":"2020-01-01T00:00:00Z","secret":"t","nope":1}"#)),
        "id read_only, made read_only, secret read_only, nope unknown_field"
    );
}
