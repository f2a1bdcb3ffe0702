//! What is handed out to be brought back once: links and codes sent by mail, and the step between a
//! first and a second factor. Only hashes are here.
//!
//! A challenge for nobody, with an empty `user_id`, costs what any other costs and leads nowhere, so the
//! caller can do the same work whether or not there is an account.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::accounts::{self, Account};
use crate::limits::CHALLENGE_WINDOW;
use crate::mail::{self, NewMail};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, factors, sessions, time};

/// What a challenge is for; one is never good for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show that an address is one's own.
    Verify,
    /// To set a new password.
    Reset,
    /// To take another address.
    Email,
    /// To sign in by a code.
    Code,
    /// To show a second factor after the first.
    SecondFactor,
    /// To register a passkey.
    PasskeyNew,
    /// To sign in by a passkey, whosever it is.
    PasskeyLogin,
    /// To show a passkey of an account that is known.
    PasskeyProof,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::Email => "email",
            Self::Code => "code",
            Self::SecondFactor => "second_factor",
            Self::PasskeyNew => "passkey_new",
            Self::PasskeyLogin => "passkey_login",
            Self::PasskeyProof => "passkey_proof",
        }
    }
}

/// A new challenge.
#[derive(Clone, Debug)]
pub struct NewChallenge {
    /// Hash of the token that names it.
    pub hash: [u8; 32],
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is; empty for nobody.
    pub user_id: String,
    /// The address it is bound to.
    pub email: String,
    /// Hash of the code that goes with it, if there is one.
    pub code_hash: Option<[u8; 32]>,
    /// How often it may be tried.
    pub attempts: u32,
    /// How many challenges of this purpose an account may be given within [`CHALLENGE_WINDOW`]; one
    /// more is for nobody.
    pub at_most: u32,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// The account's challenges of this purpose end with it.
    pub ends: Option<Purpose>,
}

/// A challenge that is good now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose it is; empty for nobody.
    pub user_id: String,
    /// The address it is bound to.
    pub email: String,
    /// Hash of the code that goes with it.
    pub code_hash: Option<[u8; 32]>,
}

/// What bringing a link back changes.
#[derive(Clone)]
pub enum Redeemed {
    /// The address is the owner's.
    Verified,
    /// The account has the challenge's address from now on, and it is the owner's.
    NewEmail,
    /// The account has this password from now on; all its sessions end.
    NewPassword(String),
}

/// Input of [`issue`].
pub(crate) struct Issue {
    challenge: NewChallenge,
    mails: Vec<NewMail>,
}

/// Input of [`attempt`], [`take`] and [`consume`].
pub(crate) struct Find {
    hash: [u8; 32],
    purpose: Purpose,
}

/// Input of [`redeem`].
pub(crate) struct Redeem {
    find: Find,
    change: Redeemed,
    mails: Vec<NewMail>,
    actor: String,
}

/// A password's hash is nobody's to print.
impl std::fmt::Debug for Redeemed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Verified => "Verified",
            Self::NewEmail => "NewEmail",
            Self::NewPassword(_) => "NewPassword",
        })
    }
}

impl Store {
    /// Hands out a challenge, with the mails that carry it.
    pub fn issue_challenge(&self, challenge: NewChallenge, mails: Vec<NewMail>) -> Pending<()> {
        self.write(Command::IssueChallenge, Issue { challenge, mails })
    }

    /// The challenge, if it is good now and somebody's. Uses nothing up.
    pub fn challenge(&self, hash: [u8; 32], purpose: Purpose) -> Pending<Option<Challenge>> {
        let now = time::to_text(self.now());
        self.read(Lane::Point, move |connection| {
            let found =
                connection.prepare_cached(FIND)?.query_row(params![hash, purpose.as_str(), now], challenge);
            Ok(found.optional()?.filter(|challenge| !challenge.user_id.is_empty()))
        })
    }

    /// Uses up one attempt of a challenge that is good now. The caller compares the code.
    pub fn attempt_challenge(&self, hash: [u8; 32], purpose: Purpose) -> Pending<Option<Challenge>> {
        self.write(Command::AttemptChallenge, Find { hash, purpose })
    }

    /// Uses a challenge up. Answers whether it was still there: of several at once one is first.
    pub fn take_challenge(&self, hash: [u8; 32], purpose: Purpose) -> Pending<bool> {
        self.write(Command::TakeChallenge, Find { hash, purpose })
    }

    /// Uses a challenge up, whatever the caller makes of it. It may be nobody's.
    pub fn consume_challenge(&self, hash: [u8; 32], purpose: Purpose) -> Pending<Option<Challenge>> {
        self.write(Command::ConsumeChallenge, Find { hash, purpose })
    }

    /// Uses a challenge up and does what it was for, with mails about it. Answers the account as it is
    /// then; `None` if the challenge is not good, or the account's address is another by now.
    ///
    /// Fails with [`Error::UniqueViolation`] (field `email`) if another account has the new address.
    pub fn redeem_challenge(
        &self,
        hash: [u8; 32],
        purpose: Purpose,
        change: Redeemed,
        mails: Vec<NewMail>,
        actor: String,
    ) -> Pending<Option<Account>> {
        self.write(Command::RedeemChallenge, Redeem { find: Find { hash, purpose }, change, mails, actor })
    }
}

