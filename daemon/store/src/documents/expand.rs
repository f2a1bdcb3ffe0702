//! Related documents beside documents: one statement a relation, however many documents there are.

use std::collections::{BTreeSet, HashMap};

use alyx_core::limits::EXPAND_MANY_MAX;
use alyx_core::query::{EXPAND_MEMBER, Expand, Link};
use alyx_core::schema::Collection;
use alyx_core::sql::{SqlExpr, column};
use alyx_core::value::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::show::{Selected, View};
use super::sql;
use crate::Error;
use crate::limits::{EXPAND_KEYS, LIST_BYTES_MAX};
use crate::values::Bound;

/// A document as it is shown.
pub(super) struct Shown {
    /// Its JSON.
    pub(super) json: Vec<u8>,
    /// For each relation to follow: the id of the other document, or its own.
    pub(super) links: Vec<Option<String>>,
}

/// The fields that the relations are read from.
pub(super) fn fields(expand: &[Expand]) -> impl Iterator<Item = usize> {
    expand.iter().filter_map(|expand| match expand.link {
        Link::Forward(field) => Some(field),
        Link::Back(_) => None,
    })
}

/// What a row links to.
pub(super) fn links(
    selected: &Selected<'_>,
    collection: &Collection,
    row: &Row<'_>,
    expand: &[Expand],
) -> Result<Vec<Option<String>>, Error> {
    let link = |expand: &Expand| match expand.link {
        Link::Forward(field) => selected.text(row, field),
        Link::Back(_) => selected.text(row, collection.primary().0),
    };
    expand.iter().map(link).collect()
}

/// Puts the related documents into each. `bytes` is what the answer holds so far.
///
/// # Errors
/// [`Error::AnswerTooLarge`], and as any read.
pub(super) fn attach(
    connection: &Connection,
    expand: &[Expand],
    parents: &mut [Shown],
    bytes: &mut usize,
) -> Result<(), Error> {
    if expand.is_empty() || parents.is_empty() {
        return Ok(());
    }
    for parent in &mut *parents {
        parent.json.pop();
        if parent.json.len() > 1 {
            parent.json.push(b',');
        }
        parent.json.extend_from_slice(format!("\"{EXPAND_MEMBER}\":{{").as_bytes());
    }
    for (place, relation) in expand.iter().enumerate() {
        let keys: BTreeSet<&str> =
            parents.iter().filter_map(|parent| parent.links[place].as_deref()).collect();
        let found = related(connection, relation, &keys, bytes)?;
        for parent in &mut *parents {
            let start = parent.json.len();
            if place > 0 {
                parent.json.push(b',');
            }
            // Names need no escape.
            parent.json.extend_from_slice(format!("\"{}\":", relation.key).as_bytes());
            let of = parent.links[place].as_ref().and_then(|link| found.get(link));
            put(&mut parent.json, relation.link, of.map_or(&[], Vec::as_slice));
            *bytes += parent.json.len() - start;
            if *bytes > LIST_BYTES_MAX {
                return Err(Error::AnswerTooLarge { limit: LIST_BYTES_MAX });
            }
        }
    }
    parents.iter_mut().for_each(|parent| parent.json.extend_from_slice(b"}}"));
    Ok(())
}

fn put(out: &mut Vec<u8>, link: Link, found: &[Vec<u8>]) {
    match link {
        Link::Forward(_) => out.extend_from_slice(found.first().map_or(b"null", |json| json)),
        Link::Back(_) => {
            let shown = &found[..found.len().min(EXPAND_MANY_MAX as usize)];
            out.extend_from_slice(b"{\"docs\":[");
            out.extend_from_slice(&shown.join(&b","[..]));
            out.extend_from_slice(format!("],\"more\":{}}}", found.len() > shown.len()).as_bytes());
        }
    }
}

/// The documents of a relation by what they are linked with, in order of their ids; of those that refer
/// back, one more than is shown.
fn related(
    connection: &Connection,
    relation: &Expand,
    keys: &BTreeSet<&str>,
    bytes: &mut usize,
) -> Result<HashMap<String, Vec<Vec<u8>>>, Error> {
    let (mut owners, mut shown) = (Vec::new(), Vec::new());
    let keys: Vec<&str> = keys.iter().copied().collect();
    for keys in keys.chunks(EXPAND_KEYS) {
        read(connection, relation, keys, &mut owners, &mut shown)?;
        // What is read counts before it is put anywhere: it is held until then.
        let held: usize = shown.iter().map(|shown: &Shown| shown.json.len()).sum();
        if *bytes + held > LIST_BYTES_MAX {
            return Err(Error::AnswerTooLarge { limit: LIST_BYTES_MAX });
        }
    }
    attach(connection, &relation.further, &mut shown, &mut 0)?;
    let mut found: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    for (owner, shown) in owners.into_iter().zip(shown) {
        found.entry(owner).or_default().push(shown.json);
    }
    Ok(found)
}

fn read(
    connection: &Connection,
    relation: &Expand,
    keys: &[&str],
    owners: &mut Vec<String>,
    shown: &mut Vec<Shown>,
) -> Result<(), Error> {
    let Some(rule) = sql::rule(&relation.rule.sql) else { return Ok(()) };
    let collection: &Collection = &relation.collection;
    let (primary, _) = collection.primary();
    let link = match relation.link {
        Link::Forward(_) => primary,
        Link::Back(field) => field,
    };
    let view = View { collection, rule: &relation.rule, sight: &relation.sight, shown: None };
    let selected = Selected::new(connection, view, fields(&relation.further).chain([link]));
    let key = column(&collection.fields[link].name);
    let (marks, count) = sql::marks(keys.len());
    let wanted = SqlExpr::plain(format!("{key} IN {marks}"));
    let from = sql::From { collection, joins: &[], conditions: [&wanted].into_iter().chain(rule).collect() };
    let mut text = format!("SELECT {} ", selected.columns().join(", "));
    match relation.link {
        Link::Forward(_) => {
            text.push_str("FROM ");
            from.push(&mut text);
        }
        Link::Back(_) => {
            let id = column(&collection.fields[primary].name);
            text.push_str(&format!(", row_number() OVER (PARTITION BY {key} ORDER BY {id}) AS n FROM "));
            from.push(&mut text);
            // What a post filter leaves is known after it only; it has a bound of its own.
            if !selected.has_post_filter() {
                text = format!("SELECT * FROM ({text}) WHERE n <= {}", EXPAND_MANY_MAX + 1);
            }
        }
    }
    // The last key again, up to the number of marks.
    let keys = (0..count).map(|place| Value::Text(keys[place.min(keys.len() - 1)].to_owned()));
    let keys: Vec<Value> = keys.collect();
    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(keys.iter().chain(from.params()).map(Bound)))?;
    while let Some(row) = rows.next()? {
        let Some(owner) = selected.text(row, link)? else { continue };
        if !selected.passes(row)? {
            continue;
        }
        let mut json = Vec::with_capacity(256);
        selected.write(&mut json, row)?;
        owners.push(owner);
        shown.push(Shown { json, links: links(&selected, collection, row, &relation.further)? });
    }
    selected.finish()
}
