//! Writers who remember what they tried and what they were told, and the comparison with what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alyx_tests::Client;
use reqwest::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

/// What may be true of an entry: its version, or that it is not there.
type State = Option<i64>;

/// What became of one entry, or of all entries of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// What was acknowledged last.
    told: State,
    /// What was tried last; true as well if nobody knows how it ended.
    tried: State,
}

/// Everything that writers did to one database, over all of its daemons.
#[derive(Clone, Default)]
pub struct History(Arc<Inner>);

#[derive(Default)]
struct Inner {
    fates: Mutex<BTreeMap<String, Fate>>,
    batches: Mutex<Vec<Vec<String>>>,
    acknowledged: AtomicUsize,
    whole_batches: AtomicUsize,
    next: AtomicUsize,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    /// The server said no; it may have been done nevertheless if its disk failed.
    Refused(u16),
    Unknown,
}

impl History {
    pub fn acknowledged(&self) -> usize {
        self.0.acknowledged.load(Ordering::SeqCst)
    }

    /// Batches that were acknowledged.
    pub fn whole_batches(&self) -> usize {
        self.0.whole_batches.load(Ordering::SeqCst)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Fate)) {
        change(self.0.fates.lock().unwrap().entry(id.to_owned()).or_default());
    }

    /// Sends one write that gives the entry this state.
    pub async fn write(&self, client: &Client, id: &str, state: State, text: &str) -> Outcome {
        let path = format!("/api/collections/entries/{id}");
        let known = self.0.fates.lock().unwrap().get(id).and_then(|fate| fate.told);
        self.change(id, |fate| fate.tried = state);
        let request = match (known, state) {
            (_, None) => send(client, Method::DELETE, &path, None).await,
            (None, Some(v)) => {
                let body = json!({ "id": id, "v": v, "text": text });
                send(client, Method::POST, "/api/collections/entries", Some(body)).await
            }
            (Some(_), Some(v)) => {
                send(client, Method::PATCH, &path, Some(json!({ "v": v, "text": text }))).await
            }
        };
        if request == Outcome::Acknowledged {
            self.change(id, |fate| fate.told = state);
            self.0.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        request
    }

    /// Creates several entries in one batch, which is there as a whole or not at all.
    pub async fn write_batch(&self, client: &Client, ids: &[String]) -> Outcome {
        let operation =
            |id: &String| json!({ "op": "create", "collection": "entries", "data": { "id": id, "v": 1 } });
        let body = json!({ "operations": ids.iter().map(operation).collect::<Vec<_>>() });
        ids.iter().for_each(|id| self.change(id, |fate| fate.tried = Some(1)));
        self.0.batches.lock().unwrap().push(ids.to_vec());
        let outcome = send(client, Method::POST, "/api/batch", Some(body)).await;
        if outcome == Outcome::Acknowledged {
            ids.iter().for_each(|id| self.change(id, |fate| fate.told = Some(1)));
            self.0.acknowledged.fetch_add(ids.len(), Ordering::SeqCst);
            self.0.whole_batches.fetch_add(1, Ordering::SeqCst);
        }
        outcome
    }

    /// Writes until told to stop or the first write that is not acknowledged.
    pub async fn keep_writing(&self, client: Client, stop: Arc<AtomicBool>) -> Outcome {
        while !stop.load(Ordering::SeqCst) {
            let number = self.0.next.fetch_add(1, Ordering::SeqCst);
            let id = format!("e{number}");
            let text = "x".repeat(number * 37 % 3_000);
            let mut states = vec![Some(1), Some(2)];
            if number.is_multiple_of(5) {
                states.push(None);
            }
            for state in states {
                let outcome = self.write(&client, &id, state, &text).await;
                if outcome != Outcome::Acknowledged {
                    return outcome;
                }
            }
            if number.is_multiple_of(4) {
                let ids: Vec<String> = (0..7).map(|part| format!("b{number}-{part}")).collect();
                let outcome = self.write_batch(&client, &ids).await;
                if outcome != Outcome::Acknowledged {
                    return outcome;
                }
            }
        }
        Outcome::Acknowledged
    }

    /// Compares everything with a database.
    pub fn check(&self, database: &Path, round: &str) {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap_or_else(|error| panic!("{round}: {error}"));
        let there = entries(&connection);
        let fates = self.0.fates.lock().unwrap();
        for (id, fate) in fates.iter() {
            let found = there.get(id).copied();
            assert!(
                found == fate.told || found == fate.tried,
                "{round}: {id} is {found:?}, was told {:?} and tried {:?}",
                fate.told,
                fate.tried
            );
        }
        let strangers: Vec<_> = there.keys().filter(|id| !fates.contains_key(*id)).collect();
        assert!(strangers.is_empty(), "{round}: nobody wrote {strangers:?}");
        for batch in self.0.batches.lock().unwrap().iter() {
            let found = batch.iter().filter(|id| there.contains_key(*id)).count();
            assert!(found == 0 || found == batch.len(), "{round}: {found} of {} in a batch", batch.len());
        }
        check_feed(&connection, round);
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{round}");
    }

    /// What is there becomes what was told: the next daemon begins with it.
    pub fn settle(&self, database: &Path) {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let there = entries(&connection);
        for (id, fate) in self.0.fates.lock().unwrap().iter_mut() {
            let found = there.get(id).copied();
            *fate = Fate { told: found, tried: found };
        }
    }
}

fn entries(connection: &Connection) -> BTreeMap<String, i64> {
    let mut statement = connection.prepare("SELECT id, v FROM entries").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The last change of every document is the document, and each change begins where the one before ended.
fn check_feed(connection: &Connection, round: &str) {
    let mut statement = connection
        .prepare(
            "SELECT id, op, json_extract(before, '$.v'), json_extract(after, '$.v')
             FROM _alyx_changes WHERE collection = 'entries' ORDER BY seq",
        )
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut known: BTreeMap<String, i64> = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        let id: String = row.get(0).unwrap();
        let (before, after): (State, State) = (row.get(2).unwrap(), row.get(3).unwrap());
        let previous = match after {
            Some(v) => known.insert(id.clone(), v),
            None => known.remove(&id),
        };
        assert_eq!(previous, before, "{round}: a change of {id}");
    }
    assert!(known == entries(connection), "{round}: the feed and the documents differ");
}

async fn send(client: &Client, method: Method, path: &str, body: Option<serde_json::Value>) -> Outcome {
    match client.try_send(method, path, body.map(|body| body.to_string())).await {
        Ok(answer) if answer.status.is_success() => Outcome::Acknowledged,
        Ok(answer) => Outcome::Refused(answer.status.as_u16()),
        Err(_) => Outcome::Unknown,
    }
}
