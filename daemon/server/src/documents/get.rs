//! Get one document.

use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, Judge, entry, not_found};
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
        let judge = Judge::new(&self.store, entry, who, facts);
        if !judge.allows(entry.get.as_ref(), Some(&document), None).await? {
            return Err(not_found());
        }
        judge.show(&document).await
    }
}
