//! Change one's own document in `users`. Whoever has an account may edit its profile, whatever the
//! collection's update rule says of others; rules of single fields hold all the same.

use std::sync::Arc;

use alyx_core::document::{Access, parse_update};
use alyx_core::identity::{Identity, RequestFacts};

use super::{Documents, Judge, USERS, denied, entry};
use crate::audit::{self, Event};
use crate::clock;
use crate::limits::UPDATE_ATTEMPTS;
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
        let judge = Judge::new(&self.store, entry, who, facts).with_body(body);
        for _ in 0..UPDATE_ATTEMPTS {
            let old = self.load(entry, &user.id).await?;
            let new = parse_update(&entry.collection, &old, body, Access::Client, &clock::now_text())?;
            judge.check_written(body, &new, Some(&old)).await?;
            let shared = Arc::clone(&entry.collection);
            match self.store.update(shared, user.id.clone(), old.rev, new, who.label()).await {
                Err(alyx_store::Error::Stale) => {}
                outcome => {
                    self.users.forget(&user.id);
                    return judge.show(&outcome?).await;
                }
            }
        }
        Err(alyx_store::Error::Stale.into())
    }

    /// The same service for one write, with which the event is recorded.
    pub fn audited(&self, event: Event) -> Self {
        Self { store: audit::with(&self.store, event), ..self.clone() }
    }
}
