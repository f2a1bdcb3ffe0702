//! Mails: what they say. When and whether one is sent is the business of the [job](crate::jobs) that has
//! its id. [`add`] is called inside the command that causes a mail, so there is none for a write that
//! failed.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::jobs::{self, NewJob};
use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// Kind of the jobs that send mails.
pub const MAIL_JOB: &str = "mail";

/// A mail to send.
#[derive(Clone)]
pub struct NewMail {
    /// Its id, and that of its job; the receiver sees it in `Message-ID`.
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

/// What a mail says.
#[derive(Clone)]
pub struct MailContent {
    /// Address; empty for a mail that is to nobody and is not sent.
    pub recipient: String,
    /// Name of its template.
    pub template: String,
    /// Language of its template.
    pub locale: String,
    /// What the template is filled with, encrypted; empty once that has expired.
    pub sealed: Vec<u8>,
    /// After this it is not worth sending.
    pub expires_at: Timestamp,
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

/// Input of [`retry`].
pub(crate) struct Retry(String);

impl Store {
    /// What a mail says; `None` if its account is gone.
    pub fn mail(&self, id: &str) -> Pending<Option<MailContent>> {
        let id = id.to_owned();
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT recipient, template, locale, sealed, expires_at FROM _alyx_mail WHERE id = ?",
            )?;
            let mut rows = statement.query([id])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(MailContent {
                recipient: row.get(0)?,
                template: row.get(1)?,
                locale: row.get(2)?,
                sealed: row.get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default(),
                expires_at: time::from_text(&row.get::<_, String>(4)?)?,
            }))
        })
    }

    /// Mails whose jobs are still kept, newest first, of one state if `state` is some; before position
    /// `before` if that is some.
    pub fn list_mails(
        &self,
        state: Option<String>,
        before: Option<i64>,
        limit: u32,
    ) -> Pending<Vec<MailRow>> {
        self.read(Lane::Scan, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, id, recipient, template, shown, attempts, created_at, run_at, expires_at, error FROM (
                     SELECT seq, mail.id, recipient, template, attempts, created_at, run_at, expires_at, error,
                         CASE state WHEN 'done' THEN 'sent' WHEN 'dead' THEN 'dead' ELSE 'waiting' END AS shown
                     FROM _alyx_jobs AS job JOIN _alyx_mail AS mail USING (id)
                     WHERE kind = 'mail' AND recipient <> '' AND (?2 IS NULL OR seq < ?2))
                 WHERE ?1 IS NULL OR shown = ?1 ORDER BY seq DESC LIMIT ?3",
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

    /// Makes a dead mail wait again, due at once, with its attempts counted anew.
    ///
    /// Fails with [`Error::NotFound`] if there is none that is dead, and with [`Error::Stale`] if what it
    /// says has expired.
    pub fn retry_mail(&self, id: &str) -> Pending<()> {
        self.write(Command::RetryMail, Retry(id.to_owned()))
    }

    /// Forgets what mails said that nobody can use any more, mails whose job is gone, and handed-out links
    /// and codes that have expired; at most [`TRIM_MAX`] of each. Answers how many were removed; call again
    /// while it is that many.
    pub fn trim_mails(&self) -> Pending<u64> {
        self.write(Command::TrimMails, ())
    }
}

/// Adds mails to the transaction that causes them; none of them reaches anybody unless `sent`.
pub(crate) fn add(session: &Session<'_>, mails: &[NewMail], sent: bool) -> Result<(), Error> {
    for mail in mails {
        let sent = sent && !mail.user_id.is_empty();
        let text = |text: &str| if sent { text.to_owned() } else { String::new() };
        session
            .connection
            .prepare_cached(
                "INSERT INTO _alyx_mail (id, user_id, recipient, template, locale, sealed, expires_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                mail.id,
                text(&mail.user_id),
                text(&mail.recipient),
                mail.template,
                mail.locale,
                mail.sealed,
                time::to_text(mail.expires_at),
            ])?;
        // One to nobody has its job too: no answer may take longer where there is an account.
        let job = NewJob {
            id: mail.id.clone(),
            kind: MAIL_JOB,
            target: mail.template.to_owned(),
            key: None,
            payload: "{}".to_owned(),
            run_at: None,
        };
        jobs::add(session, &job)?;
    }
    Ok(())
}

/// Mails about an account that goes are not sent any more.
pub(crate) fn remove_all_of(session: &Session<'_>, user_id: &str) -> Result<(), Error> {
    for sql in [
        "DELETE FROM _alyx_jobs WHERE id IN (SELECT id FROM _alyx_mail WHERE user_id = ?)",
        "DELETE FROM _alyx_mail WHERE user_id = ?",
    ] {
        session.connection.prepare_cached(sql)?.execute([user_id])?;
    }
    Ok(())
}

pub(crate) fn retry(session: &mut Session<'_>, Retry(id): Retry) -> Result<(), Error> {
    let expires_at: String = session
        .connection
        .prepare_cached(
            "SELECT expires_at FROM _alyx_mail JOIN _alyx_jobs USING (id) WHERE id = ? AND state = 'dead'",
        )?
        .query_row([&id], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound)?;
    if expires_at <= session.now {
        return Err(Error::Stale);
    }
    jobs::replay(session, id)
}

pub(crate) fn trim(session: &mut Session<'_>, (): ()) -> Result<u64, Error> {
    let connection = session.connection;
    // What nobody can use any more is not kept, however long the list of mails is.
    connection
        .prepare_cached("UPDATE _alyx_mail SET sealed = NULL WHERE sealed IS NOT NULL AND expires_at < ?")?
        .execute([&session.now])?;
    let mails = connection
        .prepare_cached(
            "DELETE FROM _alyx_mail WHERE id IN (SELECT id FROM _alyx_mail
             WHERE NOT EXISTS (SELECT 1 FROM _alyx_jobs WHERE _alyx_jobs.id = _alyx_mail.id) LIMIT ?)",
        )?
        .execute([TRIM_MAX])?;
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

impl std::fmt::Debug for MailContent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MailContent").field("template", &self.template).finish_non_exhaustive()
    }
}
