//! Lists against SQLite itself: every filter is valid SQL and means what it says, and walking a list
//! by cursors gives each document once, in order, whatever nulls and equal values lie in the way.

use std::sync::LazyLock;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{ListQuery, Reading, encode_cursor, parse_list};
use alyx_core::schema::{SortOrder, parse};
use alyx_core::sql::{DOCUMENT_ALIAS, SqlExpr, quote};
use alyx_core::value::{Value, ValueRef};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};
use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, params_from_iter};

const SCHEMA: &str = r#"
version: 1
collections:
  order:
    fields:
      id:     { type: id, primary: true, default: auto }
      group:  { type: string, nullable: true }
      count:  { type: int, nullable: true }
      score:  { type: float }
      tags:   { type: select, select: { values: [a, b], maxSelect: 2 } }
"#;

/// One document as stored: group, count, score, tags. Its id is its number.
type Row = (Option<String>, Option<i64>, f64, &'static str);

fn to_sql(value: &Value) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(match value {
        Value::Null => Sql::Null,
        Value::Integer(value) => Sql::Integer(*value),
        Value::Real(value) => Sql::Real(*value),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Blob(bytes) => Sql::Blob(bytes.clone()),
    })
}

fn from_sql(value: rusqlite::types::ValueRef<'_>) -> Value {
    match value {
        rusqlite::types::ValueRef::Null => Value::Null,
        rusqlite::types::ValueRef::Integer(value) => Value::Integer(value),
        rusqlite::types::ValueRef::Real(value) => Value::Real(value),
        rusqlite::types::ValueRef::Text(text) => {
            ValueRef::Text(std::str::from_utf8(text).expect("UTF-8")).to_owned()
        }
        rusqlite::types::ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    }
}

fn database(rows: &[Row]) -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    let create = r#"CREATE TABLE "order" ("id" TEXT PRIMARY KEY, "group" TEXT, "count" INTEGER, "score" REAL NOT NULL, "tags" TEXT NOT NULL) STRICT"#;
    connection.execute(create, []).expect("create");
    for (number, (group, count, score, tags)) in rows.iter().enumerate() {
        let values = (format!("{number:03}"), group, count, score, tags);
        connection.execute("INSERT INTO \"order\" VALUES (?, ?, ?, ?, ?)", values).expect("insert");
    }
    connection
}

/// Sort keys of the documents a query finds; the id is among them.
fn run(connection: &Connection, query: &ListQuery) -> Vec<Vec<Value>> {
    let conditions: Vec<SqlExpr> = query.filter.clone().into_iter().chain(query.after_expr()).collect();
    let text: String = conditions.iter().map(|expr| format!(" AND ({})", expr.text)).collect();
    let keys: Vec<String> = query.sort.iter().map(|key| key.sql.clone()).collect();
    let order = query.sort.iter().zip(&keys).map(|(key, column)| match key.order {
        SortOrder::Ascending => format!("{column} ASC"),
        SortOrder::Descending => format!("{column} DESC"),
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {} FROM {} AS {DOCUMENT_ALIAS} WHERE 1{text} ORDER BY {order} LIMIT {} OFFSET {}",
        keys.join(", "),
        quote("order"),
        query.limit,
        query.offset
    );
    let mut statement = connection.prepare(&sql).expect(&sql);
    let params: Vec<_> = conditions.iter().flat_map(|expr| &expr.params).map(to_sql).collect();
    let read =
        |row: &rusqlite::Row<'_>| (0..keys.len()).map(|place| row.get_ref(place).map(from_sql)).collect();
    let rows = statement.query_map(params_from_iter(params), read).expect(&sql);
    rows.collect::<Result<_, _>>().expect(&sql)
}

fn list(params: &[(&str, &str)]) -> ListQuery {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        Catalog::build("schema.yaml", parse("schema.yaml", SCHEMA).expect("valid")).expect("no rules")
    });
    let params: Vec<_> =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let facts = RequestFacts::default();
    let reading = Reading::new(&CATALOG, "order", &Identity::Anonymous, &facts).expect("declared");
    parse_list(reading, &params).unwrap_or_else(|error| panic!("{params:?}: {error:?}"))
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let group = prop_oneof![Just(None), "[ab%_\u{e4}]{0,2}".prop_map(Some)];
    let count = prop_oneof![Just(None), (-2..3_i64).prop_map(Some), any::<i64>().prop_map(Some)];
    let score = prop_oneof![Just(0.0), Just(-0.0), Just(0.1), -1e9..1e9_f64];
    let tags = prop_oneof![Just("[]"), Just("[\"a\"]"), Just("[\"b\",\"a\"]")];
    prop::collection::vec((group, count, score, tags), 0..30)
}

