//! Delete one document.

use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, Precondition, entry};
use crate::problem::ApiError;

impl Documents {
    /// Deletes a document, with what its relations say goes with it.
    pub async fn delete(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
        precondition: Precondition,
    ) -> Result<(), ApiError> {
        let catalog = self.catalog.load_full();
        entry(&catalog, collection)?;
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.write(catalog, who, facts, move |writing| writing.delete(&collection, &id, &precondition)).await
    }
}
