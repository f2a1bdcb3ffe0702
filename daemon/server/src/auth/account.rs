//! Making accounts: by their owners and by administrators.
//!
//! The body is a document of `users` with a `password` beside its fields. Owners set their address and
//! the fields that the project added; roles and the like are for administrators.

use std::fmt;

use alyx_core::document::{Access, Document, DocumentError, FieldError, Fresh, parse_create};
use alyx_core::identity::Identity;
use alyx_core::schema::Collection;
use alyx_store::{Account, NewAccount, Store};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Auth;
use super::passwords::{self, Weak};
use super::session::{Begun, Client, Method};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::config::Registration;
use crate::documents::USERS;
use crate::limits::PASSWORD_MAX_BYTES;
use crate::problem::{ApiError, Code, internal, invalid_fields};

/// Who makes an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Owner,
    Admin,
}

/// A body with a `password` beside the fields of a document. Everything is kept as it was written,
/// twice if it was there twice; the document parser is the one that judges.
#[derive(Debug)]
pub struct NewUser {
    fields: Vec<(String, Box<RawValue>)>,
    password: Option<Box<RawValue>>,
}

impl Auth {
    /// Makes an account for a stranger and signs in.
    pub async fn register(&self, user: NewUser, client: &Client) -> Result<Begun, ApiError> {
        if self.0.settings.registration == Registration::Closed {
            return Err(ApiError::new(Code::RegistrationClosed, "Only administrators make accounts here."));
        }
        self.allow_register(client)?;
        let event = Event::new(Action::Register, &Identity::Anonymous, client);
        let store = audit::with(&self.0.store, event);
        let account = self.create(user, By::Owner, &Identity::Anonymous, &store).await?;
        self.begin(&account, Method::Registration, client).await
    }

    /// Makes an account on behalf of an administrator and gives it as JSON.
    pub async fn create_user(
        &self,
        user: NewUser,
        who: &Identity,
        client: &Client,
    ) -> Result<Vec<u8>, ApiError> {
        let event = Event::new(Action::UserCreate, who, client);
        let store = audit::with(&self.0.store, event);
        let account = self.create(user, By::Admin, who, &store).await?;
        Ok(crate::documents::to_json(&account.users, &account.document, &Access::Admin.into()))
    }

    /// The account of a user as its owner sees it.
    pub async fn me(&self, who: &Identity) -> Result<Box<RawValue>, ApiError> {
        let signed_out = || ApiError::new(Code::Unauthenticated, "Sign in to see your account.");
        let user = who.user().ok_or_else(signed_out)?;
        let account = self.0.store.account_by_id(&user.id).await?.ok_or_else(signed_out)?;
        self.user_json(&account)
    }

    async fn create(
        &self,
        user: NewUser,
        by: By,
        who: &Identity,
        store: &Store,
    ) -> Result<Account, ApiError> {
        let catalog = self.0.catalog.load_full();
        let collection = users(&catalog)?;
        let mut errors = Vec::new();
        let password = self.password_of(&user, by, &mut errors);
        let document = document_of(collection, &user, by, &mut errors)?;
        let (Some(document), true) = (document, errors.is_empty()) else {
            return Err(invalid_fields(errors));
        };
        let password_hash = match password {
            Some(password) => Some(self.0.passwords.hash(password).await?),
            None => None,
        };
        let account = NewAccount { document, password_hash };
        Ok(store.create_account(account, who.label()).await?)
    }

    fn password_of(&self, user: &NewUser, by: By, errors: &mut Vec<FieldError>) -> Option<String> {
        let mut wrong = |code, message: String| {
            errors.push(FieldError { field: "password".to_owned(), code, message });
            None
        };
        let Some(raw) = &user.password else {
            return match by {
                By::Owner => wrong("required", "A password is needed.".to_owned()),
                // An account that nobody can sign in to by password.
                By::Admin => None,
            };
        };
        let Ok(password) = serde_json::from_str::<String>(raw.get()) else {
            return wrong("invalid_type", "The password must be text.".to_owned());
        };
        let least = self.0.settings.min_password_length;
        match passwords::check(&password, least) {
            Ok(()) => Some(password),
            Err(Weak::TooShort) => {
                wrong("too_short", format!("The password must have at least {least} characters."))
            }
            Err(Weak::TooLong) => {
                wrong("too_long", format!("The password may have {PASSWORD_MAX_BYTES} bytes."))
            }
            Err(Weak::Common) => {
                wrong("too_common", "This password is one of the first that are guessed.".to_owned())
            }
        }
    }
}

/// The document of the new account, `None` with `errors` where it is wrong.
///
/// An owner's body is judged twice: as a client's, which tells what may be set, and then with the
/// address, which only the server sets, as the server's.
fn document_of(
    collection: &Collection,
    user: &NewUser,
    by: By,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Document>, ApiError> {
    let now = clock::now_text();
    let parse = |body: &[u8], access| {
        let mut fresh = Fresh { now: &now, ids: &mut clock::new_key };
        parse_create(collection, body, access, &mut fresh)
    };
    if by == By::Owner {
        match parse(&user.body(|name| name != "email")?, Access::Client) {
            // The address is checked below.
            Err(DocumentError::Fields(found)) => {
                errors.extend(found.into_iter().filter(|error| error.field != "email"))
            }
            Err(other) => return Err(other.into()),
            Ok(_) => {}
        }
    }
    let access = if by == By::Owner { Access::System } else { Access::Admin };
    match parse(&user.body(|_| true)?, access) {
        Ok(document) => Ok(Some(document)),
        Err(DocumentError::Fields(found)) => {
            let reported: Vec<String> = errors.iter().map(|error| error.field.clone()).collect();
            errors.extend(found.into_iter().filter(|error| !reported.contains(&error.field)));
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

fn users(catalog: &alyx_core::catalog::Catalog) -> Result<&Collection, ApiError> {
    let entry = catalog.collection(USERS);
    entry
        .map(|entry| entry.collection.as_ref())
        .ok_or_else(|| ApiError::new(Code::CollectionNotFound, "There are no users."))
}

impl NewUser {
    /// The fields as the JSON they came as.
    fn body(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>, ApiError> {
        let mut out = vec![b'{'];
        for (name, value) in self.fields.iter().filter(|(name, _)| wanted(name)) {
            if out.len() > 1 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, name).map_err(|error| internal("copy a body", &error))?;
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Ok(out)
    }
}

impl<'de> Deserialize<'de> for NewUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = NewUser;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<NewUser, A::Error> {
                let mut user = NewUser { fields: Vec::new(), password: None };
                while let Some((name, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    if name != "password" {
                        user.fields.push((name, value));
                    } else if user.password.replace(value).is_some() {
                        return Err(serde::de::Error::custom("the password is there twice"));
                    }
                }
                Ok(user)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::NewUser;

    #[test]
    fn bodies_keep_what_was_written() {
        let text = r#"{"email":"a@b.c","n":12345678901234567890.5,"password":"x","n":1}"#;
        let user: NewUser = serde_json::from_str(text).unwrap();
        let body = String::from_utf8(user.body(|_| true).unwrap()).unwrap();
        assert_eq!(body, r#"{"email":"a@b.c","n":12345678901234567890.5,"n":1}"#);
        assert_eq!(user.password.unwrap().get(), "\"x\"");
        assert!(serde_json::from_str::<NewUser>(r#"{"password":"x","password":"y"}"#).is_err());
        assert!(serde_json::from_str::<NewUser>("[]").is_err());
    }
}
