//! Mails on their way. [`add`] is called inside the command that causes a mail, so there is none for a
//! write that failed. Whoever sends asks for [`Store::due_mails`] and reports with
//! [`Store::settle_mail`]; a crash in between sends a mail twice, with the same id, and loses none.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A mail to send.
#[derive(Clone)]
pub struct NewMail {
    /// Its id; the receiver sees it in `Message-ID`.
    pub id: String,
    /// Whose account it is about; empty where there is none, which keeps it from being sent.
    pub user_id: String,
    /// Address.
    pub recipient: String,
    /// Name of its template.
    pub template: &'static str,
    /// Language of its template.
    pub locale: String,
    /// What the template is filled with, encrypted by the caller.
    pub sealed: Vec<u8>,
    /// After this it is not worth sending.
    pub expires_at: Timestamp,
}

/// A mail that is due.
#[derive(Clone)]
pub struct DueMail {
    /// Its id.
    pub id: String,
    /// Address.
    pub recipient: String,
    /// Name of its template.
    pub template: String,
    /// Language of its template.
    pub locale: String,
    /// What the template is filled with, encrypted.
    pub sealed: Vec<u8>,
    /// Attempts before this one.
    pub attempts: u32,
    /// When it was caused.
    pub created_at: Timestamp,
    /// After this it is not worth sending.
    pub expires_at: Timestamp,
}

/// What became of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// It was taken.
    Sent,
    /// It was not taken; try again.
    Retry {
        /// When.
        due_at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It will not be tried again unless somebody asks for it.
    Dead {
        /// Why.
        error: String,
    },
}

/// A mail as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailRow {
    /// Position in the list.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// Address.
    pub recipient: String,
    /// Name of its template.
    pub template: String,
    /// `waiting`, `sent` or `dead`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was caused.
    pub created_at: String,
    /// When it is tried next, while it waits.
    pub due_at: String,
    /// After this it is not worth sending.
    pub expires_at: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Input of [`settle`].
#[derive(Debug)]
pub(crate) struct Settle {
    id: String,
    outcome: MailOutcome,
}

/// Input of [`retry`].
pub(crate) struct Retry(String);

/// Input of [`trim`].
pub(crate) struct Trim(Timestamp);

