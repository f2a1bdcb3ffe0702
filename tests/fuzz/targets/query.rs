//! Parameters of lists, gets and aggregates, one `name=value` a line: what is accepted becomes SQL of
//! bounded size with a value for each mark, and that of a client names no field it may not see.
#![no_main]

use alyx_core::query::{Expand, ListQuery, Reading, parse_aggregate, parse_get, parse_list};
use alyx_core::sql::SqlExpr;
use alyx_fuzz::{CALLERS, CATALOG, REQUEST, SECRET};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let pairs = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
    let params: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for caller in CALLERS.iter() {
        let client = !caller.is_admin();
        for collection in ["posts", "people"] {
            let reading = Reading::new(&CATALOG, collection, caller, &REQUEST).expect("is in the schema");
            if let Ok(query) = parse_list(reading, &params) {
                check_list(&query, client);
                expands(&query.expand, client);
            }
            if let Ok(shown) = parse_get(reading, &params) {
                expands(&shown.expand, client);
            }
            if let Ok(query) = parse_aggregate(reading, &params) {
                query.filter.iter().chain(&query.joins).for_each(|sql| check(sql, client));
            }
        }
    }
});

fn check_list(query: &ListQuery, client: bool) {
    query.filter.iter().chain(&query.joins).chain(&query.after_expr()).for_each(|sql| check(sql, client));
    for key in &query.sort {
        assert!(!(client && key.sql.contains(SECRET)), "a client sorts by {}", key.sql);
    }
    if let Some(search) = &query.search {
        // Which columns; the rest are the words of the client.
        let columns = search.expression.split(" : ").next().unwrap_or_default();
        assert!(!(client && columns.contains(SECRET)), "{columns}");
    }
    assert!((1..=1_000).contains(&query.limit) && query.offset <= 1_000_000);
}

fn check(sql: &SqlExpr, client: bool) {
    assert!(sql.text.len() <= 1_000_000 && sql.params.len() <= 32_766, "{} bytes", sql.text.len());
    assert_eq!(sql.text.matches('?').count(), sql.params.len(), "{}", sql.text);
    assert!(!(client && sql.text.contains(SECRET)), "a client asks {}", sql.text);
}

fn expands(all: &[Expand], client: bool) {
    assert!(all.len() <= 20);
    for expand in all {
        assert!(!(client && expand.key.contains(SECRET)), "a client expands {}", expand.key);
        expands(&expand.further, client);
    }
}
