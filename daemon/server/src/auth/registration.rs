//! Making an account for a stranger.
//!
//! Where `auth.registration` is `verified`, nothing tells whether the address has an account: not the answer,
//! not its time, and not whether the password that was sent along signs in, because none does before the
//! address is verified. Only a mail to the address tells its owner.

use alyx_core::identity::Identity;
use alyx_store::PasswordCounts;

use super::Auth;
use super::account::{By, Draft, users};
use super::body::AccountBody;
use super::session::{Begun, Client, Method};
use crate::audit::{self, Action, Event};
use crate::config::Registration;
use crate::problem::{ApiError, Code};

impl Auth {
    /// Makes an account for a stranger and signs in; `None` where the address has to be verified first.
    ///
    /// # Errors
    /// `registration_closed`, `validation_failed`; `unique_violation` about the address only where
    /// addresses are not verified first.
    pub async fn register(&self, body: AccountBody, client: &Client) -> Result<Option<Begun>, ApiError> {
        if self.0.settings.registration == Registration::Closed {
            return Err(ApiError::new(Code::RegistrationClosed, "Only administrators make accounts here."));
        }
        self.allow_register(client)?;
        let email = body.text("email").unwrap_or_default();
        let mut draft = self.draft(body, By::Owner)?;
        let catalog = self.0.catalog.load_full();
        let who = Identity::Anonymous;
        draft.document = self.ask_to_register(users(&catalog)?, draft.document, &who, client).await?;
        if self.0.settings.registration == Registration::Verified {
            let draft = Draft { counts: PasswordCounts::OnceVerified, ..draft };
            self.register_unseen(draft, &email, client).await?;
            return Ok(None);
        }
        let account = self.create(draft, Action::Register, &Identity::Anonymous, client).await?;
        self.welcome(&account, client).await?;
        self.begin(&account, Method::Registration, client).await.map(Some)
    }

    /// Both ways hash the password, try to write the account, and write one row, one link and one mail.
    ///
    /// That the address is taken is the last thing that is found wrong with an account, so every other
    /// refusal is the same for all addresses.
    async fn register_unseen(&self, draft: Draft, email: &str, client: &Client) -> Result<(), ApiError> {
        self.0.mail.needed()?;
        self.allow_mail(email, client)?;
        let taken = match self.create(draft, Action::Register, &Identity::Anonymous, client).await {
            Ok(account) => return self.welcome(&account, client).await,
            Err(error) if error.is(Code::UniqueViolation) && error.names("email") => error,
            Err(error) => return Err(error),
        };
        let Some(account) = self.0.store.account_by_email(email).await? else { return Err(taken) };
        let event = Event::new(Action::Register, &Identity::Anonymous, client)
            .target(format!("user:{}", self.facts(&account).id));
        audit::record(&self.0.store, event.denied()).await;
        self.tell_registered(&account, client).await
    }
}
