//! Change one's own document in `users`. Whoever has an account may edit its profile, whatever the
//! collection's update rule says of others; rules of single fields hold all the same.

use alyx_core::document::Access;
use alyx_core::identity::{Identity, RequestFacts};

use super::writing::Change;
use super::{Documents, USERS, denied, entry};
use crate::problem::ApiError;

impl Documents {
    /// Changes the caller's own document and gives it as JSON.
    pub async fn update_profile(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        body: &[u8],
    ) -> Result<Vec<u8>, ApiError> {
        let user = who.user().ok_or_else(|| denied(&Identity::Anonymous))?;
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, USERS)?;
        let change = Change::parse(entry, body, Access::Client)?;
        let id = user.id.clone();
        let written = self.write(catalog, who, facts, move |writing| writing.update_own(&id, &change));
        Ok(written.await?.json)
    }
}
