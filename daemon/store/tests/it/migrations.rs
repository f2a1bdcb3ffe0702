//! From one random schema to another with documents in it: afterwards the database is a fresh one of the
//! new schema with the data that survives. A process that dies at any statement on the way leaves the old
//! or the new, never something between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use alyx_core::migration::{MigrationFile, convert_value, parse_migration};
use alyx_core::schema::{DefaultValue, Field, Schema};
use alyx_core::value::ValueRef;
use alyx_store::{Consent, Error, Migration, Options, Report, Store};
use rusqlite::types::{Value as Sql, ValueRef as SqlRef};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::{ACTOR, TestStore, draft, options, schema};

/// A small generator with a seed, so that a failure names its case.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Two schemas, the file between them, and what was renamed.
#[derive(Debug)]
struct Pair {
    before: String,
    after: String,
    file: String,
    /// New `collection.field` (or `collection`) to the old one.
    renamed: BTreeMap<String, String>,
}

type Fields = BTreeMap<String, String>;

const TYPES: [&str; 12] = [
    "type: string, nullable: true",
    "type: string, default: x",
    "type: text, default: \"12\", index: true",
    "type: int, default: 7",
    "type: int, nullable: true, index: true",
    "type: float, default: 1.5",
    "type: bool, default: true",
    "type: json, default: { a: [1] }",
    "type: timestamp, default: now",
    "type: select, select: { values: [p, q], maxSelect: 2 }, default: [q]",
    "type: relation, nullable: true, relation: { collection: c, onDelete: set_null }",
    "type: uuid, default: auto, unique: true",
];

fn yaml(collections: &BTreeMap<String, Fields>, index: bool) -> String {
    let mut text = String::from("collections:\n");
    for (name, fields) in collections {
        writeln!(text, "  {name}:\n    fields:\n      id: {{ type: string, primary: true }}").unwrap();
        for (field, options) in fields {
            writeln!(text, "      {field}: {{ {options} }}").unwrap();
        }
        if let (true, Some((field, _))) = (index, fields.iter().find(|(_, options)| options.contains("int")))
        {
            writeln!(text, "    indexes: [{{ name: by_{name}, fields: [{field}, id], order: desc }}]")
                .unwrap();
        }
    }
    text
}

fn pair(random: &mut Random) -> Pair {
    let mut before: BTreeMap<String, Fields> = BTreeMap::new();
    for name in ["a", "b", "c"] {
        let fields = (0..random.below(5)).map(|n| (format!("f{n}"), (*random.pick(&TYPES)).to_owned()));
        before.insert(name.to_owned(), fields.collect());
    }
    let mut after = before.clone();
    let (mut steps, mut renamed) = (String::new(), BTreeMap::new());
    // A step must make sense for the schema it meets, so steps come first.
    if random.below(3) == 0 {
        let fields = after.remove("a").unwrap();
        after.insert("z".to_owned(), fields);
        steps.push_str("  - rename_collection: { from: a, to: z }\n");
        renamed.insert("z".to_owned(), "a".to_owned());
    }
    let names: Vec<String> = after.keys().cloned().collect();
    for name in &names {
        let old = renamed.get(name).unwrap_or(name).clone();
        let fields = after.get_mut(name).unwrap();
        if random.below(2) == 0 && fields.contains_key("f0") {
            let options = fields.remove("f0").unwrap();
            fields.insert("new".to_owned(), options);
            writeln!(steps, "  - rename_field: {{ collection: {name}, from: f0, to: new }}").unwrap();
            renamed.insert(format!("{name}.new"), format!("{old}.f0"));
        }
        if random.below(3) == 0 {
            fields.insert("must".to_owned(), "type: string".to_owned());
            writeln!(steps, "  - backfill: {{ collection: {name}, field: must, value: filled }}").unwrap();
        }
        if random.below(4) == 0 && !steps.is_empty() {
            writeln!(steps, "  - sql: {{ up: \"UPDATE {name} SET id = id\", down: \"SELECT 1\" }}").unwrap();
        }
        for field in ["f1", "f2", "f3", "f4"] {
            match random.below(5) {
                0 => drop(fields.remove(field)),
                1 => drop(fields.insert(field.to_owned(), (*random.pick(&TYPES)).to_owned())),
                _ => {}
            }
        }
    }
    if random.below(4) == 0 {
        after.remove("b");
    }
    after.insert("added".to_owned(), Fields::new());
    let file = if steps.is_empty() { String::new() } else { format!("steps:\n{steps}") };
    let index = random.below(2) == 0;
    Pair { before: yaml(&before, index), after: yaml(&after, random.below(2) == 0), file, renamed }
}