const FIND: &str = "SELECT user_id, email, code_hash FROM _alyx_challenges
                    WHERE hash = ? AND purpose = ? AND expires_at > ? AND attempts_left > 0";

fn challenge(row: &Row<'_>) -> Result<Challenge, rusqlite::Error> {
    Ok(Challenge { user_id: row.get(0)?, email: row.get(1)?, code_hash: row.get(2)? })
}

pub(crate) fn issue(session: &mut Session<'_>, Issue { challenge, mails }: Issue) -> Result<(), Error> {
    let since = time::to_text(time::before(time::from_text(&session.now)?, CHALLENGE_WINDOW));
    let issued: u32 = session
        .connection
        .prepare_cached(
            "SELECT count(*) FROM _alyx_challenges WHERE user_id = ? AND purpose = ? AND created_at > ?",
        )?
        .query_row(params![challenge.user_id, challenge.purpose.as_str(), since], |row| row.get(0))?;
    if let Some(purpose) = challenge.ends {
        forget(session, &challenge.user_id, Some(purpose))?;
    }
    let is_somebodys = !challenge.user_id.is_empty() && issued < challenge.at_most;
    let text = |text: &str| if is_somebodys { text.to_owned() } else { String::new() };
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_challenges
             (hash, purpose, user_id, email, code_hash, attempts_left, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            challenge.hash,
            challenge.purpose.as_str(),
            text(&challenge.user_id),
            text(&challenge.email),
            challenge.code_hash,
            challenge.attempts,
            session.now,
            time::to_text(challenge.expires_at),
        ])?;
    mail::add(session, &mails, is_somebodys)
}

pub(crate) fn attempt(session: &mut Session<'_>, find: Find) -> Result<Option<Challenge>, Error> {
    let found = look_up(session, &find)?;
    session
        .connection
        .prepare_cached("UPDATE _alyx_challenges SET attempts_left = attempts_left - 1 WHERE hash = ?")?
        .execute([find.hash])?;
    Ok(found)
}

pub(crate) fn take(session: &mut Session<'_>, find: Find) -> Result<bool, Error> {
    let removed = session
        .connection
        .prepare_cached("DELETE FROM _alyx_challenges WHERE hash = ? AND purpose = ? AND expires_at > ?")?
        .execute(params![find.hash, find.purpose.as_str(), session.now])?;
    Ok(removed == 1)
}

pub(crate) fn consume(session: &mut Session<'_>, find: Find) -> Result<Option<Challenge>, Error> {
    let found = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_challenges WHERE hash = ? AND purpose = ? AND expires_at > ?
             RETURNING user_id, email, code_hash",
        )?
        .query_row(params![find.hash, find.purpose.as_str(), session.now], challenge);
    Ok(found.optional()?)
}

pub(crate) fn redeem(session: &mut Session<'_>, input: Redeem) -> Result<Option<Account>, Error> {
    let Redeem { find, change, mails, actor } = input;
    let account = match look_up(session, &find)? {
        Some(found) => apply(session, &found, find.purpose, &change, &actor)?,
        None => None,
    };
    match account {
        Some(_) => mail::add(session, &mails, true)?,
        // Nothing was done, so nothing is recorded.
        None => session.audit = None,
    }
    Ok(account)
}

fn look_up(session: &Session<'_>, find: &Find) -> Result<Option<Challenge>, Error> {
    let found = session
        .connection
        .prepare_cached(FIND)?
        .query_row(params![find.hash, find.purpose.as_str(), session.now], challenge);
    Ok(found.optional()?)
}

fn apply(
    session: &mut Session<'_>,
    found: &Challenge,
    purpose: Purpose,
    change: &Redeemed,
    actor: &str,
) -> Result<Option<Account>, Error> {
    let Some(owner) = accounts::owner(session, &found.user_id)? else { return Ok(None) };
    let is_bound = purpose == Purpose::Email || accounts::same_address(&owner.email, &found.email);
    if owner.disabled || !is_bound {
        return Ok(None);
    }
    if let Redeemed::NewPassword(hash) = change {
        accounts::replace_password(session, &found.user_id, hash)?;
        sessions::end_all_of(session, &found.user_id)?;
        if !owner.verified {
            // Whoever made the account never showed that the address is theirs, so a second factor is not
            // the owner's either.
            factors::remove_all_of(session, &found.user_id)?;
        }
    }
    let email = matches!(change, Redeemed::NewEmail).then_some(found.email.as_str());
    let account = accounts::verify(session, &found.user_id, email, actor)?;
    forget(session, &found.user_id, (purpose != Purpose::Email).then_some(purpose))?;
    Ok(Some(account))
}

/// Ends the challenges of a user: those of one purpose, or all.
pub(crate) fn forget(session: &Session<'_>, user_id: &str, purpose: Option<Purpose>) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("DELETE FROM _alyx_challenges WHERE user_id = ?1 AND (?2 IS NULL OR purpose = ?2)")?
        .execute(params![user_id, purpose.map(Purpose::as_str)])?;
    Ok(())
}
