//! Get one document.

use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, access_of, allowed, entry, not_found, to_json};
use crate::problem::ApiError;

impl Documents {
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
}
