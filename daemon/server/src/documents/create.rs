//! Create one document.

use std::sync::Arc;

use alyx_core::document::{Access, Document, DocumentError, Fresh, parse_create};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::Collection;

use super::{Documents, Judge, USERS, access_of, denied, entry};
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
        let judge = Judge::new(&self.store, entry, who, facts).with_body(body);
        if !judge.allows(entry.create.as_ref(), Some(&document), None).await? {
            return Err(denied(who));
        }
        judge.check_written(body, &document, None).await?;
        let created = self.store.create(Arc::clone(&entry.collection), document, who.label()).await?;
        judge.show(&created).await
    }
}

fn parse_new(collection: &Collection, body: &[u8], access: Access) -> Result<Document, DocumentError> {
    let now = clock::now_text();
    parse_create(collection, body, access, &mut Fresh { now: &now, ids: &mut clock::new_key })
}
