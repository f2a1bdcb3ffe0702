//! Making accounts: by their owners and by administrators.
//!
//! The body is a document of `users` with a `password` beside its fields. Owners set their address and
//! the fields that the project added; roles and the like are for administrators.

use alyx_core::document::{Access, Document, DocumentError, FieldError, Fresh, parse_create};
use alyx_core::identity::Identity;
use alyx_core::schema::Collection;
use alyx_core::value::Value;
use alyx_store::{Account, NewAccount, PasswordCounts};
use serde_json::value::RawValue;

use super::Auth;
use super::body::AccountBody;
use super::passwords::{self, Weak};
use super::session::Client;
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::documents::USERS;
use crate::limits::PASSWORD_MAX_BYTES;
use crate::problem::{ApiError, Code, invalid_fields};

/// Who makes an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Somebody, for themselves.
    Owner,
    /// Somebody who shows that they run the service.
    Admin,
}

/// A new account that is not stored yet.
pub(super) struct Draft {
    pub document: Document,
    pub password: Option<String>,
    pub password_hash: Option<String>,
    pub counts: PasswordCounts,
}

impl Auth {
    /// The account of a user as its owner sees it.
    pub async fn me(&self, who: &Identity) -> Result<Box<RawValue>, ApiError> {
        let account = self.own_account(who).await?;
        self.user_json(&account)
    }

    /// The account of somebody who signed in.
    pub(super) async fn own_account(&self, who: &Identity) -> Result<Account, ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        self.0.store.account_by_id(&user.id).await?.ok_or_else(signed_out)
    }

    /// Reads the body of a new account; all wrong fields are reported at once.
    pub(super) fn draft(&self, mut body: AccountBody, by: By) -> Result<Draft, ApiError> {
        let catalog = self.0.catalog.load_full();
        let collection = users(&catalog)?;
        let mut errors = Vec::new();
        let email = body.text("email").unwrap_or_default();
        let password = self.new_password(&mut body, &email, &mut errors);
        let password_hash = match by {
            By::Owner => None,
            By::Admin => imported_hash(&mut body, &mut errors),
        };
        // An account of an administrator's making may have no password: nobody can sign in by one then.
        let given = password.is_some() || !errors.is_empty();
        if by == By::Owner && !given {
            errors.push(field("password", "required", "A password is needed."));
        }
        if password.is_some() && password_hash.is_some() {
            errors.push(field("password_hash", "conflict", "There is a password already."));
        }
        let document = document_of(collection, &body, by, &mut errors)?;
        require_email(collection, document.as_ref(), &mut errors);
        match document {
            Some(document) if errors.is_empty() => {
                Ok(Draft { document, password, password_hash, counts: PasswordCounts::AtOnce })
            }
            _ => Err(invalid_fields(errors)),
        }
    }

    /// Stores a new account.
    pub(super) async fn create(
        &self,
        draft: Draft,
        action: Action,
        who: &Identity,
        client: &Client,
    ) -> Result<Account, ApiError> {
        let password_hash = match draft.password {
            Some(password) => Some(self.0.passwords.hash(password).await?),
            None => draft.password_hash,
        };
        let catalog = self.0.catalog.load_full();
        let (place, _) = users(&catalog)?.primary();
        let id = draft.document.values.get(place).and_then(Value::as_text).unwrap_or_default();
        let event = Event::new(action, who, client).target(format!("user:{id}"));
        let account = NewAccount { document: draft.document, password_hash };
        Ok(audit::with(&self.0.store, event).create_account(account, draft.counts, who.label()).await?)
    }

    /// Takes a new password out of a body and judges it.
    pub(super) fn new_password(
        &self,
        body: &mut AccountBody,
        email: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<String> {
        let password = match body.take("password") {
            Ok(password) => password?,
            Err(error) => {
                errors.push(error);
                return None;
            }
        };
        match self.judge_password(&password, email) {
            Ok(()) => Some(password),
            Err(error) => {
                errors.push(error);
                None
            }
        }
    }

    /// Whether this may be the password of an account with this address.
    pub(super) fn judge_password(&self, password: &str, email: &str) -> Result<(), FieldError> {
        let settings = &self.0.settings;
        let least = settings.min_password_length;
        let (code, message) = match passwords::check(password, least, &settings.password_policy, email) {
            Ok(()) => return Ok(()),
            Err(Weak::TooShort) => {
                ("too_short", format!("The password must have at least {least} characters."))
            }
            Err(Weak::TooLong) => ("too_long", format!("The password may have {PASSWORD_MAX_BYTES} bytes.")),
            Err(Weak::Common) => ("too_common", "The password is one of the most common ones.".to_owned()),
            Err(Weak::Personal) => ("too_personal", "The password contains the address.".to_owned()),
            Err(Weak::Lacks(rule)) => {
                ("too_simple", format!("The password must have {}.", passwords::name_of(rule)))
            }
        };
        Err(field("password", code, message))
    }
}

