//! The change feed under rules: for HTTP clients that poll, and later for whoever is told of changes.
//!
//! A change is shown as far as its caller could have seen the document, before and after, by the
//! `subscribe` rule as it is now. A document that comes into sight is a creation, one that goes out of
//! sight a deletion, and a change of nothing but what the caller may not see is no change. Administrators
//! see everything, as it is stored.

use std::sync::Arc;
use std::time::Duration;

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::document::recall;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::scope::Touch;
use alyx_store::{ChangeRow, Position, Since, Store};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::catalog::CatalogHandle;
use crate::documents::{Judge, denied};
use crate::problem::{ApiError, Code, internal};
use crate::serve::told_to_stop;

/// The feed. A cheap clone.
#[derive(Clone)]
pub struct Feed {
    store: Store,
    catalog: CatalogHandle,
    /// The highest sequence number that was heard of. A hint.
    latest: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `None`: from now on.
    pub since: Option<Since>,
    /// Empty: all that the caller may see.
    pub collections: Vec<String>,
    /// Changes in an answer, more if a transaction has more.
    pub limit: u32,
    /// How long an answer may wait for a change.
    pub wait: Duration,
}

/// An answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    changes: Vec<Change>,
    next: String,
    at_end: bool,
}

/// A change as its caller may see it.
#[derive(Debug, Serialize)]
struct Change {
    seq: u64,
    tx: u64,
    at: String,
    collection: String,
    id: String,
    op: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

/// A place in the feed as clients have it.
pub fn to_token(position: &Position) -> String {
    format!("{}.{}", position.incarnation, position.seq)
}

/// The place that a client names; `start` is the oldest change that is kept.
pub fn from_token(text: &str) -> Option<Since> {
    if text == "start" {
        return Some(Since::Start);
    }
    let (incarnation, seq) = text.split_once('.')?;
    let known = incarnation.len() == 32 && incarnation.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    let seq = seq.parse().ok().filter(|_| known && digits)?;
    Some(Since::After(Position { incarnation: incarnation.to_owned(), seq }))
}

impl Feed {
    /// The feed of a store, under the schema in force.
    pub fn new(
        store: Store,
        catalog: CatalogHandle,
        latest: watch::Receiver<u64>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { store, catalog, latest, stopped }
    }

    /// A page of changes; an empty one after waiting for as long as was asked for.
    pub async fn read(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        wanted: Wanted,
    ) -> Result<Answer, ApiError> {
        let deadline = Instant::now() + wanted.wait;
        let (mut latest, mut stopped) = (self.latest.clone(), self.stopped.clone());
        let collections = visible_collections(&self.catalog.load(), who, wanted.collections)?;
        let mut since = match wanted.since {
            Some(since) => since,
            None => Since::After(self.store.last_change().await?),
        };
        loop {
            latest.mark_unchanged();
            let page = self.store.changes(since, collections.clone(), wanted.limit).await?;
            let catalog = self.catalog.load_full();
            let mut changes = Vec::new();
            for row in page.rows {
                changes.extend(self.show(&catalog, who, facts, row).await?);
            }
            let answer = Answer { changes, next: to_token(&page.next), at_end: page.at_end };
            if !answer.changes.is_empty() || Instant::now() >= deadline {
                return Ok(answer);
            }
            since = Since::After(page.next);
            if !page.at_end {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(answer),
                () = told_to_stop(&mut stopped) => return Ok(answer),
                changed = latest.changed() => if changed.is_err() { return Ok(answer) },
            }
        }
    }

    /// A change as the caller may see it; `None` if nothing of it is in sight.
    async fn show(
        &self,
        catalog: &Arc<Catalog>,
        who: &Identity,
        facts: &RequestFacts,
        row: ChangeRow,
    ) -> Result<Option<Change>, ApiError> {
        let raw = |json: Option<String>| {
            json.map(RawValue::from_string)
                .transpose()
                .map_err(|error| ApiError::from(internal("read a change", &error)))
        };
        if who.is_admin() {
            let (before, after) = (raw(row.before)?, raw(row.after)?);
            let identity = Some(row.identity);
            let ChangeRow { seq, first_seq: tx, at, collection, id, op, .. } =
                ChangeRow { before: None, after: None, identity: String::new(), ..row };
            return Ok(Some(Change { seq, tx, at, collection, id, op, identity, before, after }));
        }
        let Some(entry) = catalog.collection(&row.collection) else { return Ok(None) };
        let judge = Judge::new(&self.store, entry, who, facts);
        let before = sight(&judge, entry, row.before.as_deref()).await?;
        let after = sight(&judge, entry, row.after.as_deref()).await?;
        let op = match (&before, &after) {
            (None, None) => return Ok(None),
            (Some(before), Some(after)) if before == after => return Ok(None),
            (None, Some(_)) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        Ok(Some(Change {
            seq: row.seq,
            tx: row.first_seq,
            at: row.at,
            collection: row.collection,
            id: row.id,
            op: op.to_owned(),
            identity: None,
            before: raw(before)?,
            after: raw(after)?,
        }))
    }
}

/// What the feed is read for. An empty list is everything there is.
fn visible_collections(
    catalog: &Catalog,
    who: &Identity,
    asked: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    for name in &asked {
        let entry = catalog.collection(name).ok_or_else(|| {
            ApiError::new(Code::CollectionNotFound, format!("There is no collection {name:?}."))
        })?;
        if entry.subscribe.is_none() && !who.is_free_of_rules(name, Touch::Read) {
            return Err(denied(who));
        }
    }
    Ok(asked)
}

/// What the caller may see of a document as it was; `None` if nothing.
async fn sight(
    judge: &Judge<'_>,
    entry: &CollectionEntry,
    json: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let Some(document) = json.and_then(|json| recall(&entry.collection, json)) else { return Ok(None) };
    if !judge.allows(entry.subscribe.as_ref(), Some(&document), None).await? {
        return Ok(None);
    }
    Ok(String::from_utf8(judge.show(&document).await?).ok())
}

#[cfg(test)]
mod tests {
    use alyx_store::{Position, Since};

    use super::{from_token, to_token};

    #[test]
    fn tokens_read_back_and_nothing_else_does() {
        let position = Position { incarnation: "0123456789abcdef0123456789abcdef".to_owned(), seq: 42 };
        let token = to_token(&position);
        assert_eq!(from_token(&token), Some(Since::After(position)));
        assert_eq!(from_token("start"), Some(Since::Start));
        let bad = [
            "",
            ".",
            "0",
            "x.1",
            "0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef.",
            "0123456789abcdef0123456789abcdef.-1",
            "0123456789abcdef0123456789abcdef.+1",
            "0123456789abcdef0123456789abcdef.99999999999999999999",
            "0123456789abcdef0123456789abcdeg.1",
        ];
        for text in bad {
            assert_eq!(from_token(text), None, "{text}");
        }
    }
}
