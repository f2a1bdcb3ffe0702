//! Change one document.

use std::sync::Arc;

use alyx_core::document::parse_update;
use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, USERS, access_of, allowed, entry, not_found, to_json};
use crate::clock;
use crate::limits::UPDATE_ATTEMPTS;
use crate::problem::ApiError;

impl Documents {
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
}
