//! Documents under rules: the one service behind the HTTP endpoints and a function's `ctx.db`.
//!
//! Administrators pass every rule. A denied get, update or delete answers like a missing document, so
//! nobody learns that it exists. A missing rule denies, a rule that fails denies and is logged.

use std::sync::{Arc, Mutex};

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::document::{Access, Document};
use alyx_core::identity::Identity;
use alyx_store::Store;
use serde_json::json;

use self::passes::Question;
use crate::catalog::CatalogHandle;
use crate::hooks::{Doer, WaitedHooks};
use crate::problem::{ApiError, Code};

mod accounts;
mod batch;
mod bulk;
mod create;
mod delete;
mod get;
mod judge;
mod list;
mod once;
mod passes;
mod precondition;
mod profile;
mod publish;
mod replace;
mod transaction;
mod update;
mod writing;

pub use batch::Batch;
pub use bulk::BulkOutcome;
pub use judge::{Judge, to_json};
pub use list::reading;
pub use once::Once;
pub use precondition::{Precondition, etag, is_among};
pub use transaction::OpenTransaction;

/// Name of the collection behind accounts.
pub const USERS: &str = "users";

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Documents {
    store: Store,
    catalog: CatalogHandle,
    hooks: WaitedHooks,
    /// In a transaction that is open: what to tell hooks of once it is committed.
    later: Option<Later>,
}

/// What to tell hooks of, and whose doing it was.
type Later = Arc<Mutex<Vec<(Vec<Question>, Doer)>>>;

/// A document that was written, as its writer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// 201 for a new document, else 200.
    pub status: u16,
    pub id: String,
    pub json: Vec<u8>,
}

impl Written {
    /// `{"status", "id", "etag", "doc"}`, the form in which a batch tells of it.
    pub fn to_result(&self) -> Vec<u8> {
        let head = json!({ "status": self.status, "id": self.id, "etag": etag(&self.json) }).to_string();
        let mut out = head.trim_end_matches('}').as_bytes().to_vec();
        out.extend_from_slice(b",\"doc\":");
        out.extend_from_slice(&self.json);
        out.push(b'}');
        out
    }
}

/// What a document is shown as.
pub fn access_of(who: &Identity) -> Access {
    if who.is_admin() { Access::Admin } else { Access::Client }
}

impl Documents {
    /// The service over a store and the schema in force.
    pub fn new(store: Store, catalog: CatalogHandle, hooks: WaitedHooks) -> Self {
        Self { store, catalog, hooks, later: None }
    }

    async fn load(&self, entry: &CollectionEntry, id: &str) -> Result<Document, ApiError> {
        self.store.get(Arc::clone(&entry.collection), id.to_owned()).await?.ok_or_else(not_found)
    }
}

fn entry<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a CollectionEntry, ApiError> {
    catalog.collection(name).ok_or_else(|| no_collection(name))
}

fn no_collection(name: &str) -> ApiError {
    ApiError::new(Code::CollectionNotFound, format!("There is no collection {name:?}."))
}

/// What somebody is told whom the rules of a collection do not allow something.
pub fn denied(who: &Identity) -> ApiError {
    match who.effective() {
        Identity::Anonymous => ApiError::new(Code::Unauthenticated, "Sign in to do this."),
        _ => ApiError::new(Code::Forbidden, "The rules of this collection do not allow this."),
    }
}

fn not_found() -> ApiError {
    ApiError::new(Code::DocumentNotFound, "There is no such document, or you may not do this with it.")
}

#[cfg(test)]
mod tests;
