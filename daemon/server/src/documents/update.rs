//! Change fields of one document.

use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::scope::Touch;

use super::writing::Change;
use super::{Documents, Precondition, Written, access_of, entry, not_found};
use crate::problem::ApiError;

impl Documents {
    /// Changes a document. The rule sees the document as it was and as it would be.
    pub async fn update(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
        body: &[u8],
        precondition: Precondition,
    ) -> Result<Written, ApiError> {
        let catalog = self.catalog.load_full();
        let found = entry(&catalog, collection)?;
        if found.update.is_none() && !who.is_free_of_rules(collection, Touch::Write) {
            return Err(not_found());
        }
        let change = Change::parse(found, body, access_of(who))?;
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.write(catalog, who, facts, move |writing| {
            writing.update(&collection, &id, &change, &precondition)
        })
        .await
    }
}
