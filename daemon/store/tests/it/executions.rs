//! Executions: recording, listing, following, retention.

use alyx_store::{Error, ExecutionFilter, ExecutionRow, LogRow, Store};
use jiff::Timestamp;

use crate::support::{TestStore, at};

fn row(number: u32, function: &str, outcome: &str) -> ExecutionRow {
    let line = |message: &str| LogRow {
        at: at("2026-01-02T03:04:05.000007Z"),
        level: "info".to_owned(),
        stream: "stdout".to_owned(),
        message: message.to_owned(),
    };
    ExecutionRow {
        id: format!("e{number:04}"),
        function: function.to_owned(),
        version: "sha256:0".to_owned(),
        trigger: "http".to_owned(),
        identity: "anonymous".to_owned(),
        started_at: at("2026-01-02T00:00:00.000001Z") + jiff::SignedDuration::from_secs(number.into()),
        queue_us: 1,
        run_us: 2,
        outcome: outcome.to_owned(),
        cause_json: (outcome != "ok").then(|| "{\"limit\":\"memory\"}".to_owned()),
        status: Some(200),
        cpu_us: Some(3),
        memory_peak_bytes: None,
        input_bytes: 4,
        output_bytes: u64::from(u32::MAX) * 2,
        trace_id: "t".to_owned(),
        request_id: "r".to_owned(),
        lowered_json: None,
        error_code: None,
        error_message: None,
        input: None,
        output: None,
        logs: vec![line("one"), line("two \u{1F600}")],
    }
}

fn recorded() -> TestStore {
    let project = TestStore::new("");
    let rows = (0..20)
        .map(|number| {
            let function = if number % 2 == 0 { "even" } else { "odd" };
            row(number, function, if number % 5 == 0 { "timeout" } else { "ok" })
        })
        .collect();
    project.store.record_executions(rows).wait().unwrap();
    project
}

fn ids(store: &Store, adjust: impl FnOnce(&mut ExecutionFilter)) -> Vec<String> {
    let mut filter = ExecutionFilter { limit: 100, ..ExecutionFilter::default() };
    adjust(&mut filter);
    let found = store.executions(filter).wait().unwrap();
    found.into_iter().map(|execution| execution.row.id).collect()
}

#[test]
fn an_execution_comes_back_whole() {
    let project = recorded().reopen();
    let found = project.store.execution("e0005").wait().unwrap().unwrap();
    assert_eq!(found.row, row(5, "odd", "timeout"));
    assert_eq!(found.seq, 6);
    assert_eq!(project.store.execution("nope").wait().unwrap(), None);
}

#[test]
fn lists_are_newest_first_and_filtered() {
    let project = recorded();
    let all = ids(&project.store, |_| {});
    assert_eq!(all.len(), 20);
    assert!(all.iter().rev().is_sorted());
    assert_eq!(ids(&project.store, |filter| filter.limit = 3), ["e0019", "e0018", "e0017"]);
    let odd = ids(&project.store, |filter| {
        filter.function = Some("odd".to_owned());
        filter.outcome = Some("timeout".to_owned());
    });
    assert_eq!(odd, ["e0015", "e0005"]);
    let older = ids(&project.store, |filter| {
        filter.before_id = Some("e0002".to_owned());
    });
    assert_eq!(older, ["e0001", "e0000"]);
}

#[test]
fn following_leaves_none_out() {
    let project = recorded();
    // It started first and is recorded last.
    project
        .store
        .record_executions(vec![ExecutionRow { id: "e".to_owned(), ..row(0, "late", "ok") }])
        .wait()
        .unwrap();
    let mut seen = vec!["e0000".to_owned()];
    loop {
        let mut page = ids(&project.store, |filter| {
            filter.after_id = seen.last().cloned();
            filter.limit = 4;
        });
        if page.is_empty() {
            break;
        }
        page.reverse();
        seen.append(&mut page);
    }
    let mut all = ids(&project.store, |_| {});
    all.reverse();
    assert_eq!(seen, all);
    let gone = ExecutionFilter { after_id: Some("nope".to_owned()), limit: 1, ..ExecutionFilter::default() };
    let gone = project.store.executions(gone).wait();
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

#[test]
fn retention_removes_the_oldest_with_their_logs() {
    let project = recorded();
    let trim = |keep, older_than: &str| project.store.trim_executions(keep, at(older_than)).wait().unwrap();
    assert_eq!(trim(100, "2026-01-02T00:00:00Z"), 0);
    assert_eq!(trim(15, "2026-01-02T00:00:00Z"), 5);
    assert_eq!(trim(100, "2026-01-02T00:00:10Z"), 5);
    assert_eq!(ids(&project.store, |_| {}).len(), 10);
    let lines: i64 = project
        .sqlite()
        .query_row("SELECT count(*) FROM _alyx_execution_logs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(lines, 20);
    assert_eq!(project.store.trim_executions(0, Timestamp::MIN).wait().unwrap(), 10);
    project.store.record_executions(vec![row(50, "new", "ok")]).wait().unwrap();
    assert_eq!(project.store.execution("e0050").wait().unwrap().unwrap().seq, 21);
}

#[test]
fn an_execution_is_recorded_once() {
    let project = recorded();
    let again = project.store.record_executions(vec![row(30, "x", "ok"), row(3, "x", "ok")]).wait();
    assert!(matches!(again, Err(Error::UniqueViolation { .. })), "{again:?}");
    assert_eq!(project.store.execution("e0030").wait().unwrap(), None);
}
