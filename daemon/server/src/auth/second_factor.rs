//! Where a second factor is demanded: after the first one, before there is a session.

use alyx_store::Account;
use serde::Serialize;

use super::Auth;
use super::session::{Client, Method};
use crate::problem::ApiError;

/// The question for a second factor, as it is answered instead of tokens.
#[derive(Debug, Serialize)]
pub struct SecondFactor {
    mfa_required: bool,
    /// Stands for the first factor when the second one is shown.
    mfa_token: String,
    /// What may be shown, such as `totp`.
    methods: Vec<&'static str>,
}

impl Auth {
    /// What the account's owner has to show besides what they showed by `method`; `None` if nothing.
    pub(super) async fn second_factor(
        &self,
        _account: &Account,
        _method: Method,
        _client: &Client,
    ) -> Result<Option<SecondFactor>, ApiError> {
        Ok(None)
    }
}
