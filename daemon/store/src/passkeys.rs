//! Passkeys: the public keys of accounts, by the id of their credential. A credential belongs to one
//! account. Its counter only goes up, which is decided here, so that two uses at once cannot both pass.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::mail::{self, NewMail};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, factors, time};

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// What it is called in the API.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What authenticators call it; never given to two.
    pub credential_id: Vec<u8>,
    /// As it was sent.
    pub public_key: Vec<u8>,
    /// Ways to reach its authenticator, separated by commas.
    pub transports: String,
    /// What its owner calls it.
    pub name: String,
    /// Whether it may be copied to other devices of its owner.
    pub backup_eligible: bool,
    /// Whether it has been.
    pub backed_up: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last shown.
    pub last_used_at: Option<Timestamp>,
}

/// A passkey to be stored, and what goes with it.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    /// The passkey; it was made now and never used.
    pub passkey: Passkey,
    /// Its counter.
    pub sign_count: u32,
    /// How many an account may have.
    pub at_most: u32,
    /// Hashes of recovery codes, which are kept if the account had no second factor before.
    pub recovery_codes: Vec<[u8; 32]>,
    /// Mails about it.
    pub mails: Vec<NewMail>,
}

/// What became of a new passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedPasskey {
    /// It is stored.
    Added {
        /// Whether the recovery codes are, too.
        with_codes: bool,
    },
    /// The account has as many as it may have.
    TooMany,
}

/// Input of [`use_one`].
pub(crate) struct Use {
    id: String,
    sign_count: u32,
    backed_up: bool,
}

/// Input of [`rename`].
pub(crate) struct Rename {
    user_id: String,
    id: String,
    name: String,
}

/// Input of [`remove`].
pub(crate) struct Remove {
    user_id: String,
    id: String,
    mails: Vec<NewMail>,
}

const COLUMNS: &str = "id, user_id, credential_id, public_key, transports, name, backup_eligible, backed_up,
                       created_at, last_used_at";

impl Store {
    /// The passkeys of an account, oldest first.
    pub fn passkeys_of(&self, user_id: &str) -> Pending<Vec<Passkey>> {
        let user_id = user_id.to_owned();
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM _alyx_passkeys WHERE user_id = ? ORDER BY created_at, id"
            ))?;
            let mut rows = statement.query([user_id])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(passkey(row)?);
            }
            Ok(found)
        })
    }

    /// The passkey of a credential.
    pub fn passkey_by_credential(&self, credential_id: &[u8]) -> Pending<Option<Passkey>> {
        let credential_id = credential_id.to_owned();
        self.read(Lane::Point, move |connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM _alyx_passkeys WHERE credential_id = ?"))?;
            let mut rows = statement.query([credential_id])?;
            rows.next()?.map(passkey).transpose()
        })
    }

    /// Stores a passkey.
    ///
    /// Fails with [`Error::UniqueViolation`] if the credential belongs to an account already, with
    /// [`Error::NotFound`] if there is no such account.
    pub fn add_passkey(&self, new: NewPasskey) -> Pending<AddedPasskey> {
        self.write(Command::AddPasskey, new)
    }

    /// Notes that a passkey was shown. Answers false, and notes nothing, if its counter did not go up,
    /// unless it never counted.
    pub fn use_passkey(&self, id: &str, sign_count: u32, backed_up: bool) -> Pending<bool> {
        self.write(Command::UsePasskey, Use { id: id.to_owned(), sign_count, backed_up })
    }

    /// Gives a passkey of an account another name. Answers whether there is one.
    pub fn rename_passkey(&self, user_id: &str, id: &str, name: String) -> Pending<bool> {
        self.write(Command::RenamePasskey, Rename { user_id: user_id.to_owned(), id: id.to_owned(), name })
    }

    /// Removes a passkey of an account, and the recovery codes with its last second factor. Answers whether
    /// there was one.
    pub fn remove_passkey(&self, user_id: &str, id: &str, mails: Vec<NewMail>) -> Pending<bool> {
        self.write(Command::RemovePasskey, Remove { user_id: user_id.to_owned(), id: id.to_owned(), mails })
    }
}

