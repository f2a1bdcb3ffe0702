//! Create one document.

use std::sync::Arc;

use alyx_core::document::{Access, Document, DocumentError, Fresh, parse_create};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::Collection;

use super::{Documents, USERS, access_of, allowed, denied, entry, to_json};
use crate::clock;
use crate::problem::{ApiError, Code};

impl Documents {
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
}

fn parse_new(collection: &Collection, body: &[u8], access: Access) -> Result<Document, DocumentError> {
    let now = clock::now_text();
    parse_create(collection, body, access, &mut Fresh { now: &now, ids: &mut clock::new_key })
}