proptest! {
    #[test]
    fn cursors_walk_the_whole_list(rows in any_rows(), sort in "-?(group|count|score)(,-?id)?", second in "(,-?tie)?", limit in 1..5_u32) {
        let connection = database(&rows);
        // A second key where the first one leaves room for it.
        let tie = if sort.contains("score") { "count" } else { "score" };
        let sort = if sort.contains("id") { sort } else { format!("{sort}{}", second.replace("tie", tie)) };
        let all = run(&connection, &list(&[("sort", &sort), ("limit", "1000")]));
        prop_assert_eq!(all.len(), rows.len());
        let (mut walked, mut cursor, limit) = (Vec::new(), None::<String>, limit.to_string());
        loop {
            let mut params = vec![("sort", sort.as_str()), ("limit", limit.as_str())];
            params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let query = list(&params);
            let page = run(&connection, &query);
            let Some(last) = page.last() else { break };
            cursor = Some(encode_cursor(&query, last));
            walked.extend(page);
            prop_assert!(walked.len() <= all.len(), "{} repeats documents", sort);
        }
        prop_assert_eq!(walked, all, "{}", sort);
    }

    #[test]
    fn filters_mean_what_they_say(rows in any_rows(), text in "[ab%_\\\\'\"\u{e4}]{0,2}", number in -2..3_i64) {
        let connection = database(&rows);
        let check = |filter: String, holds: &dyn Fn(&Row) -> bool| {
            let found = run(&connection, &list(&[("filter", &filter), ("limit", "1000")]));
            let found: Vec<_> = found.into_iter().map(|keys| keys[0].clone()).collect();
            let expected = rows.iter().enumerate().filter(|(_, row)| holds(row));
            let expected: Vec<_> = expected.map(|(number, _)| Value::Text(format!("{number:03}"))).collect();
            assert_eq!(found, expected, "{filter}");
        };
        let group = |test: &dyn Fn(&str) -> bool, row: &Row| row.0.as_deref().is_some_and(test);
        check(format!("group:eq:{text}"), &|row| group(&|group| group == text, row));
        check(format!("group:ne:{text}"), &|row| !group(&|group| group == text, row));
        check(format!("group:contains:{text}"), &|row| group(&|group| group.contains(&text), row));
        check(format!("group:starts:{text}"), &|row| group(&|group| group.starts_with(&text), row));
        check("group:is_null".to_owned(), &|row| row.0.is_none());
        check("group:not_null".to_owned(), &|row| row.0.is_some());
        check("group:in:a,b".to_owned(), &|row| group(&|group| ["a", "b"].contains(&group), row));
        check("group:nin:a,b".to_owned(), &|row| !group(&|group| ["a", "b"].contains(&group), row));
        check("group:in:".to_owned(), &|_| false);
        check("group:nin:".to_owned(), &|_| true);
        check(format!("count:eq:{number}"), &|row| row.1 == Some(number));
        check(format!("count:gt:{number}"), &|row| row.1.is_some_and(|count| count > number));
        check(format!("count:lte:{number}"), &|row| row.1.is_some_and(|count| count <= number));
        check(format!("score:gte:{number}"), &|row| row.2 >= number as f64);
        check("tags:contains:a".to_owned(), &|row| row.3.contains("\"a\""));
    }
}
