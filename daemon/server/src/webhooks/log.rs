//! What webhooks delivered, as administrators see it, and delivering it again.

use alyx_store::DeliveryRow;

use super::{KIND, Webhooks};
use crate::audit::{self, Event};
use crate::made::Keeper;
use crate::problem::{ApiError, Code};

impl Webhooks {
    /// Attempts of a webhook, newest first. Those of one that is gone are still told.
    pub async fn deliveries(
        &self,
        id: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, ApiError> {
        let rows = self.0.store.deliveries(id, before, limit).await?;
        if rows.is_empty() {
            self.registry().get(id)?;
        }
        Ok(rows)
    }

    /// Makes a delivery again, under the same id.
    pub async fn redeliver(&self, id: &str, delivery: &str, event: Event) -> Result<(), ApiError> {
        self.registry().get(id)?;
        let gone = || ApiError::new(Code::DeliveryNotFound, "There is no such delivery, or not any more.");
        let (job, _) = self.0.store.job(delivery).await?.ok_or_else(gone)?;
        if job.kind != KIND || job.target != id {
            return Err(gone());
        }
        let store = audit::with(&self.0.store, event.target(format!("webhook:{id}")));
        store.replay_job(delivery).await.map_err(|error| match error {
            alyx_store::Error::NotFound => gone(),
            alyx_store::Error::Stale => ApiError::new(Code::Conflict, "The delivery is not settled yet."),
            error => error.into(),
        })
    }
}
