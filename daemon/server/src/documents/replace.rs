//! Replace one document as a whole, or create it under an id that the client chose.

use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, Precondition, Written, entry};
use crate::problem::ApiError;

impl Documents {
    /// Replaces a document. Where clients may set the primary field, a document that does not exist is
    /// created.
    pub async fn replace(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
        body: &[u8],
        precondition: Precondition,
    ) -> Result<Written, ApiError> {
        let catalog = self.catalog.load_full();
        entry(&catalog, collection)?;
        let (collection, id, body) = (collection.to_owned(), id.to_owned(), body.to_vec());
        self.write(catalog, who, facts, move |writing| {
            writing.replace(&collection, &id, &body, &precondition)
        })
        .await
    }
}