fn passkey(row: &Row<'_>) -> Result<Passkey, Error> {
    let used: Option<String> = row.get(9)?;
    Ok(Passkey {
        id: row.get(0)?,
        user_id: row.get(1)?,
        credential_id: row.get(2)?,
        public_key: row.get(3)?,
        transports: row.get(4)?,
        name: row.get(5)?,
        backup_eligible: row.get(6)?,
        backed_up: row.get(7)?,
        created_at: time::from_text(&row.get::<_, String>(8)?)?,
        last_used_at: used.map(|text| time::from_text(&text)).transpose()?,
    })
}

pub(crate) fn add(session: &mut Session<'_>, input: NewPasskey) -> Result<AddedPasskey, Error> {
    let NewPasskey { passkey, sign_count, at_most, recovery_codes, mails } = input;
    let (is_known, count, has_totp): (bool, u32, bool) = session
        .connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM _alyx_credentials WHERE user_id = ?1),
                    (SELECT count(*) FROM _alyx_passkeys WHERE user_id = ?1),
                    EXISTS (SELECT 1 FROM _alyx_totp WHERE user_id = ?1 AND confirmed_at IS NOT NULL)",
        )?
        .query_row([&passkey.user_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if !is_known {
        return Err(Error::NotFound);
    }
    if count >= at_most {
        session.audit = None;
        return Ok(AddedPasskey::TooMany);
    }
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_passkeys (id, user_id, credential_id, public_key, sign_count, transports, name,
             backup_eligible, backed_up, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            passkey.id,
            passkey.user_id,
            passkey.credential_id,
            passkey.public_key,
            sign_count,
            passkey.transports,
            passkey.name,
            passkey.backup_eligible,
            passkey.backed_up,
            time::to_text(passkey.created_at),
        ])?;
    let with_codes = count == 0 && !has_totp;
    if with_codes {
        factors::replace_codes(session, &passkey.user_id, &recovery_codes)?;
    }
    mail::add(session, &mails, true)?;
    Ok(AddedPasskey::Added { with_codes })
}

pub(crate) fn use_one(session: &mut Session<'_>, input: Use) -> Result<bool, Error> {
    let used = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_passkeys SET sign_count = ?2, backed_up = ?3, last_used_at = ?4
             WHERE id = ?1 AND (sign_count < ?2 OR (sign_count = 0 AND ?2 = 0))",
        )?
        .execute(params![input.id, input.sign_count, input.backed_up, session.now])?;
    Ok(used == 1)
}

pub(crate) fn rename(session: &mut Session<'_>, input: Rename) -> Result<bool, Error> {
    let renamed = session
        .connection
        .prepare_cached("UPDATE _alyx_passkeys SET name = ? WHERE id = ? AND user_id = ?")?
        .execute(params![input.name, input.id, input.user_id])?;
    Ok(factors::kept(session, renamed == 1))
}

pub(crate) fn remove(session: &mut Session<'_>, input: Remove) -> Result<bool, Error> {
    let removed: Option<String> = session
        .connection
        .prepare_cached("DELETE FROM _alyx_passkeys WHERE id = ? AND user_id = ? RETURNING user_id")?
        .query_row(params![input.id, input.user_id], |row| row.get(0))
        .optional()?;
    if removed.is_some() {
        factors::drop_codes_without_factor(session, &input.user_id)?;
        mail::add(session, &input.mails, true)?;
    }
    Ok(factors::kept(session, removed.is_some()))
}

/// Removes the passkeys of an account.
pub(crate) fn remove_all_of(session: &Session<'_>, user_id: &str) -> Result<bool, Error> {
    let removed = session
        .connection
        .prepare_cached("DELETE FROM _alyx_passkeys WHERE user_id = ?")?
        .execute([user_id])?;
    Ok(removed > 0)
}
