//! Documents under rules: the one service behind the HTTP endpoints and a function's `ctx.db`.
//!
//! Administrators pass every rule. A denied get, update or delete answers like a missing document, so
//! nobody learns that it exists. A missing rule denies, a rule that fails denies and is logged.

use std::sync::Arc;

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::document::{Access, Document, DocumentError, Fresh, parse_create, parse_update, write_json};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{encode_cursor, parse_list};
use alyx_core::rules::{Decision, DocRef, Rule, RuleInput};
use alyx_core::schema::{Collection, FieldKind};
use alyx_core::sql::SqlPredicate;
use alyx_store::{ListPage, Store};

use crate::auth::UserCache;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::limits::UPDATE_ATTEMPTS;
use crate::problem::{ApiError, Code};

/// Name of the collection behind accounts.
pub const USERS: &str = "users";

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Documents {
    store: Store,
    catalog: CatalogHandle,
    users: UserCache,
}

/// What a document is shown as.
pub fn access_of(who: &Identity) -> Access {
    if who.is_admin() { Access::Admin } else { Access::Client }
}

/// A document as JSON text.
pub fn to_json(collection: &Collection, document: &Document, access: Access) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_json(&mut out, collection, |field| document.values[field].as_ref(), access, None);
    out
}

impl Documents {
    /// The service over a store and the schema in force.
    pub fn new(store: Store, catalog: CatalogHandle, users: UserCache) -> Self {
        Self { store, catalog, users }
    }

    /// Creates a document and gives it as JSON.
    pub async fn create(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        if collection == USERS {
            let detail =
                "Accounts are made by POST /api/auth/register or, by administrators, POST /api/admin/users.";
            return Err(ApiError::new(Code::Forbidden, detail));
        }
        if entry.create.is_none() && !who.is_admin() {
            return Err(denied(who));
        }
        let document = parse_new(&entry.collection, body, access_of(who))?;
        if !allowed(entry.create.as_ref(), who, facts, entry, Some(&document), None) {
            return Err(denied(who));
        }
        let collection = Arc::clone(&entry.collection);
        let created = self.store.create(Arc::clone(&collection), document, who.label()).await?;
        Ok(to_json(&collection, &created, access_of(who)))
    }

    /// Gives a document as JSON.
    pub async fn get(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        let document = self.load(entry, id).await?;
        if !allowed(entry.get.as_ref(), who, facts, entry, Some(&document), None) {
            return Err(not_found());
        }
        Ok(to_json(&entry.collection, &document, access_of(who)))
    }

    /// Gives a page of documents as the JSON of a list answer.
    pub async fn list(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        let rule = match (&entry.list, who.is_admin()) {
            (_, true) => SqlPredicate::Always,
            (Some(rule), false) => rule.predicate(who, facts),
            (None, false) => return Err(denied(who)),
        };
        let access = access_of(who);
        let query = parse_list(&entry.collection, params, access)?;
        let page = self.store.list(Arc::clone(&entry.collection), rule, query.clone(), access).await?;
        let next = page.last.as_ref().map(|last| encode_cursor(&query, last));
        Ok(list_answer(&page, query.limit, next.as_deref()))
    }

    /// Changes a document and gives it as JSON. The rule sees the document as it was and as it would be.
    pub async fn update(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        for _ in 0..UPDATE_ATTEMPTS {
            let old = self.load(entry, id).await?;
            if entry.update.is_none() && !who.is_admin() {
                return Err(not_found());
            }
            let parsed = parse_update(&entry.collection, &old, body, access_of(who), &clock::now_text());
            let new = match parsed {
                Ok(new) => new,
                // Only somebody who may see the document learns more than that it cannot be found.
                Err(_) if !allowed(entry.get.as_ref(), who, facts, entry, Some(&old), None) => {
                    return Err(not_found());
                }
                Err(error) => return Err(error.into()),
            };
            if !allowed(entry.update.as_ref(), who, facts, entry, Some(&new), Some(&old)) {
                return Err(not_found());
            }
            let shared = Arc::clone(&entry.collection);
            match self.store.update(shared, id.to_owned(), old.rev, new, who.label()).await {
                Err(alyx_store::Error::Stale) => {}
                outcome => {
                    if collection == USERS {
                        self.users.forget(id);
                    }
                    return Ok(to_json(&entry.collection, &outcome?, access_of(who)));
                }
            }
        }
        Err(alyx_store::Error::Stale.into())
    }

