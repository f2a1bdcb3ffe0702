//! Change one document.

use std::sync::Arc;

use alyx_core::document::parse_update;
use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, Judge, USERS, access_of, entry, not_found};
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
        let judge = Judge::new(&self.store, entry, who, facts).with_body(body);
        for _ in 0..UPDATE_ATTEMPTS {
            let old = self.load(entry, id).await?;
            if entry.update.is_none() && !who.is_admin() {
                return Err(not_found());
            }
            let parsed = parse_update(&entry.collection, &old, body, access_of(who), &clock::now_text());
            let new = match parsed {
                Ok(new) => new,
                // Only somebody who may see the document learns more than that it cannot be found.
                Err(_) if !judge.allows(entry.get.as_ref(), Some(&old), None).await? => {
                    return Err(not_found());
                }
                Err(error) => return Err(error.into()),
            };
            if !judge.allows(entry.update.as_ref(), Some(&new), Some(&old)).await? {
                return Err(not_found());
            }
            judge.check_written(body, &new, Some(&old)).await?;
            let shared = Arc::clone(&entry.collection);
            match self.store.update(shared, id.to_owned(), old.rev, new, who.label()).await {
                Err(alyx_store::Error::Stale) => {}
                outcome => {
                    if collection == USERS {
                        self.users.forget(id);
                    }
                    return judge.show(&outcome?).await;
                }
            }
        }
        Err(alyx_store::Error::Stale.into())
    }
}
