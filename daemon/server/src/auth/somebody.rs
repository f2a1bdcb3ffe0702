//! An account as the identity it would have, for administrators who ask what somebody may do.

use alyx_core::identity::Identity;

use super::Auth;
use crate::problem::{ApiError, Code};

impl Auth {
    /// The identity of an account, by its id or address. It has no session.
    pub async fn somebody(&self, name: &str) -> Result<Identity, ApiError> {
        let store = &self.0.store;
        let mut found = store.account_by_id(name).await?;
        if found.is_none() && name.contains('@') {
            found = store.account_by_email(name).await?;
        }
        let Some(account) = found else {
            return Err(ApiError::new(Code::DocumentNotFound, format!("There is no account {name:?}.")));
        };
        Ok(self.identity_of(&account, ""))
    }
}
