//! Change or delete every document that a query selects: in one transaction, each under its rule, all or
//! none.
//!
//! The query selects among what the caller may list, so a bulk write tells nothing that a list would
//! not.

use alyx_core::catalog::CollectionEntry;
use alyx_core::document::Document;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::parse_list;
use alyx_core::scope::Touch;
use alyx_store::Abort;

use super::reading;
use super::writing::{Change, Refusal, Writing, id_of, refuse};
use super::{Documents, Precondition, access_of, denied, entry};
use crate::problem::{ApiError, Code};

/// What a bulk write did, or would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BulkOutcome {
    /// Documents changed or deleted.
    pub count: usize,
    /// Whether the query selects more than its limit.
    pub more: bool,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// What is done with each document.
enum Action {
    Update(Change),
    Delete,
}

impl Documents {
    /// Changes the documents that `params` select, at most their limit, which must be there. With
    /// `dry_run=true` everything is checked and nothing is written.
    pub async fn update_many(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
        body: &[u8],
    ) -> Result<BulkOutcome, ApiError> {
        let catalog = self.catalog.load_full();
        let found = entry(&catalog, collection)?;
        let change = Change::parse(found, body, access_of(who))?;
        self.many(who, facts, collection, params, Action::Update(change)).await
    }

    /// Deletes the documents that `params` select, as [`Documents::update_many`].
    pub async fn delete_many(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
    ) -> Result<BulkOutcome, ApiError> {
        self.many(who, facts, collection, params, Action::Delete).await
    }

    async fn many(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
        action: Action,
    ) -> Result<BulkOutcome, ApiError> {
        let (params, dry_run) = read_params(params)?;
        let catalog = self.catalog.load_full();
        entry(&catalog, collection)?;
        let collection = collection.to_owned();
        self.write(catalog, who, facts, move |writing| {
            // The rules of a dry run see what a real one would leave behind; then it is undone.
            writing.undo = dry_run;
            let (count, more) = writing.many(&collection, &params, &action)?;
            Ok(BulkOutcome { count, more, dry_run })
        })
        .await
    }
}

impl Writing<'_, '_, '_> {
    /// How many were changed, and whether there are more than the limit.
    fn many(
        &mut self,
        collection: &str,
        params: &[(String, String)],
        action: &Action,
    ) -> Result<(usize, bool), Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        if entry.list.is_none() && !self.who.is_free_of_rules(collection, Touch::Read) {
            return Err(refuse(denied(self.who)));
        }
        let reading = reading(self.catalog, collection, self.who, &self.facts).map_err(Abort::Refused)?;
        let query = parse_list(reading, params).map_err(refuse)?;
        let mut found = self.tx.select(&entry.collection, &query.rule, &query)?;
        let more = found.len() > query.limit as usize;
        found.truncate(query.limit as usize);
        for document in &found {
            self.act(entry, document, action)?;
        }
        Ok((found.len(), more))
    }

    fn act(&mut self, entry: &CollectionEntry, document: &Document, action: &Action) -> Result<(), Refusal> {
        let id = id_of(entry, document);
        // A deletion before may have taken it along, or changed it.
        let Some(document) = self.tx.get(&entry.collection, &id)? else { return Ok(()) };
        let outcome = match action {
            Action::Update(change) => {
                self.update_found(entry, &document, change, &Precondition::None).map(drop)
            }
            Action::Delete => self.delete_found(entry, &document, &Precondition::None),
        };
        outcome.map_err(|refusal| {
            let error = match refusal {
                Abort::Refused(error) => error,
                Abort::Store(error) => error.into(),
            };
            match error.code() == Code::DocumentNotFound.as_str() {
                // The caller sees it in the list, so it may be named.
                true => refuse(ApiError::new(
                    Code::Forbidden,
                    format!("The rules do not allow this with the document {id:?}; nothing was changed."),
                )),
                false => refuse(error.with_details(serde_json::json!({ "id": id }))),
            }
        })
    }
}

/// Takes `dry_run` out and asks for a `limit`.
fn read_params(params: &[(String, String)]) -> Result<(Vec<(String, String)>, bool), ApiError> {
    let invalid = |detail: &str| Err(ApiError::new(Code::InvalidParameter, detail));
    let mut rest = Vec::with_capacity(params.len());
    let mut dry_run = None;
    for (name, value) in params {
        match (name.as_str(), value.as_str(), dry_run) {
            ("dry_run", "true" | "false", None) => dry_run = Some(value == "true"),
            ("dry_run", ..) => return invalid("dry_run is true or false, once."),
            ("fields" | "expand" | "count" | "cursor" | "offset" | "page", ..) => {
                return invalid(&format!(
                    "A bulk write takes no {name}; it takes where, filter, search, sort, limit and dry_run."
                ));
            }
            _ => rest.push((name.clone(), value.clone())),
        }
    }
    if !rest.iter().any(|(name, _)| name == "limit") {
        return invalid("A bulk write needs a limit: the most documents it may touch.");
    }
    if !rest.iter().any(|(name, _)| matches!(name.as_str(), "where" | "filter" | "search")) {
        return invalid("A bulk write needs where or filter; where={} selects all.");
    }
    Ok((rest, dry_run.unwrap_or(false)))
}
