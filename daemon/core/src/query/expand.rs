//! `expand=author,comments(by post).author`: related documents beside a document.
//!
//! A step is a relation field of the collection, or a collection whose relation field refers back:
//! `comments(by post)`. Every step is read as its own collection's list rule and fields allow.

use std::sync::Arc;

use super::QueryError;
use super::reading::{Reading, unknown_field};
use crate::limits::{EXPAND_DEPTH_MAX, EXPAND_MAX};
use crate::rules::{RowFilter, Sight};
use crate::schema::{Collection, FieldKind};

/// Name of the member that holds the related documents.
pub const EXPAND_MEMBER: &str = "expand";

const PARAM: &str = "expand";

/// A relation to follow.
#[derive(Clone, Debug)]
pub struct Expand {
    /// Its name among the related documents: the field, or the collection that refers back.
    pub key: String,
    /// How the two are related.
    pub link: Link,
    /// Where the related documents are.
    pub collection: Arc<Collection>,
    /// Which of them are shown.
    pub rule: RowFilter,
    /// What is shown of each.
    pub sight: Sight,
    /// What is related to them.
    pub further: Vec<Expand>,
}

/// How documents are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The field at this place of the document names one other.
    Forward(usize),
    /// The field at this place of the others names the document.
    Back(usize),
}

/// Reads `expand`.
pub(super) fn parse(reading: Reading<'_>, text: &str) -> Result<Vec<Expand>, QueryError> {
    let (mut roots, mut count) = (Vec::new(), 0);
    for path in text.split(',') {
        let (mut level, mut reading) = (&mut roots, reading);
        for (depth, step) in path.split('.').enumerate() {
            if depth == EXPAND_DEPTH_MAX {
                let message = format!("expand goes at most {EXPAND_DEPTH_MAX} levels deep");
                return Err(QueryError::new(PARAM, "too_many", message));
            }
            let (next, expand) = resolve(reading, step, path)?;
            let place = match level.iter().position(|known: &Expand| known.key == expand.key) {
                Some(place) if level[place].link == expand.link => place,
                Some(_) => {
                    let message = format!("\"{}\" can be expanded in one way at a time", expand.key);
                    return Err(QueryError::new(PARAM, "invalid_value", message));
                }
                None => {
                    count += 1;
                    level.push(expand);
                    level.len() - 1
                }
            };
            if count > EXPAND_MAX {
                let message = format!("expand follows at most {EXPAND_MAX} relations");
                return Err(QueryError::new(PARAM, "too_many", message));
            }
            (level, reading) = (&mut level[place].further, next);
        }
    }
    Ok(roots)
}

fn resolve<'a>(reading: Reading<'a>, step: &str, path: &str) -> Result<(Reading<'a>, Expand), QueryError> {
    let unknown = || unknown_field(PARAM, path);
    if reading.shown_field(EXPAND_MEMBER).is_some() {
        let message = format!("{} has a field of the name {EXPAND_MEMBER}", reading.collection().name);
        return Err(QueryError::new(PARAM, "invalid_value", message));
    }
    let (key, link, target) = match back(step) {
        Some((collection, field)) => {
            let target = reading.of(collection).ok_or_else(unknown)?;
            let (place, field) = target.field(field).ok_or_else(unknown)?;
            match &field.kind {
                FieldKind::Relation { collection, .. } if *collection == reading.collection().name => {
                    (target.collection().name.clone(), Link::Back(place), target)
                }
                _ => return Err(unknown()),
            }
        }
        None => {
            let (place, field) = reading.field(step).ok_or_else(unknown)?;
            match &field.kind {
                FieldKind::Relation { collection, .. } => {
                    (field.name.clone(), Link::Forward(place), reading.of(collection).ok_or_else(unknown)?)
                }
                _ => return Err(unknown()),
            }
        }
    };
    let expand = Expand {
        key,
        link,
        collection: Arc::clone(target.collection()),
        rule: target.rule(),
        sight: target.sight(),
        further: Vec::new(),
    };
    Ok((target, expand))
}

/// `comments(by post)`.
fn back(step: &str) -> Option<(&str, &str)> {
    let (collection, rest) = step.split_once('(')?;
    let field = rest.strip_suffix(')')?.trim().strip_prefix("by")?;
    field.starts_with(' ').then_some((collection.trim(), field.trim()))
}
