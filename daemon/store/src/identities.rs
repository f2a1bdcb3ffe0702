//! Who accounts are elsewhere: subjects of OAuth and OpenID Connect providers.
//!
//! A subject belongs to one account, and an account has at most one subject of a provider. They go with
//! their account.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::accounts::{self, Account, NewAccount};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A subject of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Name of the provider in the configuration.
    pub provider: String,
    /// What the provider calls the person; never given to another.
    pub subject: String,
}

/// A subject of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// Name of the provider in the configuration.
    pub provider: String,
    /// When it was linked.
    pub linked_at: Timestamp,
}

/// Input of [`link`].
#[derive(Debug)]
pub(crate) struct Link {
    subject: Subject,
    user_id: String,
}

/// Input of [`create_account`].
#[derive(Debug)]
pub(crate) struct Create {
    account: NewAccount,
    subject: Subject,
    actor: String,
}

/// Input of [`unlink`].
#[derive(Debug)]
pub(crate) struct Unlink {
    user_id: String,
    provider: String,
}

impl Store {
    /// The user whom a subject belongs to.
    pub fn identity_owner(&self, subject: Subject) -> Pending<Option<String>> {
        self.read(Lane::Point, move |connection| {
            Ok(connection
                .prepare_cached("SELECT user_id FROM _alyx_identities WHERE provider = ? AND subject = ?")?
                .query_row(params![subject.provider, subject.subject], |row| row.get(0))
                .optional()?)
        })
    }

    /// The subjects of an account, in order of their providers.
    pub fn identities_of(&self, user_id: &str) -> Pending<Vec<LinkedIdentity>> {
        let user_id = user_id.to_owned();
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT provider, linked_at FROM _alyx_identities WHERE user_id = ? ORDER BY provider",
            )?;
            let mut rows = statement.query([user_id])?;
            let mut identities = Vec::new();
            while let Some(row) = rows.next()? {
                let linked_at = time::from_text(&row.get::<_, String>(1)?)?;
                identities.push(LinkedIdentity { provider: row.get(0)?, linked_at });
            }
            Ok(identities)
        })
    }

    /// Gives a subject to an account.
    ///
    /// Fails with [`Error::UniqueViolation`] if the subject has an account or the account has a subject of
    /// this provider, with [`Error::NotFound`] if there is no such account.
    pub fn link_identity(&self, subject: Subject, user_id: &str) -> Pending<()> {
        self.write(Command::LinkIdentity, Link { subject, user_id: user_id.to_owned() })
    }

    /// Creates an account that has a subject from the start.
    ///
    /// Fails with [`Error::UniqueViolation`] if the address or the subject has one.
    pub fn create_linked_account(
        &self,
        account: NewAccount,
        subject: Subject,
        actor: String,
    ) -> Pending<Account> {
        self.write(Command::CreateLinkedAccount, Create { account, subject, actor })
    }

    /// Takes the subject of a provider from an account; false if it has none.
    pub fn unlink_identity(&self, user_id: &str, provider: &str) -> Pending<bool> {
        let (user_id, provider) = (user_id.to_owned(), provider.to_owned());
        self.write(Command::UnlinkIdentity, Unlink { user_id, provider })
    }
}

pub(crate) fn link(session: &mut Session<'_>, input: Link) -> Result<(), Error> {
    let Link { subject, user_id } = input;
    let known: bool = session
        .connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM _alyx_credentials WHERE user_id = ?)")?
        .query_row([&user_id], |row| row.get(0))?;
    if !known {
        return Err(Error::NotFound);
    }
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_identities (provider, subject, user_id, linked_at) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![subject.provider, subject.subject, user_id, session.now])?;
    Ok(())
}

pub(crate) fn create_account(session: &mut Session<'_>, input: Create) -> Result<Account, Error> {
    let Create { account, subject, actor } = input;
    let account = accounts::create_with(session, account, &actor)?;
    let (place, _) = account.users.primary();
    let user_id = account.document.values[place].as_text().unwrap_or_default().to_owned();
    link(session, Link { subject, user_id })?;
    Ok(account)
}

pub(crate) fn unlink(session: &mut Session<'_>, input: Unlink) -> Result<bool, Error> {
    let removed = session
        .connection
        .prepare_cached("DELETE FROM _alyx_identities WHERE user_id = ? AND provider = ?")?
        .execute(params![input.user_id, input.provider])?;
    Ok(removed > 0)
}
