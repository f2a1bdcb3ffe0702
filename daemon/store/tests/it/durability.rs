//! What was answered survives `kill -9`.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use alyx_core::value::Value;
use alyx_store::{Consent, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{ACTOR, draft, migrate, options, schema};

const DIRECTORY: &str = "ALYX_STORE_TEST_DIRECTORY";

const NOTES: &str = "
collections:
  notes:
    fields:
      id: { type: string, primary: true }
      number: { type: int }
      text: { type: text }
";

/// The process that is killed. It writes as fast as it can and prints an id once it is answered.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Store::open(&alyx_store::Options::new(format!("{directory}/data.db"))).unwrap();
    let notes = schema(NOTES).collections["notes"].clone();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (store, notes) = (&store, &notes);
            scope.spawn(move || {
                for number in 0.. {
                    let id = format!("{}-{client}-{number}", std::process::id());
                    let body = json!({"id": id, "number": number, "text": "x".repeat(number % 3_000)});
                    store.create(notes.clone(), draft(notes, &body), ACTOR.to_owned()).wait().unwrap();
                    let mut out = std::io::stdout().lock();
                    out.write_all(format!("\nstored {id} {number}\n").as_bytes()).unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn every_answered_write_survives_kill_9() {
    let dir = TempDir::new().unwrap();
    let declared = schema(NOTES);
    let store = Store::open(&options(&dir)).unwrap();
    assert!(migrate(&store, &format!("version: 1\n{NOTES}"), &declared, Consent::Safe).unwrap().applied);
    store.close().unwrap();

    let mut answered = HashMap::new();
    for round in 0..10_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::child", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| {
            if let Some((id, number)) = line.strip_prefix("stored ").and_then(|rest| rest.split_once(' ')) {
                answered.insert(id.to_owned(), number.parse::<i64>().unwrap());
            }
        };
        // A different moment each time, from the first answer on.
        let patience = 1 + round * 97;
        lines.by_ref().take(patience * 2).for_each(|line| note(&line.unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it printed before it died; the last line may be cut.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        let complete = rest.len().saturating_sub(1);
        rest.iter().take(complete).for_each(|line| note(line));

        let store = Store::open(&options(&dir)).unwrap();
        store.integrity_check().wait().unwrap();
        for (id, number) in &answered {
            let found = store.get(declared.collections["notes"].clone(), id.clone()).wait().unwrap();
            let found = found.unwrap_or_else(|| panic!("round {round}: {id} was answered and is gone"));
            assert_eq!(found.values[1], Value::Integer(*number));
        }
        store.close().unwrap();
    }
    assert!(answered.len() > 500, "{}", answered.len());

    let connection = rusqlite::Connection::open(dir.path().join("data.db")).unwrap();
    let unpaired: i64 = connection
        .query_row(
            "SELECT count(*) FROM notes FULL JOIN _alyx_changes AS c ON c.id = notes.id
             WHERE notes.id IS NULL OR c.id IS NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(unpaired, 0, "each document has its change and each change its document");
}