    /// Deletes a document.
    pub async fn delete(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
    ) -> Result<(), ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        for _ in 0..UPDATE_ATTEMPTS {
            let old = self.load(entry, id).await?;
            if !allowed(entry.delete.as_ref(), who, facts, entry, Some(&old), Some(&old)) {
                return Err(not_found());
            }
            let shared = Arc::clone(&entry.collection);
            match self.store.delete(shared, id.to_owned(), old.rev, who.label()).await {
                Err(alyx_store::Error::Stale) => {}
                outcome => {
                    // A deletion may cascade into accounts.
                    if collection == USERS || users_refer_to_others(&catalog) {
                        self.users.forget_all();
                    }
                    return Ok(outcome?);
                }
            }
        }
        Err(alyx_store::Error::Stale.into())
    }

    async fn load(&self, entry: &CollectionEntry, id: &str) -> Result<Document, ApiError> {
        self.store.get(Arc::clone(&entry.collection), id.to_owned()).await?.ok_or_else(not_found)
    }
}

fn parse_new(collection: &Collection, body: &[u8], access: Access) -> Result<Document, DocumentError> {
    let now = clock::now_text();
    parse_create(collection, body, access, &mut Fresh { now: &now, ids: &mut clock::new_key })
}

fn entry<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a CollectionEntry, ApiError> {
    catalog
        .collection(name)
        .ok_or_else(|| ApiError::new(Code::CollectionNotFound, format!("There is no collection {name:?}.")))
}

fn allowed(
    rule: Option<&Rule>,
    who: &Identity,
    facts: &RequestFacts,
    entry: &CollectionEntry,
    document: Option<&Document>,
    old: Option<&Document>,
) -> bool {
    if who.is_admin() {
        return true;
    }
    let Some(rule) = rule else { return false };
    let with = |document| DocRef { collection: &entry.collection, document };
    let input = RuleInput { identity: who, request: facts, doc: document.map(with), old: old.map(with) };
    match rule.check(&input) {
        Decision::Allow => true,
        Decision::Deny => false,
        Decision::Error(reason) => {
            tracing::warn!(collection = %entry.collection.name, reason, "a rule failed and denied: {reason}");
            false
        }
    }
}

fn denied(who: &Identity) -> ApiError {
    match who.effective() {
        Identity::Anonymous => ApiError::new(Code::Unauthenticated, "Sign in to do this."),
        _ => ApiError::new(Code::Forbidden, "The rules of this collection do not allow this."),
    }
}

fn not_found() -> ApiError {
    ApiError::new(Code::DocumentNotFound, "There is no such document, or you may not do this with it.")
}

fn users_refer_to_others(catalog: &Catalog) -> bool {
    let relation = |kind: &FieldKind| matches!(kind, FieldKind::Relation { .. });
    catalog
        .collection(USERS)
        .is_some_and(|users| users.collection.fields.iter().any(|field| relation(&field.kind)))
}

fn list_answer(page: &ListPage, limit: u32, next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.docs_json.len() + 96);
    out.extend_from_slice(b"{\"docs\":");
    out.extend_from_slice(&page.docs_json);
    out.extend_from_slice(format!(",\"limit\":{limit}").as_bytes());
    if let Some(next) = next {
        // A cursor is base64url, so it needs no escaping.
        out.extend_from_slice(format!(",\"next_cursor\":\"{next}\"").as_bytes());
    }
    if let Some(total) = page.total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
