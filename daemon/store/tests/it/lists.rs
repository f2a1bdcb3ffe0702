//! Lists: rules, paging, counts, deadlines, and that they hold up nobody.

use std::time::{Duration, Instant};

use alyx_core::query::{ListQuery, encode_cursor};
use alyx_core::sql::{SqlExpr, SqlPredicate};
use alyx_core::value::Value;
use alyx_store::{Error, ListPage, Pending};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use serde_json::{Value as Json, json};

use crate::support::{ACTOR, TestStore, pluck};

const ITEMS: &str = "
collections:
  items:
    fields:
      id: { type: string, primary: true }
      owner: { type: string, index: true, nullable: true }
      number: { type: int, nullable: true }
      text: { type: string, nullable: true }
      on: { type: bool, default: false }
      secret: { type: string, nullable: true, internal: true }
    indexes:
      - { name: by_number, fields: [number] }
";

fn when(text: &str, params: &[Value]) -> SqlPredicate {
    SqlPredicate::When(SqlExpr { text: text.to_owned(), params: params.to_vec() })
}

/// Runs until somebody stops it.
fn endless() -> SqlPredicate {
    when("(WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c) > 0", &[])
}

fn fill(items: &TestStore, bodies: impl Iterator<Item = Json>) {
    let collection = items.collection("items");
    let bodies: Vec<_> = bodies.collect();
    for chunk in bodies.chunks(2_000) {
        let answers: Vec<_> = chunk
            .iter()
            .map(|body| items.store.create(collection.clone(), items.draft("items", body), ACTOR.to_owned()))
            .collect();
        answers.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
    }
}

fn send(items: &TestStore, rule: SqlPredicate) -> Pending<ListPage> {
    let query = items.query("items", &[]);
    items.store.list(items.collection("items"), ListQuery { rule: rule.into(), ..query })
}

#[test]
fn ten_thousand_documents_under_a_rule() {
    let items = TestStore::new(ITEMS);
    let body = |number: u32| {
        let owner = if number.is_multiple_of(10) { "ada" } else { "bob" };
        json!({"id": format!("i{number:05}"), "owner": owner, "number": number, "secret": "s"})
    };
    fill(&items, (0..10_000).map(body));
    let ada = || when("d.\"owner\" = ?", &[Value::Text("ada".to_owned())]);

    let params = [("limit", "1000"), ("count", "true"), ("filter", "number:gte:5000"), ("sort", "-number")];
    let page = items.list_under("items", ada(), &params);
    assert_eq!((page.count, page.total, page.last.is_some()), (500, Some(500), false));
    let numbers = pluck(&page, "number");
    assert_eq!((numbers[0].as_u64(), numbers[499].as_u64()), (Some(9990), Some(5000)));
    assert!(pluck(&page, "secret").iter().all(Json::is_null));
    assert!(!String::from_utf8(page.docs_json).unwrap().contains("secret"));

    let page = items.list_under("items", SqlPredicate::Never, &[("count", "true")]);
    assert_eq!((&*page.docs_json, page.count, page.total, page.last), (&b"[]"[..], 0, Some(0), None));
    let page =
        items.list_under("items", ada(), &[("offset", "995"), ("sort", "number"), ("fields", "number")]);
    assert_eq!(String::from_utf8(page.docs_json.clone()).unwrap().matches("\"number\"").count(), 5);
    assert_eq!(pluck(&page, "id"), vec![Json::Null; 5]);
    assert_eq!(pluck(&page, "number")[0], 9950);
}