/// A value for a field, or nothing to take its default.
fn value(random: &mut Random, field: &Field) -> Option<Json> {
    match field.kind.as_str() {
        _ if field.nullable && random.below(3) == 0 => None,
        "string" | "text" => Some(json!(*random.pick(&["12", "true", "p", "ä \"x\"", ""]))),
        "int" => Some(json!(*random.pick(&[0, 1, -5, i64::MAX]))),
        "float" => Some(json!(*random.pick(&[0.5, 2.0, -1e300]))),
        "bool" => Some(json!(random.below(2) == 0)),
        "json" => Some(random.pick(&[json!(1), json!("1"), json!({"k": null}), json!(["p"])]).clone()),
        "select" => Some(random.pick(&[json!([]), json!(["p"]), json!(["p", "q"])]).clone()),
        "relation" => Some(json!("c0")),
        _ => None,
    }
}

fn fill(store: &TestStore, random: &mut Random) {
    for name in ["c", "a", "b"] {
        for number in 0..random.below(6) + usize::from(name == "c") {
            let collection = store.collection(name);
            let mut body = json!({ "id": format!("{name}{number}") });
            for field in collection.fields.iter().filter(|field| !field.primary) {
                if let Some(value) = value(random, field) {
                    body[&field.name] = value;
                }
            }
            store
                .store
                .create(Arc::clone(&collection), draft(&collection, &body), ACTOR.to_owned())
                .wait()
                .unwrap();
        }
    }
}

fn migration(pair: &Pair, consent: Consent) -> Migration {
    let text = format!("version: 1\n{}", pair.after);
    let steps =
        if pair.file.is_empty() { None } else { Some(parse_migration("m.yaml", &pair.file).unwrap()) };
    let file = |steps| MigrationFile {
        number: 1,
        name: "0001_m".to_owned(),
        text: pair.file.clone(),
        checksum: "c".to_owned(),
        taken_back: false,
        steps,
    };
    let files = steps.map(file).into_iter().collect();
    Migration { text, schema: Arc::new(schema(&pair.after)), files, consent, backup: None, undo: None }
}

/// Every table with every row, as text.
fn dump(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut objects = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .unwrap();
    let objects: Vec<(String, String)> = objects
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut text = String::new();
    for (name, sql) in objects {
        writeln!(text, "{sql}").unwrap();
        if sql.starts_with("CREATE TABLE") {
            let mut rows = connection.prepare(&format!("SELECT * FROM \"{name}\" ORDER BY 1")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<Sql> = (0..columns).map(|column| row.get(column).unwrap()).collect();
                writeln!(text, "  {values:?}").unwrap();
            }
        }
    }
    text
}

/// Values by collection, id and field.
type Rows = BTreeMap<(String, String, String), Sql>;

fn rows(path: &Path, schema: &Schema) -> Rows {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut found = Rows::new();
    for collection in schema.collections.values().filter(|collection| collection.name != "users") {
        for field in &collection.fields {
            let sql = format!("SELECT id, \"{}\" FROM \"{}\"", field.name, collection.name);
            let mut statement = connection.prepare(&sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let key = (collection.name.clone(), row.get(0).unwrap(), field.name.clone());
                found.insert(key, row.get(1).unwrap());
            }
        }
    }
    found
}