pub(super) fn signed_out() -> ApiError {
    ApiError::new(Code::Unauthenticated, "Sign in to do this.")
}

pub(super) fn field(name: &str, code: &'static str, message: impl Into<String>) -> FieldError {
    FieldError { field: name.to_owned(), code, message: message.into() }
}

fn imported_hash(body: &mut AccountBody, errors: &mut Vec<FieldError>) -> Option<String> {
    match body.take("password_hash") {
        Ok(Some(hash)) if passwords::is_importable(&hash) => Some(hash),
        Ok(Some(_)) => {
            let message =
                "It must be a hash of Argon2 in PHC form or of bcrypt, of a cost that can be borne.";
            errors.push(field("password_hash", "invalid", message));
            None
        }
        Ok(None) => None,
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

/// Only anonymous accounts have no address.
pub(super) fn require_email(
    collection: &Collection,
    document: Option<&Document>,
    errors: &mut Vec<FieldError>,
) {
    let Some((place, _)) = collection.field("email") else { return };
    let missing = document.is_some_and(|document| document.values.get(place) == Some(&Value::Null));
    if missing && !errors.iter().any(|error| error.field == "email") {
        errors.push(field("email", "required", "An address is needed."));
    }
}

/// The document of the new account, `None` with `errors` where it is wrong.
///
/// An owner's body is judged twice: as a client's, which tells what may be set, and then with the
/// address, which only the server sets, as the server's.
fn document_of(
    collection: &Collection,
    body: &AccountBody,
    by: By,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Document>, ApiError> {
    let now = clock::now_text();
    let parse = |body: &[u8], access| {
        let mut fresh = Fresh { now: &now, ids: &mut clock::new_key };
        parse_create(collection, body, access, &mut fresh)
    };
    if by == By::Owner {
        judge_as_client(parse(&body.json(|name| name != "email")?, Access::Client), errors)?;
    }
    let access = if by == By::Owner { Access::System } else { Access::Admin };
    document_or_errors(parse(&body.json(|_| true)?, access), errors)
}

/// Takes over what a client may not set. The address is judged otherwise.
pub(super) fn judge_as_client(
    parsed: Result<Document, DocumentError>,
    errors: &mut Vec<FieldError>,
) -> Result<(), ApiError> {
    match parsed {
        Err(DocumentError::Fields(found)) => {
            errors.extend(found.into_iter().filter(|error| error.field != "email"));
        }
        Err(other) => return Err(other.into()),
        Ok(_) => {}
    }
    Ok(())
}

/// The document, or `None` with its errors added to those that were found before.
pub(super) fn document_or_errors(
    parsed: Result<Document, DocumentError>,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Document>, ApiError> {
    match parsed {
        Ok(document) => Ok(Some(document)),
        Err(DocumentError::Fields(found)) => {
            let reported: Vec<String> = errors.iter().map(|error| error.field.clone()).collect();
            errors.extend(found.into_iter().filter(|error| !reported.contains(&error.field)));
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

/// The collection of accounts.
pub(super) fn users(catalog: &alyx_core::catalog::Catalog) -> Result<&Collection, ApiError> {
    let entry = catalog.collection(USERS);
    entry
        .map(|entry| entry.collection.as_ref())
        .ok_or_else(|| ApiError::new(Code::CollectionNotFound, "There are no users."))
}
