//! Pages of the change feed.

use alyx_core::value::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::limits::{CHANGES_PAGE_BYTES_MAX, CHANGES_SCAN_MAX};
use crate::values::bound;
use crate::{Error, backup};

/// A place in the feed of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which database. A restored one is another.
    pub incarnation: String,
    /// The last change that is behind this place.
    pub seq: u64,
}

/// Where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// At the oldest change that is kept.
    Start,
    /// After this place.
    After(Position),
}

/// A change as it is stored. JSON in it is complete; whoever hands it out must filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its place. Grows, has gaps, is never used twice.
    pub seq: u64,
    /// `seq` of the first change of the same transaction.
    pub first_seq: u64,
    /// When it was made.
    pub at: String,
    /// Collection of the document.
    pub collection: String,
    /// The document.
    pub id: String,
    /// `create`, `update` or `delete`.
    pub op: String,
    /// Who made it: an identity's label.
    pub identity: String,
    /// The document before, except for `create`.
    pub before: Option<String>,
    /// The document after, except for `delete`.
    pub after: Option<String>,
}

/// A page of the feed. It never ends within a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// In order of `seq`.
    pub rows: Vec<ChangeRow>,
    /// Where the next page begins. Moves on also when no row is of the collections asked for.
    pub next: Position,
    /// Whether nothing was behind `next` at that moment.
    pub at_end: bool,
}

/// What a page is read from.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) since: Since,
    /// Empty: all.
    pub(super) collections: Vec<String>,
    pub(super) limit: u32,
}

/// Both ends of what is kept. The oldest change that can be read is the one after `before_first`.
pub(super) struct Ends {
    before_first: u64,
    pub(super) last: Position,
}

pub(super) fn ends(connection: &Connection) -> Result<Ends, Error> {
    let (seq, incarnation) = backup::position(connection)?;
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(seq) FROM _alyx_changes")?.query_row([], |row| row.get(0))?;
    let before_first = first.map_or(seq, |first| first.unsigned_abs().saturating_sub(1));
    let from: i64 =
        connection.prepare_cached("SELECT feed_from FROM _alyx_schema")?.query_row([], |row| row.get(0))?;
    let before_first = before_first.max(from.unsigned_abs());
    Ok(Ends { before_first, last: Position { incarnation, seq } })
}

/// Both statements must see the same feed. A failure between ends the transaction, see readers.
pub(super) fn page(connection: &Connection, wanted: &Wanted) -> Result<ChangePage, Error> {
    connection.execute_batch("BEGIN")?;
    let ends = ends(connection)?;
    let after = match &wanted.since {
        Since::Start => ends.before_first,
        Since::After(position) => {
            let known = position.incarnation == ends.last.incarnation
                && (ends.before_first..=ends.last.seq).contains(&position.seq);
            if !known {
                connection.execute_batch("COMMIT")?;
                return Err(Error::ChangesGone);
            }
            position.seq
        }
    };
    let page = rows(connection, wanted, after, ends.last)?;
    connection.execute_batch("COMMIT")?;
    Ok(page)
}

fn rows(connection: &Connection, wanted: &Wanted, after: u64, last: Position) -> Result<ChangePage, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, coalesce(first_seq, seq), at, collection, id, op, identity, before, after
         FROM _alyx_changes WHERE seq > ?1 ORDER BY seq",
    )?;
    let mut found = statement.query(params_from_iter(bound(&[Value::Integer(signed(after))])))?;
    let (mut rows, mut bytes, mut scanned) = (Vec::new(), 0, 0);
    let (mut next, mut transaction, mut at_end) = (after, 0, true);
    while let Some(row) = found.next()? {
        let first_seq = number(row, 1)?;
        let full = rows.len() >= wanted.limit as usize
            || bytes >= CHANGES_PAGE_BYTES_MAX
            || scanned >= CHANGES_SCAN_MAX;
        if full && first_seq != transaction {
            at_end = false;
            break;
        }
        (transaction, next, scanned) = (first_seq, number(row, 0)?, scanned + 1);
        let collection = row.get_ref(3)?.as_str().map_err(|error| Error::internal("read a change", error))?;
        if wanted.collections.is_empty() || wanted.collections.iter().any(|name| name == collection) {
            let row = change(row)?;
            bytes += row.before.as_ref().map_or(0, String::len) + row.after.as_ref().map_or(0, String::len);
            rows.push(row);
        }
    }
    if at_end {
        next = last.seq;
    }
    Ok(ChangePage { rows, next: Position { seq: next, ..last }, at_end })
}

fn change(row: &Row<'_>) -> Result<ChangeRow, Error> {
    Ok(ChangeRow {
        seq: number(row, 0)?,
        first_seq: number(row, 1)?,
        at: row.get(2)?,
        collection: row.get(3)?,
        id: row.get(4)?,
        op: row.get(5)?,
        identity: row.get(6)?,
        before: row.get(7)?,
        after: row.get(8)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
