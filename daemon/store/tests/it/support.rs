//! A store in a directory of its own, and words for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alyx_core::catalog::Catalog;
use alyx_core::document::{Access, Document, Fresh, new_id, parse_create, parse_update};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{ListQuery, Reading, parse_list};
use alyx_core::schema::{Collection, Schema};
use alyx_core::sql::SqlPredicate;
use alyx_store::{Consent, Error, ListPage, Migration, Options, Report, Store};
use jiff::Timestamp;
use serde_json::Value as Json;
use tempfile::TempDir;

pub const ACTOR: &str = "user:ada";

/// The clock of every test store.
pub const NOW: &str = "2026-01-02T03:04:05.000006Z";

pub struct TestStore {
    pub dir: TempDir,
    pub store: Store,
    pub schema: Schema,
}

/// A row of the change feed.
#[derive(Debug, PartialEq)]
pub struct ChangeRow {
    pub seq: i64,
    pub what: String,
    pub identity: String,
    pub before: Option<Json>,
    pub after: Option<Json>,
}

pub fn schema(yaml: &str) -> Schema {
    alyx_core::schema::parse("schema.yaml", &format!("version: 1\n{yaml}")).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Brings a store to another schema without migration files.
pub fn migrate(store: &Store, text: &str, schema: &Schema, consent: Consent) -> Result<Report, Error> {
    let schema = Arc::new(schema.clone());
    let files = Vec::new();
    store
        .migrate(Migration { text: text.to_owned(), schema, files, consent, backup: None, undo: None })
        .wait()
}

pub fn options(dir: &TempDir) -> Options {
    Options { clock: || NOW.parse().unwrap(), readers: 3, ..Options::new(dir.path().join("data.db")) }
}

impl TestStore {
    pub fn new(yaml: &str) -> Self {
        Self::with(yaml, |_| {})
    }

    pub fn with(yaml: &str, adjust: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = options(&dir);
        adjust(&mut options);
        let store = Store::open(&options).unwrap();
        let schema = schema(yaml);
        assert!(migrate(&store, &format!("version: 1\n{yaml}"), &schema, Consent::Safe).unwrap().applied);
        Self { dir, store, schema }
    }

    /// Closes the store and opens it again.
    pub fn reopen(self) -> Self {
        let Self { dir, store, schema } = self;
        store.close().unwrap();
        let store = Store::open(&options(&dir)).unwrap();
        Self { dir, store, schema }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("data.db")
    }

    pub fn collection(&self, name: &str) -> Arc<Collection> {
        Arc::clone(&self.schema.collections[name])
    }

    pub fn draft(&self, collection: &str, body: &Json) -> Document {
        draft(&self.collection(collection), body)
    }

    pub fn create(&self, collection: &str, body: &Json) -> Result<Document, Error> {
        self.store.create(self.collection(collection), self.draft(collection, body), ACTOR.to_owned()).wait()
    }

    pub fn get(&self, collection: &str, id: &str) -> Option<Document> {
        self.store.get(self.collection(collection), id.to_owned()).wait().unwrap()
    }

    pub fn json(&self, collection: &str, id: &str) -> Option<Json> {
        self.get(collection, id).map(|document| to_json(&self.collection(collection), &document))
    }

    pub fn update(&self, collection: &str, old: &Document, body: &Json) -> Result<Document, Error> {
        let declared = self.collection(collection);
        let new = parse_update(&declared, old, body.to_string().as_bytes(), Access::System, NOW).unwrap();
        let id = self.id(collection, old);
        self.store.update(declared, id, old.rev, new, ACTOR.to_owned()).wait()
    }

    pub fn delete(&self, collection: &str, id: &str) -> Result<(), Error> {
        let rev = self.get(collection, id).map_or(1, |document| document.rev);
        self.store.delete(self.collection(collection), id.to_owned(), rev, ACTOR.to_owned()).wait()
    }

    pub fn id(&self, collection: &str, document: &Document) -> String {
        let (primary, _) = self.schema.collections[collection].primary();
        document.values[primary].as_text().unwrap().to_owned()
    }

    pub fn query(&self, collection: &str, params: &[(&str, &str)]) -> ListQuery {
        let params: Vec<_> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let catalog = Catalog::build("schema.yaml", self.schema.clone()).unwrap();
        let facts = RequestFacts::default();
        let reading = Reading::new(&catalog, collection, &Identity::Anonymous, &facts).unwrap();
        let query = parse_list(reading, &params).unwrap();
        // These tests bring their own rules.
        ListQuery { rule: SqlPredicate::Always.into(), ..query }
    }

    pub fn list(&self, collection: &str, params: &[(&str, &str)]) -> ListPage {
        self.list_under(collection, SqlPredicate::Always, params)
    }

    pub fn list_under(&self, collection: &str, rule: SqlPredicate, params: &[(&str, &str)]) -> ListPage {
        let query = self.query(collection, params);
        self.store.list(self.collection(collection), ListQuery { rule: rule.into(), ..query }).wait().unwrap()
    }

    pub fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    pub fn changes(&self) -> Vec<ChangeRow> {
        let connection = self.sqlite();
        let mut statement = connection
            .prepare(
                "SELECT seq, op || ' ' || collection || '/' || id, identity, before, after
                 FROM _alyx_changes ORDER BY seq",
            )
            .unwrap();
        let json = |text: Option<String>| text.map(|text| serde_json::from_str(&text).unwrap());
        statement
            .query_map([], |row| {
                Ok(ChangeRow {
                    seq: row.get(0)?,
                    what: row.get(1)?,
                    identity: row.get(2)?,
                    before: json(row.get(3)?),
                    after: json(row.get(4)?),
                })
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// `create posts/p1` and so on.
    pub fn change_words(&self) -> Vec<String> {
        self.changes().into_iter().map(|change| change.what).collect()
    }
}

pub fn draft(collection: &Collection, body: &Json) -> Document {
    draft_text(collection, &body.to_string())
}

/// The same from the text of a body, for what a parsed one would no longer hold.
pub fn draft_text(collection: &Collection, body: &str) -> Document {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let mut ids = |_| {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number.to_be_bytes().map(|byte| byte & 31));
        new_id(number, random)
    };
    let mut fresh = Fresh { now: NOW, ids: &mut ids };
    parse_create(collection, body.as_bytes(), Access::System, &mut fresh)
        .unwrap_or_else(|error| panic!("{error:?}"))
}

pub fn to_json(collection: &Collection, document: &Document) -> Json {
    let mut text = Vec::new();
    let value = |field: usize| document.values[field].as_ref();
    alyx_core::document::write_json(&mut text, collection, value, &Access::System.into(), None);
    serde_json::from_slice(&text).unwrap()
}

/// The values of one field in a page.
pub fn pluck(page: &ListPage, field: &str) -> Vec<Json> {
    let docs: Vec<Json> = serde_json::from_slice(&page.docs_json).unwrap();
    assert_eq!(docs.len(), page.count);
    docs.into_iter().map(|doc| doc[field].clone()).collect()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Blocks this thread until a future is done.
pub fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
