//! Several reads and writes as one, decided step by step: all of them are committed together, or none is.
//!
//! The writer is lent meanwhile, so the time is bounded. Rules and validation are those of every other
//! operation, since the operations are the same; what was written is seen by them at once, and by
//! everybody else, changes and the cache of accounts among them, once it is committed.

use std::sync::PoisonError;
use std::time::Duration;

use alyx_store::Interactive;

use super::{Documents, Later};
use crate::problem::ApiError;

/// A transaction that is open. Dropping it undoes what was done in it.
pub struct OpenTransaction {
    documents: Documents,
    lent: Interactive,
}

impl Documents {
    /// Begins a transaction that lasts at most `limit`, once those are over that were asked for before.
    pub async fn begin(&self, limit: Duration) -> Result<OpenTransaction, ApiError> {
        let lent = self.store.begin(limit).await?;
        let documents = Self { store: lent.store().clone(), later: Some(Later::default()), ..self.clone() };
        Ok(OpenTransaction { documents, lent })
    }
}

impl OpenTransaction {
    /// The service within the transaction.
    pub const fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Makes everything durable that was written. If this fails, nothing of it remains.
    pub async fn commit(&self) -> Result<(), ApiError> {
        self.lent.commit().await?;
        let later = self
            .documents
            .later
            .as_deref()
            .map(|later| std::mem::take(&mut *later.lock().unwrap_or_else(PoisonError::into_inner)));
        self.documents.tell_all(later.unwrap_or_default()).await;
        Ok(())
    }
}
