//! Accounts without address and password, for people who try before they register. Their role says
//! what they are. Claiming one gives it an address, a password and the role of everybody else; what it
//! owns stays its own.

use alyx_core::document::{Access, Document, DocumentError, FieldError, Fresh, parse_create, parse_update};
use alyx_core::identity::{Identity, USER_ROLE};
use alyx_core::schema::Collection;
use alyx_core::value::Value;
use alyx_store::{Account, NewAccount, PasswordCounts};

use super::Auth;
use super::account::{Draft, document_or_errors, field, judge_as_client, require_email, users};
use super::body::AccountBody;
use super::session::{Begun, Client, Method};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::config::Anonymous;
use crate::limits::UPDATE_ATTEMPTS;
use crate::problem::{ApiError, Code, invalid_fields};

/// Role of an account without address.
const ROLE: &str = "anonymous";

impl Auth {
    /// Makes an account without address and password, and signs in.
    pub async fn anonymous(&self, client: &Client) -> Result<Begun, ApiError> {
        if self.0.settings.anonymous == Anonymous::Refused {
            return Err(ApiError::new(Code::AnonymousRefused, "There are no anonymous accounts here."));
        }
        self.allow_register(client)?;
        let catalog = self.0.catalog.load_full();
        let (users, who) = (users(&catalog)?, Identity::Anonymous);
        let document = self.ask_to_register(users, nameless(users)?, &who, client).await?;
        let draft = Draft { document, password: None, password_hash: None, counts: PasswordCounts::AtOnce };
        let account = self.create(draft, Action::AnonymousCreate, &Identity::Anonymous, client).await?;
        self.begin(&account, Method::Anonymous, client).await
    }

    /// Gives the caller's anonymous account an address and a password, and signs in anew.
    pub async fn upgrade(
        &self,
        who: &Identity,
        mut body: AccountBody,
        client: &Client,
    ) -> Result<Begun, ApiError> {
        self.allow_register(client)?;
        let mut account = self.own_account(who).await?;
        let mut errors = Vec::new();
        let email = body.text("email").unwrap_or_default();
        let password = self.new_password(&mut body, &email, &mut errors);
        if password.is_none() && errors.is_empty() {
            errors.push(field("password", "required", "A password is needed."));
        }
        let mut hash = None;
        for _ in 0..UPDATE_ATTEMPTS {
            let facts = self.facts(&account);
            if facts.role != ROLE || !facts.email.is_empty() {
                return Err(ApiError::new(Code::Conflict, "This account is not anonymous."));
            }
            let document = upgraded(&account, &body, &mut errors)?;
            let (Some(document), true) = (document, errors.is_empty()) else {
                return Err(invalid_fields(errors));
            };
            if hash.is_none() {
                hash = Some(self.0.passwords.hash(password.clone().unwrap_or_default()).await?);
            }
            let event = Event::new(Action::Upgrade, who, client).target(format!("user:{}", facts.id));
            let changed = NewAccount { document, password_hash: hash.clone() };
            let store = audit::with(&self.0.store, event);
            match store.change_account(&facts.id, account.document.rev, changed, who.label()).await {
                Err(alyx_store::Error::Stale) => account = self.own_account(who).await?,
                outcome => return self.begin(&outcome?, Method::Upgrade, client).await,
            }
        }
        Err(alyx_store::Error::Stale.into())
    }
}

/// The document of somebody without address.
fn nameless(collection: &Collection) -> Result<Document, DocumentError> {
    let now = clock::now_text();
    let mut fresh = Fresh { now: &now, ids: &mut clock::new_key };
    parse_create(collection, format!("{{\"role\":\"{ROLE}\"}}").as_bytes(), Access::System, &mut fresh)
}

/// The document with what the body says, and with the role of everybody else.
fn upgraded(
    account: &Account,
    body: &AccountBody,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Document>, ApiError> {
    let (collection, old, now) = (&account.users, &account.document, clock::now_text());
    let parse = |body: &[u8], access| parse_update(collection, old, body, access, &now);
    judge_as_client(parse(&body.json(|name| name != "email")?, Access::Client), errors)?;
    let mut document = document_or_errors(parse(&body.json(|_| true)?, Access::System), errors)?;
    require_email(collection, document.as_ref(), errors);
    let role = collection.field("role").and_then(|(place, _)| document.as_mut()?.values.get_mut(place));
    if let Some(role) = role {
        *role = Value::Text(USER_ROLE.to_owned());
    }
    Ok(document)
}