fn domain(value: &Sql) -> ValueRef<'_> {
    match SqlRef::from(value) {
        SqlRef::Null => ValueRef::Null,
        SqlRef::Integer(value) => ValueRef::Integer(value),
        SqlRef::Real(value) => ValueRef::Real(value),
        SqlRef::Text(text) => ValueRef::Text(std::str::from_utf8(text).unwrap()),
        SqlRef::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

/// Every value afterwards is the one before, converted where the type changed, or the default.
fn assert_survives(pair: &Pair, old: (&Schema, &Rows), new: (&Schema, &Rows), case: &str) {
    for ((name, id, field), found) in new.1 {
        let (_, after) = new.0.collections[name].field(field).unwrap();
        let old_name = pair.renamed.get(name).unwrap_or(name);
        let old_field = pair.renamed.get(&format!("{name}.{field}")).and_then(|path| path.split('.').nth(1));
        let old_field = old_field.unwrap_or(field);
        let there = old.0.collections.get(old_name).and_then(|collection| collection.field(old_field));
        let place = format!("{case}: {name}.{field} of {id}");
        match there {
            Some((_, before)) => {
                let was = &old.1[&(old_name.clone(), id.clone(), old_field.to_owned())];
                let expected = match before.kind == after.kind {
                    true => domain(was).to_owned(),
                    false => convert_value(&before.kind, after, domain(was)).unwrap(),
                };
                assert_eq!(domain(found).to_owned(), expected, "{place}");
            }
            None if field == "must" => assert_eq!(found, &Sql::Text("filled".to_owned()), "{place}"),
            None => match &after.default {
                Some(DefaultValue::Literal(_) | DefaultValue::Auto | DefaultValue::Now) => {
                    assert_ne!(found, &Sql::Null, "{place}");
                }
                None => assert_eq!(found, &Sql::Null, "{place}"),
            },
        }
    }
    let documents =
        |rows: &Rows, name: &str| rows.keys().filter(|key| key.0 == name && key.2 == "id").count();
    for name in new.0.collections.keys() {
        let old_name = pair.renamed.get(name).unwrap_or(name);
        assert_eq!(documents(new.1, name), documents(old.1, old_name), "{case}: documents of {name}");
    }
}

fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("ALYX_LONG").is_some() { long } else { short }
}

#[test]
fn any_schema_to_any_other() {
    let (mut applied, mut refused) = (0, 0);
    let count = rounds(40, 2_000);
    for seed in 0..count {
        let mut random = Random(seed);
        let pair = pair(&mut random);
        let case = format!("seed {seed}\n{}--- {}\n{}", pair.before, pair.file, pair.after);
        let store = TestStore::new(&pair.before);
        fill(&store, &mut random);
        let old_rows = rows(&store.path(), &store.schema);
        let before = dump(&store.path());
        let plan = store.store.migrate(migration(&pair, Consent::Try)).wait().unwrap();
        assert_eq!(dump(&store.path()), before, "a plan changes nothing: {case}");
        let report = store.store.migrate(migration(&pair, Consent::Confirmed)).wait().unwrap();
        assert_eq!(Report { applied: false, ..report.clone() }, plan, "{case}");
        if report.applied {
            applied += 1;
            let target = schema(&pair.after);
            assert_eq!(store.store.drift().wait().unwrap(), Vec::<String>::new(), "{case}");
            store.store.integrity_check().wait().unwrap();
            let new_rows = rows(&store.path(), &target);
            assert_survives(&pair, (&store.schema, &old_rows), (&target, &new_rows), &case);
            let broken: i64 = store
                .sqlite()
                .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(broken, 0, "{case}");
        } else {
            refused += 1;
            assert_eq!(dump(&store.path()), before, "what is refused changes nothing: {case}");
        }
    }
    assert!(applied * 4 > count && refused > 0, "{applied} applied and {refused} refused of {count}");
}

/// Statements that the writer may still begin before the process dies; negative: any number.
static STATEMENTS_LEFT: AtomicI64 = AtomicI64::new(-1);

fn die_in_time(_: &str) {
    match STATEMENTS_LEFT.load(Ordering::SeqCst) {
        0 => std::process::abort(),
        left if left > 0 => STATEMENTS_LEFT.store(left - 1, Ordering::SeqCst),
        _ => {}
    }
}

/// Not a test of its own: the process that dies. It does nothing without its variables.
#[test]
fn child() {
    let (Ok(folder), Ok(seed), Ok(left)) = (
        std::env::var("ALYX_MIGRATE_FOLDER"),
        std::env::var("ALYX_MIGRATE_SEED"),
        std::env::var("ALYX_MIGRATE_STATEMENTS"),
    ) else {
        return;
    };
    let pair = pair(&mut Random(seed.parse().unwrap()));
    let store = Store::open(&child_options(Path::new(&folder))).unwrap();
    STATEMENTS_LEFT.store(left.parse().unwrap(), Ordering::SeqCst);
    store.migrate(migration(&pair, Consent::Confirmed)).wait().unwrap();
    STATEMENTS_LEFT.store(-1, Ordering::SeqCst);
    store.close().unwrap();
}