impl Store {
    /// Mails that wait and are due at `now`, the longest due first, at most `limit`.
    pub fn due_mails(&self, now: Timestamp, limit: u32) -> Pending<Vec<DueMail>> {
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, recipient, template, locale, sealed, attempts, created_at, expires_at FROM _alyx_mail
                 WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
            )?;
            let mut rows = statement.query(params![time::to_text(now), limit.min(PAGE_MAX)])?;
            let mut mails = Vec::new();
            while let Some(row) = rows.next()? {
                mails.push(due(row)?);
            }
            Ok(mails)
        })
    }

    /// When the next waiting mail is due; `None` if none waits.
    pub fn next_mail_due(&self) -> Pending<Option<Timestamp>> {
        self.read(Lane::Point, |connection| {
            let due: Option<String> = connection
                .prepare_cached("SELECT min(due_at) FROM _alyx_mail WHERE state = 'waiting'")?
                .query_row([], |row| row.get(0))?;
            due.as_deref().map(time::from_text).transpose()
        })
    }

    /// Mails, newest first, of one state if `state` is some; before position `before` if that is some.
    pub fn list_mails(
        &self,
        state: Option<String>,
        before: Option<i64>,
        limit: u32,
    ) -> Pending<Vec<MailRow>> {
        self.read(Lane::Scan, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, id, recipient, template, state, attempts, created_at, due_at, expires_at, error
                 FROM _alyx_mail WHERE state <> 'void' AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR seq < ?2)
                 ORDER BY seq DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(params![state, before, limit.min(PAGE_MAX)], |row| {
                Ok(MailRow {
                    seq: row.get(0)?,
                    id: row.get(1)?,
                    recipient: row.get(2)?,
                    template: row.get(3)?,
                    state: row.get(4)?,
                    attempts: row.get(5)?,
                    created_at: row.get(6)?,
                    due_at: row.get(7)?,
                    expires_at: row.get(8)?,
                    error: row.get(9)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Reports an attempt. One for a mail that waits no more changes nothing.
    pub fn settle_mail(&self, id: &str, outcome: MailOutcome) -> Pending<()> {
        self.write(Command::SettleMail, Settle { id: id.to_owned(), outcome })
    }

    /// Makes a dead mail wait again, due at once, with its attempts counted anew.
    ///
    /// Fails with [`Error::NotFound`] if there is none that is dead, and with [`Error::Stale`] if what it
    /// says has expired.
    pub fn retry_mail(&self, id: &str) -> Pending<()> {
        self.write(Command::RetryMail, Retry(id.to_owned()))
    }

    /// Removes mails that are settled, and handed-out links and codes, that expired before `before`; at
    /// most [`TRIM_MAX`] of each. Answers how many; call again while it is that many.
    pub fn trim_mails(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimMails, Trim(before))
    }
}

fn due(row: &Row<'_>) -> Result<DueMail, Error> {
    Ok(DueMail {
        id: row.get(0)?,
        recipient: row.get(1)?,
        template: row.get(2)?,
        locale: row.get(3)?,
        sealed: row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default(),
        attempts: row.get(5)?,
        created_at: time::from_text(&row.get::<_, String>(6)?)?,
        expires_at: time::from_text(&row.get::<_, String>(7)?)?,
    })
}

/// Adds mails to the transaction that causes them; all of them `void` unless `sent`.
pub(crate) fn add(session: &Session<'_>, mails: &[NewMail], sent: bool) -> Result<(), Error> {
    for mail in mails {
        let sent = sent && !mail.user_id.is_empty();
        let text = |text: &str| if sent { text.to_owned() } else { String::new() };
        session
            .connection
            .prepare_cached(
                "INSERT INTO _alyx_mail
                 (id, user_id, recipient, template, locale, sealed, state, created_at, due_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
            )?
            .execute(params![
                mail.id,
                text(&mail.user_id),
                text(&mail.recipient),
                mail.template,
                mail.locale,
                mail.sealed,
                if sent { "waiting" } else { "void" },
                session.now,
                time::to_text(mail.expires_at),
            ])?;
    }
    Ok(())
}

/// Mails about an account that goes are not sent any more.
pub(crate) fn remove_all_of(session: &Session<'_>, user_id: &str) -> Result<(), Error> {
    session.connection.prepare_cached("DELETE FROM _alyx_mail WHERE user_id = ?")?.execute([user_id])?;
    Ok(())
}

pub(crate) fn settle(session: &mut Session<'_>, Settle { id, outcome }: Settle) -> Result<(), Error> {
    let connection = session.connection;
    match outcome {
        MailOutcome::Sent => connection
            .prepare_cached(
                "UPDATE _alyx_mail SET state = 'sent', attempts = attempts + 1, sealed = NULL, error = NULL,
                 settled_at = ? WHERE id = ? AND state = 'waiting'",
            )?
            .execute(params![session.now, id])?,
        MailOutcome::Retry { due_at, error } => connection
            .prepare_cached(
                "UPDATE _alyx_mail SET attempts = attempts + 1, due_at = ?, error = ?
                 WHERE id = ? AND state = 'waiting'",
            )?
            .execute(params![time::to_text(due_at), error, id])?,
        MailOutcome::Dead { error } => connection
            .prepare_cached(
                "UPDATE _alyx_mail SET state = 'dead', attempts = attempts + 1, error = ?1, settled_at = ?2,
                 sealed = CASE WHEN expires_at > ?2 THEN sealed END WHERE id = ?3 AND state = 'waiting'",
            )?
            .execute(params![error, session.now, id])?,
    };
    Ok(())
}

pub(crate) fn retry(session: &mut Session<'_>, Retry(id): Retry) -> Result<(), Error> {
    let expires_at: String = session
        .connection
        .prepare_cached("SELECT expires_at FROM _alyx_mail WHERE id = ? AND state = 'dead'")?
        .query_row([&id], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound)?;
    if expires_at <= session.now {
        return Err(Error::Stale);
    }
    session
        .connection
        .prepare_cached(
            "UPDATE _alyx_mail SET state = 'waiting', attempts = 0, due_at = ?, settled_at = NULL
             WHERE id = ? AND state = 'dead'",
        )?
        .execute(params![session.now, id])?;
    Ok(())
}

pub(crate) fn trim(session: &mut Session<'_>, Trim(before): Trim) -> Result<u64, Error> {
    let connection = session.connection;
    let before = time::to_text(before);
    // What nobody can use any more is not kept, however long the list of mails is.
    connection
        .prepare_cached(
            "UPDATE _alyx_mail SET sealed = NULL
             WHERE expires_at < ? AND state <> 'waiting' AND sealed IS NOT NULL",
        )?
        .execute([&session.now])?;
    let mails = connection
        .prepare_cached(
            "DELETE FROM _alyx_mail WHERE seq IN (SELECT seq FROM _alyx_mail
             WHERE expires_at < ?1 AND state <> 'waiting' OR expires_at < ?2 AND state = 'void' LIMIT ?3)",
        )?
        .execute(params![before, session.now, TRIM_MAX])?;
    let challenges = connection
        .prepare_cached(
            "DELETE FROM _alyx_challenges WHERE hash IN (
                 SELECT hash FROM _alyx_challenges WHERE expires_at < ? LIMIT ?)",
        )?
        .execute(params![session.now, TRIM_MAX])?;
    Ok(mails.max(challenges) as u64)
}

/// The contents may be a secret and the address is somebody's own.
impl std::fmt::Debug for NewMail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NewMail")
            .field("id", &self.id)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DueMail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("DueMail")
            .field("id", &self.id)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}
