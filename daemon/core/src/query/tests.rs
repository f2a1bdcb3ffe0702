//! What query parameters mean, and which are refused.

use proptest::prelude::{any, prop, proptest};
use proptest::prop_assert_eq;

use super::{ListQuery, QueryError, Reading, encode_cursor, parse_aggregate, parse_list, parse_where};
use crate::catalog::Catalog;
use crate::identity::{AdminIdentity, Identity, RequestFacts, UserIdentity};
use crate::schema::parse;
use crate::value::Value;

/// Who asks.
#[derive(Clone, Copy)]
enum Access {
    Client,
    Admin,
}

fn catalog() -> &'static Catalog {
    static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(|| {
        let schema = parse("schema.yaml", SCHEMA).expect("valid");
        Catalog::build("schema.yaml", schema).expect("its rules compile")
    });
    &CATALOG
}

const SCHEMA: &str = r#"
version: 1
collections:
  posts:
    fields:
      id:      { type: id, primary: true, default: auto }
      title:   { type: string, search: true }
      order:   { type: int, nullable: true }
      score:   { type: float }
      done:    { type: bool }
      at:      { type: timestamp, nullable: true }
      day:     { type: date }
      key:     { type: uuid }
      data:    { type: json, nullable: true }
      raw:     { type: blob, nullable: true }
      mail:    { type: email }
      tags:    { type: select, select: { values: [a, b], maxSelect: 2 } }
      status:  { type: select, select: { values: [a, b] } }
      author:  { type: relation, relation: { collection: people } }
      boss:    { type: relation, relation: { collection: people }, nullable: true, hidden: true }
      a-b:     { type: string, nullable: true }
      secret:  { type: string, nullable: true, internal: true }
      pin:     { type: string, hidden: true }
      pay:     { type: int, nullable: true, rules: { read: "doc.author == auth.id" } }
      rank:    { type: int, nullable: true, rules: { read: "auth.role == 'clerk'" } }
  people:
    fields:
      id:      { type: id, primary: true, default: auto }
      name:    { type: string }
      team:    { type: relation, relation: { collection: teams }, nullable: true }
      friend:  { type: relation, relation: { collection: people }, nullable: true }
      secret:  { type: string, nullable: true, internal: true }
    rules:
      list: "doc.name == auth.id"
  teams:
    fields:
      id:      { type: id, primary: true, default: auto }
      name:    { type: string }
      meta:    { type: json, nullable: true }
"#;

