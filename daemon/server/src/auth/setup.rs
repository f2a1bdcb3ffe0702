//! The first administrator, where nobody can run a command on the host: whoever has the token that was
//! printed at the start makes the account. Registering never makes an administrator.
//!
//! The token is for one use and for an hour, and exists only while there is no administrator.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alyx_core::identity::{ADMIN_ROLE, Identity};
use alyx_core::value::Value;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Auth;
use super::account::By;
use super::body::AccountBody;
use super::session::{Begun, Client, Method};
use crate::audit::Action;
use crate::clock;
use crate::limits::SETUP_TOKEN_TTL;
use crate::problem::{ApiError, Code, invalid_fields};

/// The token, as long as it is good.
#[derive(Default)]
pub struct Setup(Mutex<Option<(String, Instant)>>);

impl Setup {
    fn offer(&self) -> String {
        let token = URL_SAFE_NO_PAD.encode(clock::random::<32>());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), Instant::now()));
        token
    }

    /// Takes the token if `shown` is it. Nobody else can use it until it is put back.
    fn take(&self, shown: &str) -> Option<(String, Instant)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |(token, since): &(String, Instant)| {
            let equal = verify_slices_are_equal(token.as_bytes(), shown.as_bytes()).is_ok();
            equal && since.elapsed() < SETUP_TOKEN_TTL
        };
        if kept.as_ref().is_some_and(is_good) { kept.take() } else { None }
    }

    fn put_back(&self, token: (String, Instant)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}

impl Auth {
    /// A new token if there is no administrator yet; the one before it is worth nothing.
    pub async fn offer_setup(&self) -> Result<Option<String>, alyx_store::Error> {
        Ok((self.0.store.admin_count().await? == 0).then(|| self.0.setup.offer()))
    }

    /// Makes the first administrator and signs in.
    pub async fn setup(&self, mut body: AccountBody, client: &Client) -> Result<Begun, ApiError> {
        self.allow_register(client)?;
        let shown = body.take("token").map_err(|error| invalid_fields(vec![error]))?.unwrap_or_default();
        let Some(token) = self.0.setup.take(&shown) else {
            let detail =
                "The token is not the one that was printed at the start, or was used, or is too old.";
            return Err(ApiError::new(Code::SetupRefused, detail));
        };
        let outcome = self.first_admin(body, client).await;
        if outcome.is_err() {
            self.0.setup.put_back(token);
        }
        outcome
    }

    async fn first_admin(&self, body: AccountBody, client: &Client) -> Result<Begun, ApiError> {
        if self.0.store.admin_count().await? > 0 {
            return Err(ApiError::new(Code::SetupRefused, "There is an administrator already."));
        }
        let mut draft = self.draft(body, By::Owner)?;
        let catalog = self.0.catalog.load_full();
        let collection = super::account::users(&catalog)?;
        let role = collection.field("role").and_then(|(place, _)| draft.document.values.get_mut(place));
        if let Some(role) = role {
            *role = Value::Text(ADMIN_ROLE.to_owned());
        }
        let account = self.create(draft, Action::Setup, &Identity::Anonymous, client).await?;
        self.begin(&account, Method::Registration, client).await
    }
}

#[cfg(test)]
mod tests {
    use super::Setup;

    #[test]
    fn a_token_is_good_once() {
        let setup = Setup::default();
        assert!(setup.take("").is_none());
        let token = setup.offer();
        assert!(setup.take("x").is_none());
        assert!(setup.take("").is_none());
        let taken = setup.take(&token).unwrap();
        assert!(setup.take(&token).is_none());
        setup.put_back(taken);
        assert!(setup.take(&token).is_some());
        let next = setup.offer();
        assert!(setup.take(&token).is_none());
        assert!(setup.take(&next).is_some());
    }
}
