//! Second factors: the shared secret of one-time passwords (TOTP) and recovery codes.
//!
//! Secrets come in encrypted; recovery codes as hashes. An attempt is counted before the caller
//! compares, so guesses made at once cannot outrun the count.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use crate::limits::{TOTP_FAILURES_MAX, TOTP_FAILURES_WINDOW};
use crate::mail::{self, NewMail};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, passkeys, time};

/// What an account has besides its password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// One-time passwords are set up and confirmed.
    pub totp: bool,
    /// Passkeys that are registered.
    pub passkeys: u32,
    /// Recovery codes that were not used.
    pub recovery_codes: u32,
}

impl Factors {
    /// Whether there is something that recovery codes could stand in for.
    #[must_use]
    pub const fn any(self) -> bool {
        self.totp || self.passkeys > 0
    }
}

/// Whether a one-time password may be tried.
#[derive(Clone, PartialEq, Eq)]
pub enum TotpAttempt {
    /// The account has none.
    None,
    /// Too many were wrong lately.
    Exhausted {
        /// When the next may be tried.
        until: Timestamp,
    },
    /// It may; the attempt is counted as failed until [`Store::accept_totp`].
    Ready {
        /// The secret, encrypted.
        sealed_secret: Vec<u8>,
        /// Whether it was confirmed.
        confirmed: bool,
    },
}

/// Input of [`enroll`].
pub(crate) struct Enroll {
    user_id: String,
    sealed_secret: Vec<u8>,
}

/// Input of [`attempt`].
pub(crate) struct Attempt(String);

/// Input of [`accept`].
pub(crate) struct Accept {
    user_id: String,
    step: i64,
    confirm: Option<Confirm>,
}

/// What is stored when the first code shows that the secret arrived.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// Hashes of the recovery codes.
    pub recovery_codes: Vec<[u8; 32]>,
    /// Mails about it.
    pub mails: Vec<NewMail>,
}

/// Input of [`remove`].
pub(crate) struct Remove {
    user_id: String,
    mails: Vec<NewMail>,
}

/// Input of [`set_recovery_codes`].
pub(crate) struct SetRecoveryCodes {
    user_id: String,
    hashes: Vec<[u8; 32]>,
}

/// Input of [`use_recovery_code`].
pub(crate) struct UseRecoveryCode {
    user_id: String,
    hash: [u8; 32],
}

impl Store {
    /// What the account has besides its password.
    pub fn factors(&self, user_id: &str) -> Pending<Factors> {
        let user_id = user_id.to_owned();
        self.read(Lane::Point, move |connection| {
            let factors = connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM _alyx_totp WHERE user_id = ?1 AND confirmed_at IS NOT NULL),
                            (SELECT count(*) FROM _alyx_passkeys WHERE user_id = ?1),
                            (SELECT count(*) FROM _alyx_recovery_codes WHERE user_id = ?1)",
                )?
                .query_row([user_id], |row| {
                    Ok(Factors { totp: row.get(0)?, passkeys: row.get(1)?, recovery_codes: row.get(2)? })
                })?;
            Ok(factors)
        })
    }

    /// Keeps a secret that waits to be confirmed. Answers false, and keeps the old one, if the account
    /// has a confirmed one.
    pub fn enroll_totp(&self, user_id: &str, sealed_secret: Vec<u8>) -> Pending<bool> {
        self.write(Command::EnrollTotp, Enroll { user_id: user_id.to_owned(), sealed_secret })
    }

    /// Counts an attempt and gives what is needed to judge it.
    pub fn attempt_totp(&self, user_id: &str) -> Pending<TotpAttempt> {
        self.write(Command::AttemptTotp, Attempt(user_id.to_owned()))
    }

    /// Accepts a code of this time step, and confirms the secret if `confirm` is some. Answers false if a
    /// code of this or a later step was accepted before, or the secret was confirmed before.
    pub fn accept_totp(&self, user_id: &str, step: i64, confirm: Option<Confirm>) -> Pending<bool> {
        self.write(Command::AcceptTotp, Accept { user_id: user_id.to_owned(), step, confirm })
    }

    /// Removes the secret, and the recovery codes unless passkeys are left. Answers whether there was one.
    pub fn remove_totp(&self, user_id: &str, mails: Vec<NewMail>) -> Pending<bool> {
        self.write(Command::RemoveTotp, Remove { user_id: user_id.to_owned(), mails })
    }

    /// Removes every second factor and the recovery codes. Answers whether there was any.
    pub fn remove_factors(&self, user_id: &str, mails: Vec<NewMail>) -> Pending<bool> {
        self.write(Command::RemoveFactors, Remove { user_id: user_id.to_owned(), mails })
    }

    /// Replaces the recovery codes.
    pub fn set_recovery_codes(&self, user_id: &str, hashes: Vec<[u8; 32]>) -> Pending<()> {
        self.write(Command::SetRecoveryCodes, SetRecoveryCodes { user_id: user_id.to_owned(), hashes })
    }

    /// Uses a recovery code up. Answers whether it was there.
    pub fn use_recovery_code(&self, user_id: &str, hash: [u8; 32]) -> Pending<bool> {
        self.write(Command::UseRecoveryCode, UseRecoveryCode { user_id: user_id.to_owned(), hash })
    }
}

pub(crate) fn enroll(session: &mut Session<'_>, input: Enroll) -> Result<bool, Error> {
    let stored = session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_totp (user_id, sealed_secret, created_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (user_id) DO UPDATE SET sealed_secret = ?2, created_at = ?3, last_step = 0
             WHERE confirmed_at IS NULL",
        )?
        .execute(params![input.user_id, input.sealed_secret, session.now])?;
    Ok(kept(session, stored == 1))
}