fn params(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn reading<T>(access: Access, ask: impl FnOnce(Reading<'_>) -> T) -> T {
    let identity = match access {
        Access::Admin => Identity::Admin(AdminIdentity::Peer { uid: 0 }),
        Access::Client => Identity::User(UserIdentity {
            id: "ada".to_owned(),
            email: "ada@example.org".to_owned(),
            role: "user".to_owned(),
            verified: true,
            session: String::new(),
            metadata: std::sync::Arc::default(),
            scopes: std::sync::Arc::default(),
        }),
    };
    let facts = RequestFacts::default();
    ask(Reading::new(catalog(), "posts", &identity, &facts).expect("declared"))
}

fn list(query: &str, access: Access) -> Result<ListQuery, QueryError> {
    reading(access, |reading| parse_list(reading, &params(query)))
}

fn show(values: &[Value]) -> String {
    let show = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => format!("{value:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Blob(_) => "blob".to_owned(),
    };
    values.iter().map(show).collect::<Vec<_>>().join(",")
}

#[test]
fn filters() {
    let check = |filter: &str, expected: &str| {
        let query = list(&format!("filter={filter}"), Access::Client)
            .unwrap_or_else(|error| panic!("{filter}: {error:?}"));
        let expr = query.filter.expect("a filter");
        assert_eq!(format!("{} <- {}", expr.text, show(&expr.params)), expected, "{filter}");
        assert_eq!(expr.text.matches('?').count(), expr.params.len(), "{filter}");
    };
    check("title:eq:a", r#"d."title" IS ? <- 'a'"#);
    check("title:eq:", r#"d."title" IS ? <- ''"#);
    check("title:eq:a:b", r#"d."title" IS ? <- 'a:b'"#);
    check("title:ne:'; DROP TABLE x", r#"d."title" IS NOT ? <- ''; DROP TABLE x'"#);
    check("title:eq:select \u{1f600}-x", "d.\"title\" IS ? <- 'select \u{1f600}-x'");
    check("order:gt:10", r#"d."order" > ? <- 10"#);
    check("order:gte:-9223372036854775808", r#"d."order" >= ? <- -9223372036854775808"#);
    check("order:lt:1e3", r#"d."order" < ? <- 1000"#);
    check("score:lte:1", r#"d."score" <= ? <- 1.0"#);
    check("done:eq:true", r#"d."done" IS ? <- 1"#);
    check("at:lt:2026-01-01T00:00:00+02:00", r#"d."at" < ? <- '2025-12-31T22:00:00.000000Z'"#);
    check("at:starts:2026-01", r#"d."at" LIKE ? ESCAPE '\' <- '2026-01%'"#);
    check("day:eq:2026-01-02", r#"d."day" IS ? <- '2026-01-02'"#);
    check(
        "key:eq:0190B3A0-0000-7000-8000-000000000000",
        r#"d."key" IS ? <- '0190b3a0-0000-7000-8000-000000000000'"#,
    );
    check("mail:eq:Ada@X.org", r#"d."mail" IS ? <- 'ada@x.org'"#);
    check("id:eq:not an id", r#"d."id" IS ? <- 'not an id'"#);
    check("author:eq:u1", r#"d."author" IS ? <- 'u1'"#);
    check("a-b:is_null", r#"d."a-b" IS NULL <- "#);
    check("a-b:not_null:", r#"d."a-b" IS NOT NULL <- "#);
    check("data:is_null", r#"d."data" IS NULL <- "#);
    check("raw:not_null", r#"d."raw" IS NOT NULL <- "#);
    check("title:like:a%_", r#"d."title" LIKE ? ESCAPE '\' <- 'a%_'"#);
    check("title:contains:50%_\\", r#"d."title" LIKE ? ESCAPE '\' <- '%50\%\_\\%'"#);
    check("title:starts:_", r#"d."title" LIKE ? ESCAPE '\' <- '\_%'"#);
    check("order:in:1,2", r#"d."order" IN (?, ?) <- 1,2"#);
    check("order:in:[1,\"2\"]", r#"d."order" IN (?, ?) <- 1,2"#);
    check("order:in:1,2,3", r#"d."order" IN (?, ?, ?, ?) <- 1,2,3,3"#);
    check("title:in:[\"a,b\"]", r#"d."title" IN (?) <- 'a,b'"#);
    check("title:in:", "0 <- ");
    check("title:in:[]", "0 <- ");
    // In quotes it is a text, without them a number.
    let of = |value: &str| {
        let query = list(&format!("filter=data.k:in:[{value}]"), Access::Client).expect("valid");
        query.filter.expect("a filter").params.last().cloned().expect("a value")
    };
    assert_eq!((of("\"1\""), of("1")), (Value::Text("1".to_owned()), Value::Integer(1)));
    check("title:nin:", "1 <- ");
    check("order:nin:1", r#"(d."order" IS NULL OR d."order" NOT IN (?)) <- 1"#);
    check("tags:contains:a", r#"EXISTS (SELECT 1 FROM json_each(d."tags") AS j WHERE j.value IS ?) <- 'a'"#);
    check("title:eq:a&filter=order:gt:1", r#"d."title" IS ? AND d."order" > ? <- 'a',1"#);
}

#[test]
fn refused() {
    let check = |query: &str, param: &str, code: &str| {
        let error = list(query, Access::Client).map(|_| ()).expect_err(query);
        assert_eq!((error.param.as_str(), error.code), (param, code), "{query}: {error}");
    };
    for limit in ["0", "-1", "1001", "99999999999999999999", "ten", "", "1.0", "+1", " 1"] {
        check(&format!("limit={limit}"), "limit", "invalid_value");
    }
    for offset in ["-1", "1000001", "x", ""] {
        check(&format!("offset={offset}"), "offset", "invalid_value");
    }
    check("count=yes", "count", "invalid_value");
    check("Limit=1", "Limit", "unknown_parameter");
    check("limit=1&limit=2", "limit", "duplicate_parameter");
    check("sort=title&sort=day", "sort", "duplicate_parameter");
    for name in [
        "nope",
        "secret",
        "pin",
        "pay",
        "rank",
        "boss.name",
        "author.secret",
        "title.x",
        "author.nope",
        "d.title",
        "title\"",
        "",
        "1=1",
        "\u{1f600}",
        "TITLE",
        "rowid",
        "_alyx_rev",
    ] {
        check(&format!("filter={name}:eq:1"), "filter", "unknown_field");
        check(&format!("sort=-{name}"), "sort", "unknown_field");
        check(&format!("where={{\"{}\":1}}", name.replace('"', "\\\"")), "where", "unknown_field");
        if name != "pay" {
            check(&format!("fields=id,{name}"), "fields", "unknown_field");
        }
    }
    check("sort=", "sort", "unknown_field");
    check("sort=title,", "sort", "unknown_field");
    check("sort=title,-title", "sort", "invalid_value");
    check("sort=data", "sort", "invalid_value");
    check("sort=raw", "sort", "invalid_value");
    check("sort=tags", "sort", "invalid_value");
    check("sort=id,title,order,score,done,at,day,key,mail", "sort", "too_many");
    check("fields=", "fields", "unknown_field");
    check("fields=id,id", "fields", "invalid_value");
    check("filter=title", "filter", "invalid_value");
    check("filter=title:eq", "filter", "invalid_value");
    check("filter=title:is:a", "filter", "unknown_operator");
    check("filter=title:EQ:a", "filter", "unknown_operator");
    check("filter=title:is_null:x", "filter", "invalid_value");
    check("filter=title:eq:a\0b", "filter", "invalid_value");
    check("filter=title:contains:a\0b", "filter", "invalid_value");
    for value in ["ten", "1.5", "9223372036854775808", "", "1x", "0x10", "1.2.3", "null", "\u{661}"] {
        check(&format!("filter=order:gt:{value}"), "filter", "invalid_value");
    }
    for value in ["x", "1e999", "inf", "NaN", "-inf", ""] {
        check(&format!("filter=score:eq:{value}"), "filter", "invalid_value");
    }
    check("filter=done:eq:1", "filter", "invalid_value");
    check("filter=done:gt:true", "filter", "unsupported_operator");
    check("filter=at:eq:yesterday", "filter", "invalid_value");
    check("filter=at:eq:2026-01-01", "filter", "invalid_value");
    check("filter=day:eq:2026-02-30", "filter", "invalid_value");
    check("filter=key:eq:x", "filter", "invalid_value");
    check("filter=order:like:1%", "filter", "unsupported_operator");
    check("filter=data:eq:1", "filter", "unsupported_operator");
    check("filter=raw:eq:aGk=", "filter", "unsupported_operator");
    check("filter=tags:eq:a", "filter", "unsupported_operator");
    check("filter=order:in:1,x", "filter", "invalid_value");
    check("filter=order:in:[1", "filter", "invalid_value");
    check("filter=order:in:[null]", "filter", "invalid_value");
    check(&format!("filter=order:in:{}", vec!["1"; 201].join(",")), "filter", "too_many");
    check(&vec!["filter=order:eq:1"; 51].join("&"), "filter", "too_many");
    check(&format!("filter=title:eq:{}", "x".repeat(20_000)), "filter", "too_many");
    assert!(list(&vec!["filter=order:eq:1"; 50].join("&"), Access::Client).is_ok());
    assert!(list(&format!("filter=order:in:{}", vec!["1"; 200].join(",")), Access::Client).is_ok());
}

#[test]
fn unknown_hidden_and_internal_fields_look_the_same() {
    let error = |name: &str, param: &str| {
        list(&format!("{param}={name}"), Access::Client).expect_err(name).message.replace(name, "X")
    };
    for param in ["sort", "fields", "filter"] {
        assert_eq!(error("secret", param), error("nope", param));
        assert_eq!(error("pin", param), error("nope", param));
    }
    assert!(list("filter=secret:eq:x&sort=pin&fields=secret", Access::Admin).is_ok());
}

#[test]
fn the_rest() {
    let query = list("", Access::Client).expect("valid");
    assert_eq!((query.limit, query.offset, query.count, query.fields), (30, 0, false, None));
    assert!(query.filter.is_none() && query.after.is_none());
    let query = list("limit=1000&offset=5&count=true&fields=order,id", Access::Client).expect("valid");
    assert_eq!((query.limit, query.offset, query.count), (1_000, 5, true));
    assert_eq!(query.fields, Some(vec![0, 2]));
    assert_eq!(list("limit=1", Access::Client).expect("valid").limit, 1);
    let keys = |sort: &str| {
        let query = list(&format!("sort={sort}"), Access::Client).expect(sort);
        query.sort.iter().map(|key| format!("{:?} {}", key.order, key.name)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(keys("-day,title"), "Descending day, Ascending title, Ascending id");
    assert_eq!(keys("-day"), "Descending day, Descending id");
    assert_eq!(keys("-id,day"), "Descending id, Ascending day");
}

#[test]
fn conditions_after_a_cursor() {
    let check = |sort: &str, last: &[Value], expected: &str| {
        let query = list(&format!("sort={sort}"), Access::Client).expect(sort);
        let cursor = encode_cursor(&query, last);
        let next = list(&format!("sort={sort}&cursor={cursor}"), Access::Client).expect(sort);
        assert_eq!(next.after.as_deref(), Some(last));
        let expr = next.after_expr().expect("a cursor");
        assert_eq!(format!("{} <- {}", expr.text, show(&expr.params)), expected, "{sort}");
    };
    let text = |text: &str| Value::Text(text.to_owned());
    check("id", &[text("a")], r#"(d."id" > ?) <- 'a'"#);
    check("-id", &[text("a")], r#"(d."id" < ?) <- 'a'"#);
    check(
        "title",
        &[text("t"), text("a")],
        r#"d."title" >= ? AND ((d."title" > ?) OR (d."title" IS ? AND d."id" > ?)) <- 't','t','t','a'"#,
    );
    check(
        "order",
        &[Value::Null, text("a")],
        r#"(d."order" IS NOT NULL) OR (d."order" IS ? AND d."id" > ?) <- null,'a'"#,
    );
    check(
        "-order",
        &[Value::Integer(5), text("a")],
        r#"((d."order" < ? OR d."order" IS NULL)) OR (d."order" IS ? AND d."id" < ?) <- 5,5,'a'"#,
    );
    check("-order", &[Value::Null, text("a")], r#"(d."order" IS ? AND d."id" < ?) <- null,'a'"#);
}

#[test]
fn a_cursor_belongs_to_its_list() {
    let query = list("sort=title&filter=order:gt:1", Access::Client).expect("valid");
    let cursor = encode_cursor(&query, &[Value::Text("t".into()), Value::Text("a".into())]);
    let check = |query: &str, valid: bool| {
        let result = list(&format!("{query}&cursor={cursor}"), Access::Client);
        assert_eq!(
            result.as_ref().map_err(|error| error.code).err(),
            (!valid).then_some("invalid_cursor"),
            "{query}"
        );
    };
    check("sort=title&filter=order:gt:1", true);
    check("sort=title&filter=order:gt:1&limit=5&count=true&fields=id", true);
    check("sort=-title&filter=order:gt:1", false);
    check("sort=title&filter=order:gt:2", false);
    check("sort=title", false);
    check("filter=order:gt:1", false);
    let both = list(&format!("sort=title&filter=order:gt:1&offset=1&cursor={cursor}"), Access::Client);
    assert_eq!(both.expect_err("both").param, "offset");
    for wrong in
        [vec![], vec![Value::Null, Value::Text("a".into())], vec![Value::Integer(1), Value::Text("a".into())]]
    {
        let cursor = encode_cursor(&query, &wrong);
        let result = list(&format!("sort=title&filter=order:gt:1&cursor={cursor}"), Access::Client);
        assert_eq!(result.expect_err("wrong values").code, "invalid_cursor");
    }
}

#[test]
fn conditions_as_an_object() {
    let sql = |text: &str| {
        let expr = reading(Access::Client, |reading| parse_where(reading, text)).expect(text);
        assert_eq!(expr.text.matches('?').count(), expr.params.len(), "{text}");
        format!("{} <- {}", expr.text, show(&expr.params))
    };
    let people = r#"d."author" IN (SELECT d."id" FROM "people" AS d WHERE (d."name" IS ?) AND "#;
    assert_eq!(sql("{}"), "1 <- ");
    assert_eq!(sql(r#"{"order":null,"title":"x"}"#), r#"(d."order" IS NULL) AND (d."title" IS ?) <- 'x'"#);
    assert_eq!(sql(r#"{"$not":{"order":{"$gt":1}}}"#), r#"((d."order" > ?) IS NOT TRUE) <- 1"#);
    assert_eq!(sql(r#"{"author.name":"x"}"#), format!(r#"{people}(d."name" IS ?)) <- 'ada','x'"#));
    assert_eq!(
        sql(r#"{"author.team.name":{"$ne":"x"}}"#),
        format!(
            r#"(({people}(d."team" IN (SELECT d."id" FROM "teams" AS d WHERE 0 AND (d."name" IS ?))))) IS NOT TRUE) <- 'ada','x'"#
        )
    );
    assert!(
        reading(Access::Client, |reading| parse_aggregate(reading, &params("sum=order&group=status")))
            .is_ok()
    );
}

proptest! {
    #[test]
    fn foreign_conditions_never_panic(text in any::<String>(), path in "[a-z.0-9$\"]{0,12}", value in r#"[a-z0-9\[\]{}":,$.-]{0,12}"#) {
        for text in [text.clone(), format!("{{\"{path}\":{value}}}"), format!("{{\"$or\":[{{\"{path}\":{{\"$gt\":{value}}}}}]}}")] {
            drop(reading(Access::Client, |reading| parse_where(reading, &text)));
        }
        for param in ["search", "expand", "group", "where"] {
            let given = [(param.to_owned(), text.clone())];
            drop(reading(Access::Admin, |reading| parse_list(reading, &given).map(|_| ())));
            drop(reading(Access::Admin, |reading| parse_aggregate(reading, &given).map(|_| ())));
        }
    }

    #[test]
    fn foreign_text_never_panics(name in "(filter|sort|limit|offset|cursor|count|fields)", value in any::<String>()) {
        // The outcome is not the point: it must be one.
        drop(list(&format!("{name}={value}"), Access::Client));
    }

    #[test]
    fn damaged_cursors_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0..40_usize, bit in 0..8_u8) {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let query = list("sort=order", Access::Client).expect("valid");
        let good = encode_cursor(&query, &[Value::Integer(7), Value::Text("abcdefgh".into())]);
        let mut damaged = URL_SAFE_NO_PAD.decode(good).expect("own text");
        let place = at % damaged.len();
        damaged[place] ^= 1 << bit;
        for bytes in [bytes, damaged] {
            drop(list(&format!("sort=order&cursor={}", URL_SAFE_NO_PAD.encode(bytes)), Access::Client));
        }
    }

    #[test]
    fn cursors_come_back(order in any::<Option<i64>>(), score in -1e300..1e300_f64, id in "[a-z0-9]{1,20}", title in any::<String>()) {
        let sort = "sort=order,-score,title";
        let query = list(sort, Access::Client).expect("valid");
        let last = vec![order.map_or(Value::Null, Value::Integer), Value::Real(score), Value::Text(title), Value::Text(id)];
        let next = list(&format!("{sort}&cursor={}", encode_cursor(&query, &last)), Access::Client).expect("own cursor");
        prop_assert_eq!(next.after, Some(last));
    }
}