#[test]
fn cursors_are_stable_under_writes() {
    let items = TestStore::new(ITEMS);
    // Many equal and many absent keys, so only the id decides.
    fill(
        &items,
        (0..100).map(|number| json!({"id": format!("i{number:03}"), "number": number % 3, "text": null})),
    );
    fill(&items, (100..120).map(|number| json!({"id": format!("i{number:03}"), "number": null})));
    for sort in ["number", "-number", "text,-number,id", "-text,number,-id"] {
        let mut seen: Vec<String> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut round = 0;
        loop {
            let mut params = vec![("sort", sort), ("limit", "7")];
            if let Some(cursor) = &cursor {
                params.push(("cursor", cursor));
            }
            let query = items.query("items", &params);
            let page = items.store.list(items.collection("items"), query.clone()).wait().unwrap();
            seen.extend(pluck(&page, "id").iter().map(|id| id.as_str().unwrap().to_owned()));
            let Some(last) = page.last else { break };
            cursor = Some(encode_cursor(&query, &last));
            // What comes and goes elsewhere moves nothing.
            round += 1;
            let extra = format!("x{round}-{}", sort.len());
            items.create("items", &json!({"id": extra, "number": 99})).unwrap();
            items.delete("items", &extra).unwrap();
        }
        assert_eq!(seen.len(), 120, "{sort}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 120, "{sort}");
    }
}

#[test]
fn a_slow_list_holds_up_neither_reads_nor_writes() {
    let items = TestStore::new(ITEMS);
    fill(&items, (0..3).map(|number| json!({"id": number.to_string()})));
    let slow: Vec<_> = (0..20).map(|_| send(&items, endless())).collect();
    assert!(items.get("items", "1").is_some());
    items.create("items", &json!({"id": "new"})).unwrap();
    assert!(items.get("items", "new").is_some());
    assert!(items.store.account_by_email("ada@example.org").wait().unwrap().is_none());
    // Their callers go away, and with them the lists.
    drop(slow);
    assert_eq!(send(&items, SqlPredicate::Always).wait().unwrap().count, 4);
}

#[test]
fn a_list_ends_at_its_deadline() {
    let items = TestStore::new(ITEMS);
    fill(&items, (0..3).map(|number| json!({"id": number.to_string()})));
    let hurried = items.store.with_deadline(Instant::now() + Duration::from_millis(50));
    let query = items.query("items", &[("count", "true")]);
    let late = hurried.list(items.collection("items"), ListQuery { rule: endless().into(), ..query }).wait();
    assert!(matches!(late, Err(Error::Interrupted)), "{late:?}");
    // The interrupted transaction is over: the reader sees what comes after.
    items.create("items", &json!({"id": "new"})).unwrap();
    for _ in 0..3 {
        assert_eq!(items.list("items", &[("count", "true")]).total, Some(4));
    }
}

#[test]
fn a_page_of_large_documents_ends_early_and_goes_on() {
    let items = TestStore::new(ITEMS);
    let text = "x".repeat(2 * 1024 * 1024);
    for number in 0..10 {
        items.create("items", &json!({"id": number.to_string(), "text": text})).unwrap();
    }
    let query = items.query("items", &[("sort", "id")]);
    let page = items.store.list(items.collection("items"), query.clone()).wait().unwrap();
    assert_eq!(page.count, 8);
    let cursor = encode_cursor(&query, &page.last.unwrap());
    let rest = items.list("items", &[("sort", "id"), ("cursor", &cursor)]);
    assert_eq!((rest.count, rest.last), (2, None));
}

/// A filter and what it means.
#[derive(Clone, Debug)]
struct Filter {
    field: &'static str,
    operator: &'static str,
    value: Json,
}

impl Filter {
    fn text(&self) -> String {
        match &self.value {
            Json::Null => format!("{}:{}", self.field, self.operator),
            Json::String(text) => format!("{}:{}:{text}", self.field, self.operator),
            value => format!("{}:{}:{value}", self.field, self.operator),
        }
    }

    fn holds(&self, item: &Json) -> bool {
        let found = &item[self.field];
        let order = match (found, &self.value) {
            (Json::Number(a), Json::Number(b)) => a.as_i64().partial_cmp(&b.as_i64()),
            (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
            _ => None,
        };
        match self.operator {
            "is_null" => found.is_null(),
            "not_null" => !found.is_null(),
            "eq" => order.is_some_and(std::cmp::Ordering::is_eq),
            "gt" => order.is_some_and(std::cmp::Ordering::is_gt),
            "gte" => order.is_some_and(std::cmp::Ordering::is_ge),
            "lt" => order.is_some_and(std::cmp::Ordering::is_lt),
            "lte" => order.is_some_and(std::cmp::Ordering::is_le),
            other => panic!("{other}"),
        }
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let compare = || prop_oneof![Just("eq"), Just("gt"), Just("gte"), Just("lt"), Just("lte")];
    let nothing = || prop_oneof![Just("is_null"), Just("not_null")];
    let field = || prop_oneof![Just("number"), Just("text")];
    prop_oneof![
        (compare(), -3_i64..4).prop_map(|(operator, value)| Filter {
            field: "number",
            operator,
            value: json!(value)
        }),
        (compare(), "[a-c\u{e4}]{1,2}").prop_map(|(operator, value)| Filter {
            field: "text",
            operator,
            value: json!(value)
        }),
        (nothing(), field()).prop_map(|(operator, field)| Filter { field, operator, value: Json::Null }),
    ]
}

#[test]
fn a_filter_means_the_same_as_in_memory() {
    let items = TestStore::new(ITEMS);
    let item = |seed: u64| {
        let number = (!seed.is_multiple_of(8)).then(|| (seed % 7) as i64 - 3);
        let text = (!seed.is_multiple_of(5))
            .then(|| ["a", "ab", "b", "bc", "c", "\u{e4}", "\u{e4}a"][(seed / 3 % 7) as usize]);
        json!({"id": format!("i{seed:03}"), "number": number, "text": text})
    };
    let all: Vec<Json> = (0..80).map(item).collect();
    fill(&items, all.iter().cloned());
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    proptest!(config, |(filters in proptest::collection::vec(filter(), 0..4), limit in 1_usize..100, down in any::<bool>())| {
        let mut expected: Vec<&Json> =
            all.iter().filter(|item| filters.iter().all(|filter| filter.holds(item))).collect();
        let total = expected.len();
        if down {
            expected.reverse();
        }
        expected.truncate(limit);
        let expected: Vec<Json> = expected.into_iter().map(|item| item["id"].clone()).collect();

        let limit = limit.to_string();
        let texts: Vec<String> = filters.iter().map(Filter::text).collect();
        let mut params = vec![("limit", limit.as_str()), ("count", "true"), ("sort", if down { "-id" } else { "id" })];
        params.extend(texts.iter().map(|text| ("filter", text.as_str())));
        let page = items.list("items", &params);
        assert_eq!(pluck(&page, "id"), expected, "{texts:?}");
        assert_eq!(page.total, Some(total as u64));
        assert_eq!(page.last.is_some(), total > page.count);
    });
}
