//! Delete one document.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::FieldKind;

use super::{Documents, Judge, USERS, entry, not_found};
use crate::limits::UPDATE_ATTEMPTS;
use crate::problem::ApiError;

impl Documents {
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
        let judge = Judge::new(&self.store, entry, who, facts);
        for _ in 0..UPDATE_ATTEMPTS {
            let old = self.load(entry, id).await?;
            if !judge.allows(entry.delete.as_ref(), Some(&old), Some(&old)).await? {
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
}

fn users_refer_to_others(catalog: &Catalog) -> bool {
    let relation = |kind: &FieldKind| matches!(kind, FieldKind::Relation { .. });
    catalog
        .collection(USERS)
        .is_some_and(|users| users.collection.fields.iter().any(|field| relation(&field.kind)))
}