pub(crate) fn attempt(session: &mut Session<'_>, Attempt(user_id): Attempt) -> Result<TotpAttempt, Error> {
    let found = session
        .connection
        .prepare_cached(
            "SELECT sealed_secret, confirmed_at IS NOT NULL, failures, failures_since FROM _alyx_totp
             WHERE user_id = ?",
        )?
        .query_row([&user_id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?, row.get::<_, Option<String>>(3)?))
        })
        .optional()?;
    let Some((sealed_secret, confirmed, failures, since)) = found else { return Ok(TotpAttempt::None) };
    let now = time::from_text(&session.now)?;
    let window_end = match since {
        Some(since) => {
            time::from_text(&since)? + SignedDuration::try_from(TOTP_FAILURES_WINDOW).unwrap_or_default()
        }
        None => now,
    };
    let is_over = window_end <= now;
    if !is_over && failures >= TOTP_FAILURES_MAX {
        return Ok(TotpAttempt::Exhausted { until: window_end });
    }
    session
        .connection
        .prepare_cached(
            "UPDATE _alyx_totp SET failures = CASE WHEN ?1 THEN 1 ELSE failures + 1 END,
             failures_since = CASE WHEN ?1 THEN ?2 ELSE failures_since END WHERE user_id = ?3",
        )?
        .execute(params![is_over, session.now, user_id])?;
    Ok(TotpAttempt::Ready { sealed_secret, confirmed })
}

pub(crate) fn accept(session: &mut Session<'_>, input: Accept) -> Result<bool, Error> {
    let Accept { user_id, step, confirm } = input;
    let updated = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_totp SET last_step = ?1, failures = 0, failures_since = NULL,
             confirmed_at = coalesce(confirmed_at, ?2)
             WHERE user_id = ?3 AND last_step < ?1 AND (confirmed_at IS NULL) = ?4",
        )?
        .execute(params![step, session.now, user_id, confirm.is_some()])?;
    if let (1, Some(confirm)) = (updated, confirm) {
        replace_codes(session, &user_id, &confirm.recovery_codes)?;
        mail::add(session, &confirm.mails, true)?;
    }
    Ok(kept(session, updated == 1))
}

pub(crate) fn remove(session: &mut Session<'_>, Remove { user_id, mails }: Remove) -> Result<bool, Error> {
    let removed = remove_secret(session, &user_id)?;
    drop_codes_without_factor(session, &user_id)?;
    if removed {
        mail::add(session, &mails, true)?;
    }
    Ok(kept(session, removed))
}

pub(crate) fn remove_all(session: &mut Session<'_>, input: Remove) -> Result<bool, Error> {
    let removed = remove_all_of(session, &input.user_id)?;
    if removed {
        mail::add(session, &input.mails, true)?;
    }
    Ok(kept(session, removed))
}

/// Removes the second factors of an account.
pub(crate) fn remove_all_of(session: &Session<'_>, user_id: &str) -> Result<bool, Error> {
    let removed = remove_secret(session, user_id)? | passkeys::remove_all_of(session, user_id)?;
    replace_codes(session, user_id, &[])?;
    Ok(removed)
}

fn remove_secret(session: &Session<'_>, user_id: &str) -> Result<bool, Error> {
    let removed =
        session.connection.prepare_cached("DELETE FROM _alyx_totp WHERE user_id = ?")?.execute([user_id])?;
    Ok(removed == 1)
}

/// Removes the recovery codes of an account that has no second factor for which they could stand in.
pub(crate) fn drop_codes_without_factor(session: &Session<'_>, user_id: &str) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_recovery_codes WHERE user_id = ?1
             AND NOT EXISTS (SELECT 1 FROM _alyx_totp WHERE user_id = ?1 AND confirmed_at IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM _alyx_passkeys WHERE user_id = ?1)",
        )?
        .execute([user_id])?;
    Ok(())
}

pub(crate) fn set_recovery_codes(session: &mut Session<'_>, input: SetRecoveryCodes) -> Result<(), Error> {
    replace_codes(session, &input.user_id, &input.hashes)
}

pub(crate) fn use_recovery_code(session: &mut Session<'_>, input: UseRecoveryCode) -> Result<bool, Error> {
    let removed = session
        .connection
        .prepare_cached("DELETE FROM _alyx_recovery_codes WHERE user_id = ? AND hash = ?")?
        .execute(params![input.user_id, input.hash])?;
    Ok(kept(session, removed == 1))
}

pub(crate) fn replace_codes(session: &Session<'_>, user_id: &str, hashes: &[[u8; 32]]) -> Result<(), Error> {
    let connection = session.connection;
    connection.prepare_cached("DELETE FROM _alyx_recovery_codes WHERE user_id = ?")?.execute([user_id])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO _alyx_recovery_codes (user_id, hash) VALUES (?, ?)")?;
    for hash in hashes {
        insert.execute(params![user_id, hash])?;
    }
    Ok(())
}

/// What was not done is not recorded in the audit log.
pub(crate) fn kept(session: &mut Session<'_>, done: bool) -> bool {
    if !done {
        session.audit = None;
    }
    done
}

/// The secret is encrypted, and still nobody's to print.
impl std::fmt::Debug for TotpAttempt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::None => "None",
            Self::Exhausted { .. } => "Exhausted",
            Self::Ready { .. } => "Ready",
        })
    }
}
