//! The full-text index of a collection: an FTS5 table `_alyx_fts_<collection>` that holds words only and
//! reads the texts from the collection itself (external content, <https://sqlite.org/fts5.html> §4.4.3).
//!
//! Triggers keep it in step, so whatever changes a row changes the index in the same statement, a
//! cascade included. The two are linked by the rowid, which `VACUUM` may change: after one, every index
//! must be made anew.

use alyx_core::query::search_fields;
use alyx_core::schema::{Collection, Schema};
use alyx_core::sql::{quote, search_table};
use rusqlite::Connection;

use crate::Error;

/// Latin letters lose their accents, so `cafe` finds `Café`; see §4.3.1 of the same page.
const TOKENIZER: &str = "unicode61 remove_diacritics 2";

/// What a trigger follows, and whether the index forgets the old row and learns the new one.
const TRIGGERS: [(&str, bool, bool); 3] =
    [("insert", false, true), ("update", true, true), ("delete", true, false)];

/// Makes the indexes of all collections right, and drops those of collections that are no more, also by
/// this name.
pub(crate) fn search_indexes(connection: &Connection, schema: &Schema) -> Result<(), Error> {
    let mut statement = connection.prepare(
        "SELECT substr(name, ?1 + 1) FROM sqlite_schema
         WHERE type = 'table' AND substr(name, 1, ?1) = ?2 AND sql LIKE 'CREATE VIRTUAL TABLE%'",
    )?;
    let prefix = search_table("");
    let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
    let there: Vec<String> =
        statement.query_map((length, &prefix), |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in there.iter().filter(|name| !schema.collections.contains_key(*name)) {
        drop_search_index(connection, name)?;
    }
    schema.collections.values().try_for_each(|collection| search_index(connection, collection))
}

/// Drops the indexes that changes from one schema to another may stand on: SQLite neither drops nor
/// renames what a trigger names. With `all` those of every collection. They are made again at the end,
/// by [`search_indexes`].
pub(crate) fn release_search_indexes(
    connection: &Connection,
    before: &Schema,
    after: &Schema,
    all: bool,
) -> Result<(), Error> {
    let shape = |collection: &Collection| -> Vec<_> {
        collection.fields.iter().map(|field| (field.name.clone(), field.kind.clone(), field.search)).collect()
    };
    for (name, collection) in &before.collections {
        let stays = after.collections.get(name).is_some_and(|after| shape(after) == shape(collection));
        if (all || !stays) && !search_fields(collection).is_empty() {
            drop_search_index(connection, name)?;
        }
    }
    Ok(())
}

/// Makes the index what the collection's fields ask for: creates it, drops it, or makes it anew where it
/// has other fields or its table was made anew. An index that is right is left alone.
fn search_index(connection: &Connection, collection: &Collection) -> Result<(), Error> {
    let wanted: Vec<&str> = search_fields(collection).iter().map(|(_, field)| field.name.as_str()).collect();
    let found = column_names(connection, &search_table(&collection.name))?;
    let triggers: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 AND name IN (?2, ?3, ?4)",
        rusqlite::params![
            collection.name,
            trigger_name(&collection.name, TRIGGERS[0].0),
            trigger_name(&collection.name, TRIGGERS[1].0),
            trigger_name(&collection.name, TRIGGERS[2].0),
        ],
        |row| row.get(0),
    )?;
    if found == wanted && (wanted.is_empty() || triggers == 3) {
        return Ok(());
    }
    anew(connection, collection)
}

/// Makes the index from the documents there are.
fn anew(connection: &Connection, collection: &Collection) -> Result<(), Error> {
    drop_search_index(connection, &collection.name)?;
    let fields = search_fields(collection);
    if fields.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = fields.iter().map(|(_, field)| quote(&field.name)).collect();
    let index = quote(&search_table(&collection.name));
    let content = collection.name.replace('\'', "''");
    let mut sql = format!(
        "CREATE VIRTUAL TABLE {index} USING fts5({}, content = '{content}', content_rowid = '_rowid_', \
         tokenize = '{TOKENIZER}');\n",
        names.join(", ")
    );
    for (event, forgets, learns) in TRIGGERS {
        sql.push_str(&trigger_statement(collection, &names, event, forgets, learns));
    }
    // A savepoint makes FTS5 write what it holds in memory. Otherwise it writes when an attempt that made
    // this index has been taken back, and fails.
    sql.push_str(&format!("INSERT INTO {index} ({index}) VALUES ('rebuild'); SAVEPOINT held; RELEASE held;"));
    Ok(connection.execute_batch(&sql)?)
}

/// Drops the index that a collection of this name had, with its triggers, wherever they are by now.
fn drop_search_index(connection: &Connection, collection: &str) -> Result<(), Error> {
    let mut sql = format!("DROP TABLE IF EXISTS {};", quote(&search_table(collection)));
    for (event, ..) in TRIGGERS {
        sql.push_str(&format!("DROP TRIGGER IF EXISTS {};", quote(&trigger_name(collection, event))));
    }
    Ok(connection.execute_batch(&sql)?)
}

fn trigger_name(collection: &str, event: &str) -> String {
    format!("{}.{event}", search_table(collection))
}

fn trigger_statement(
    collection: &Collection,
    names: &[String],
    event: &str,
    forgets: bool,
    learns: bool,
) -> String {
    let (table, index) = (quote(&collection.name), quote(&search_table(&collection.name)));
    let list = names.join(", ");
    let of = |row: &str| names.iter().map(|name| format!("{row}.{name}")).collect::<Vec<_>>().join(", ");
    // An update of other fields leaves the index alone.
    let fields = if forgets && learns { format!(" OF {list}") } else { String::new() };
    let mut sql = format!(
        "CREATE TRIGGER {} AFTER {event}{fields} ON {table} BEGIN\n",
        quote(&trigger_name(&collection.name, event))
    );
    if forgets {
        let old = of("old");
        sql.push_str(&format!(
            "INSERT INTO {index} ({index}, rowid, {list}) VALUES ('delete', old._rowid_, {old});\n"
        ));
    }
    if learns {
        let new = of("new");
        sql.push_str(&format!("INSERT INTO {index} (rowid, {list}) VALUES (new._rowid_, {new});\n"));
    }
    sql.push_str("END;\n");
    sql
}

fn column_names(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}
