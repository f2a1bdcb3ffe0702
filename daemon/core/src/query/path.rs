//! Paths: `title`, `author.name`, `meta.tags.0`. A path starts in the collection that is read, follows
//! relations, and ends in a field or inside a `json` field.
//!
//! What a path leads to is one value. It is null where a relation on the way is null, and where the
//! document it names is not shown to the caller by its own collection's list rule; the two cannot be
//! told apart.

use super::QueryError;
use super::reading::{Reading, unknown_field};
use crate::limits::{JSON_PATH_MAX, PATH_HOPS_MAX};
use crate::schema::{Field, FieldKind};
use crate::sql::{SqlExpr, SqlPredicate, column, quote};

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Path<'a> {
    pub(super) hops: Vec<Hop<'a>>,
    pub(super) place: usize,
    pub(super) field: &'a Field,
    /// The path inside a `json` field, in SQLite's form.
    pub(super) inside: Option<String>,
}

/// A relation on the way.
#[derive(Debug)]
pub(super) struct Hop<'a> {
    relation: &'a Field,
    target: Reading<'a>,
    /// Which documents of the target are shown.
    rule: SqlPredicate,
}

impl<'a> Path<'a> {
    /// Follows a path by what the caller may name.
    pub(super) fn resolve(reading: Reading<'a>, param: &str, text: &str) -> Result<Self, QueryError> {
        let unknown = || unknown_field(param, text);
        let (mut reading, mut hops) = (reading, Vec::new());
        let mut segments = text.split('.');
        let mut name = segments.next().unwrap_or_default();
        loop {
            let (place, field) = reading.field(name).ok_or_else(unknown)?;
            let Some(next) = segments.next() else {
                return Self { hops, place, field, inside: None }.checked(param);
            };
            match &field.kind {
                FieldKind::Relation { collection, .. } if hops.len() < PATH_HOPS_MAX => {
                    let target = reading.of(collection).ok_or_else(unknown)?;
                    hops.push(Hop { relation: field, target, rule: SqlPredicate::Never });
                    (reading, name) = (target, next);
                }
                FieldKind::Relation { .. } => {
                    let message = format!("a path follows at most {PATH_HOPS_MAX} relations");
                    return Err(QueryError::new(param, "too_many", message));
                }
                FieldKind::Json => {
                    let inside = json_path(param, std::iter::once(next).chain(segments))?;
                    return Self { hops, place, field, inside: Some(inside) }.checked(param);
                }
                _ => return Err(unknown()),
            }
        }
    }

    /// Puts the rules in, when every name has been found.
    fn checked(mut self, param: &str) -> Result<Self, QueryError> {
        for hop in &mut self.hops {
            hop.rule = hop.target.sql_rule(param)?;
        }
        Ok(self)
    }

    /// A condition on the last document as one on the first: it is reached, shown, and fulfils it.
    pub(super) fn reach(&self, leaf: SqlExpr) -> SqlExpr {
        self.hops.iter().rev().fold(leaf, |inner, hop| {
            let (key, table) = hop.target_names();
            let mut sql = SqlExpr::plain(format!(
                "{} IN (SELECT {key} FROM {table} WHERE ",
                column(&hop.relation.name)
            ));
            push_rule(&mut sql, &hop.rule);
            sql.text.push_str(&format!("({}))", inner.text));
            sql.params.extend(inner.params);
            sql
        })
    }

    /// The value as a joined table `alias` with the column `v`, for what must have the value itself.
    /// Only for paths with a hop.
    pub(super) fn join(&self, alias: &str) -> SqlExpr {
        let mut inner = SqlExpr::plain(column(&self.field.name));
        let mut further = SqlExpr::plain("");
        for hop in self.hops.iter().rev() {
            let (key, table) = hop.target_names();
            let mut sql =
                SqlExpr::plain(format!(" LEFT JOIN (SELECT {key} AS k, {} AS v FROM {table}", inner.text));
            sql.text.push_str(&further.text);
            sql.params.append(&mut further.params);
            sql.text.push_str(" WHERE ");
            push_rule(&mut sql, &hop.rule);
            sql.text.push_str(&format!("1) AS {alias} ON {alias}.k = {}", column(&hop.relation.name)));
            (inner, further) = (SqlExpr::plain(format!("{alias}.v")), sql);
        }
        further
    }
}

impl Hop<'_> {
    fn target_names(&self) -> (String, String) {
        let collection = self.target.collection();
        (
            column(&collection.primary().1.name),
            format!("{} AS {}", quote(&collection.name), crate::sql::DOCUMENT_ALIAS),
        )
    }
}

fn push_rule(sql: &mut SqlExpr, rule: &SqlPredicate) {
    match rule {
        SqlPredicate::Always => {}
        SqlPredicate::Never => sql.text.push_str("0 AND "),
        SqlPredicate::When(rule) => {
            sql.text.push_str(&format!("({}) AND ", rule.text));
            sql.params.extend_from_slice(&rule.params);
        }
    }
}

/// SQLite's form of a path inside JSON: a segment of digits is a place in a list, any other a key.
fn json_path<'s>(param: &str, segments: impl Iterator<Item = &'s str>) -> Result<String, QueryError> {
    let mut path = "$".to_owned();
    for (count, segment) in segments.enumerate() {
        if count == JSON_PATH_MAX {
            let message = format!("a path goes at most {JSON_PATH_MAX} levels into a json field");
            return Err(QueryError::new(param, "too_many", message));
        }
        let plain = |letter: char| letter != '"' && letter != '\\' && !letter.is_control();
        if !segment.is_empty() && segment.len() <= 9 && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{segment}]"));
        } else if !segment.is_empty() && segment.chars().all(plain) {
            path.push_str(&format!(".\"{segment}\""));
        } else {
            let message = "a key in a path is not empty and has no \", \\ or control character";
            return Err(QueryError::new(param, "invalid_value", message));
        }
    }
    Ok(path)
}