fn child_options(folder: &Path) -> Options {
    let clock: fn() -> jiff::Timestamp = || crate::support::NOW.parse().unwrap();
    Options { clock, on_statement: Some(die_in_time), ..Options::new(folder.join("data.db")) }
}

/// Runs the migration of a seed in a process of its own on a copy; `None`: it was not killed.
fn run_child(original: &Path, seed: u64, statements: i64) -> (TempDir, bool) {
    let folder = TempDir::new().unwrap();
    std::fs::copy(original, folder.path().join("data.db")).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "migrations::child", "--test-threads=1"])
        .env("ALYX_MIGRATE_FOLDER", folder.path())
        .env("ALYX_MIGRATE_SEED", seed.to_string())
        .env("ALYX_MIGRATE_STATEMENTS", statements.to_string())
        .output()
        .unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    assert!(output.status.success() || output.status.signal() == Some(6), "{output:?}");
    (folder, output.status.success())
}

/// A dump without the random parts of the UUIDs in it, which every run makes anew.
fn settled(dump: &str) -> String {
    const UUID: usize = 36;
    let time = "0196c5b2-1a2b-7".len();
    let is_uuid = |text: &str| {
        text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'7',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let part = |text: &str| match text.get(..UUID).filter(|uuid| is_uuid(uuid)) {
        Some(uuid) => format!("{}…{}", &uuid[..time], &text[UUID..]),
        None => text.to_owned(),
    };
    dump.split("Text(\"").map(part).collect::<Vec<_>>().join("Text(\"")
}

#[test]
fn m18_a_process_that_dies_at_any_statement_leaves_the_old_or_the_new() {
    let wanted = rounds(3, 60);
    let (mut done, mut seed, mut kills) = (0, 1_000, 0);
    while done < wanted {
        seed += 1;
        let mut random = Random(seed);
        let pair = pair(&mut random);
        let store = TestStore::new(&pair.before);
        fill(&store, &mut random);
        if pair.file.is_empty()
            || store.store.migrate(migration(&pair, Consent::Try)).wait().unwrap().class()
                == alyx_core::migration::Class::Impossible
        {
            continue;
        }
        done += 1;
        let (path, TestStore { dir, store, .. }) = (store.path(), store);
        store.close().unwrap();
        let before = settled(&dump(&path));
        let (complete, survived) = run_child(&path, seed, -1);
        assert!(survived, "seed {seed}");
        let after = settled(&dump(&complete.path().join("data.db")));
        assert_ne!(before, after);
        // All of them in the long mode, else every fifth, beginning elsewhere for every seed.
        let stride = if std::env::var_os("ALYX_LONG").is_some() { 1 } else { 5 };
        let mut statements = (seed % stride) as i64;
        loop {
            let (folder, survived) = run_child(&path, seed, statements);
            let file = folder.path().join("data.db");
            let store = Store::open(&options(&folder)).unwrap();
            store.integrity_check().wait().unwrap();
            let found = settled(&dump(&file));
            assert!(found == before || found == after, "seed {seed}, statement {statements}:\n{found}");
            assert_eq!(store.drift().wait().unwrap(), Vec::<String>::new());
            if survived {
                assert_eq!(found, after);
                break;
            }
            kills += 1;
            statements += stride as i64;
        }
        drop(dir);
    }
    assert!(kills >= wanted * 3, "{kills} kills");
}

#[test]
fn statements_of_a_file_stay_with_documents() {
    let before = "collections: { c: { fields: { id: { type: string, primary: true }, n: { type: int, default: 1 } } } }\n";
    let run = |steps: &str, consent: Consent| {
        let store = TestStore::new(before);
        store.create("c", &json!({ "id": "x" })).unwrap();
        let pair = Pair {
            before: String::new(),
            after: before.to_owned(),
            file: format!("steps:\n{steps}"),
            renamed: BTreeMap::new(),
        };
        let report = store.store.migrate(migration(&pair, consent)).wait().unwrap();
        (store, report)
    };
    for (statement, refused) in [
        ("DELETE FROM _alyx_sessions", "touch _alyx_sessions"),
        ("UPDATE c SET n = (SELECT count(*) FROM _alyx_credentials)", "touch _alyx_credentials"),
        ("UPDATE _alyx_schema SET text = ''", "touch _alyx_schema"),
        ("COMMIT", "begin or end a transaction"),
        ("UPDATE c SET n = 5; COMMIT", "begin or end a transaction"),
        ("ROLLBACK TO attempt", "begin or end a transaction"),
        ("PRAGMA foreign_keys = ON", "use PRAGMA"),
        ("ATTACH 'x.db' AS x", "attach"),
        ("DROP TABLE c", "change tables"),
        ("CREATE TABLE more (a)", "change tables"),
        ("ALTER TABLE c ADD COLUMN m", "change tables"),
        ("UPDATE c SET nosuch = 1", "no such column"),
        ("UPDATE c SET n = 'x'", "cannot store TEXT value"),
    ] {
        let (store, report) = run(&format!("  - sql: {{ up: \"{statement}\" }}\n"), Consent::Confirmed);
        let said = &report.changes[0].description;
        assert!(!report.applied && said.contains(refused), "{statement}: {report:#?}");
        assert_eq!(store.json("c", "x").unwrap(), json!({ "id": "x", "n": 1 }), "{statement}");
    }
    let (store, report) = run("  - sql: { up: \"UPDATE c SET n = n + 1\" }\n", Consent::Safe);
    assert!(!report.applied, "{report:#?}");
    assert_eq!(store.json("c", "x").unwrap()["n"], 1);
    let (store, report) = run("  - sql: { up: \"UPDATE c SET n = n + 1\" }\n", Consent::Confirmed);
    assert!(report.applied && report.changes[0].documents == Some(1), "{report:#?}");
    let document = store.get("c", "x").unwrap();
    assert_eq!((store.json("c", "x").unwrap()["n"].clone(), document.rev), (json!(2), 2));
}

#[test]
fn a_backfill_holds_to_the_field() {
    let before = "collections: { c: { fields: { id: { type: string, primary: true }, n: { type: string, nullable: true, maxLength: 3 } } } }\n";
    let run = |step: &str| {
        let store = TestStore::new(before);
        store.create("c", &json!({ "id": "x" })).unwrap();
        let file = format!("steps:\n  - backfill: {{ collection: c, field: n, {step} }}\n");
        let pair = Pair { before: String::new(), after: before.to_owned(), file, renamed: BTreeMap::new() };
        let report = store.store.migrate(migration(&pair, Consent::Safe)).wait().unwrap();
        (store.json("c", "x").unwrap()["n"].clone(), report)
    };
    assert_eq!(run("sql: \"id || '!'\"").0, json!("x!"));
    assert_eq!(run("value: abc").0, json!("abc"));
    for (step, refused) in [
        ("value: abcd", "must have at most 3 characters"),
        ("value: 1", "must be text"),
        ("sql: \"id || 'long'\"", "must have at most 3 characters"),
        ("sql: \"(SELECT text FROM _alyx_schema)\"", "touch _alyx_schema"),
        ("sql: nosuch", "no such column"),
    ] {
        let (found, report) = run(step);
        assert!(!report.applied, "{step}");
        assert!(
            report.changes.iter().any(|change| change.description.contains(refused)),
            "{step}: {report:#?}"
        );
        assert_eq!(found, Json::Null);
    }
}

#[test]
fn a_wrong_database_is_not_restored() {
    let store = TestStore::new("collections: { c: { fields: { id: { type: string, primary: true } } } }\n");
    let copy = store.dir.path().join("copy.db");
    let scratch = store.dir.path().join("scratch.db");
    std::fs::write(&copy, "no database at all").unwrap();
    let restore = alyx_store::Restore { copy, scratch: scratch.clone(), undo: 1 };
    let outcome = store.store.restore(restore).wait();
    assert!(matches!(outcome, Err(Error::Corrupt { .. } | Error::Foreign { .. })), "{outcome:?}");
    assert!(!scratch.exists());
    store.create("c", &json!({ "id": "x" })).unwrap();
}
