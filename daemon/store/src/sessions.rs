//! Sessions and their refresh tokens. Only hashes of tokens are here. A token is good for one use; its
//! second use means that two parties have it, and ends the session with all tokens descended from it.
//!
//! An access token is good as long as its session's row says that it runs: see [`Store::session_live`].

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::limits::{PAGE_MAX, REFRESH_GRACE, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{AuditOutcome, Error, Pending, Store, time};

/// What a second use of a refresh token is called in the audit log.
const REUSE: &str = "session.reuse";

/// A new session.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id, as in access tokens.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// Hash of its first refresh token.
    pub refresh_hash: [u8; 32],
    /// Now.
    pub created_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
    /// Address of the client.
    pub ip: String,
    /// What the client says it is.
    pub user_agent: String,
    /// How it began, such as `password`.
    pub method: String,
}

/// A session that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningSession {
    /// Its id, as in access tokens.
    pub id: String,
    /// When it began.
    pub created_at: String,
    /// When it was last refreshed.
    pub last_used_at: String,
    /// When it ends unless it is refreshed.
    pub expires_at: String,
    /// Address of the client that began it.
    pub ip: String,
    /// What that client says it is.
    pub user_agent: String,
    /// How it began.
    pub method: String,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// From one refresh to the next.
    pub idle: Duration,
    /// From the beginning, however often it is refreshed.
    pub most: Duration,
}

/// What became of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was good; the next one is stored.
    Rotated {
        /// Its session.
        session_id: String,
        /// Whose it is.
        user_id: String,
    },
    /// It had been used before. Its session is ended now.
    Reused {
        /// The ended session.
        session_id: String,
        /// Whose it was.
        user_id: String,
    },
    /// There is no such token, or it has expired, or its session has ended.
    Unknown,
}

/// Input of [`start`].
pub(crate) type Start = NewSession;

/// Input of [`rotate`].
pub(crate) struct Rotate {
    presented: [u8; 32],
    next: [u8; 32],
    now: Timestamp,
    lifetimes: Lifetimes,
}

/// Input of [`end`].
pub(crate) struct End {
    session_id: String,
    /// Whose it must be.
    user_id: Option<String>,
}

/// Input of [`end_user`].
pub(crate) struct EndUser(String);

/// Input of [`trim`].
pub(crate) struct Trim(Timestamp);

impl Store {
    /// Starts a session.
    pub fn start_session(&self, session: NewSession) -> Pending<()> {
        self.write(Command::StartSession, session)
    }

    /// Takes the token with the hash `presented` and stores `next` in its place. A token used less than
    /// [`REFRESH_GRACE`] ago is accepted again.
    ///
    /// The row of [`Store::audited`] learns whose session it is, tells of the reuse if it is one, and is
    /// left out for a token that means nothing, which anybody can make up.
    pub fn rotate_refresh(
        &self,
        presented: [u8; 32],
        next: [u8; 32],
        now: Timestamp,
        lifetimes: Lifetimes,
    ) -> Pending<Rotation> {
        self.write(Command::RotateRefresh, Rotate { presented, next, now, lifetimes })
    }

    /// The session of a refresh token, if both are good; uses nothing up. For signing out.
    pub fn session_of_refresh(&self, presented: [u8; 32]) -> Pending<Option<String>> {
        self.read(Lane::Point, move |connection| {
            let session = connection
                .prepare_cached(
                    "SELECT s.id FROM _alyx_refresh_tokens AS t JOIN _alyx_sessions AS s ON s.id = t.session_id
                     WHERE t.hash = ? AND s.ended_at IS NULL",
                )?
                .query_row([presented], |row| row.get(0))
                .optional()?;
            Ok(session)
        })
    }

    /// Ends a session. Answers whose it was, `None` if it was not running.
    pub fn end_session(&self, session_id: &str) -> Pending<Option<String>> {
        self.write(Command::EndSession, End { session_id: session_id.to_owned(), user_id: None })
    }

    /// The same, only if it is a session of this user.
    pub fn end_session_of(&self, user_id: &str, session_id: &str) -> Pending<Option<String>> {
        let (session_id, user_id) = (session_id.to_owned(), Some(user_id.to_owned()));
        self.write(Command::EndSession, End { session_id, user_id })
    }

    /// The running sessions of a user, newest first, at most [`PAGE_MAX`].
    pub fn sessions_of(&self, user_id: &str) -> Pending<Vec<RunningSession>> {
        let (user_id, now) = (user_id.to_owned(), time::to_text(self.now()));
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, created_at, last_used_at, expires_at, ip, user_agent, method FROM _alyx_sessions
                 WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? ORDER BY created_at DESC, id LIMIT ?",
            )?;
            let sessions = statement.query_map(params![user_id, now, PAGE_MAX], |row| {
                Ok(RunningSession {
                    id: row.get(0)?,
                    created_at: row.get(1)?,
                    last_used_at: row.get(2)?,
                    expires_at: row.get(3)?,
                    ip: row.get(4)?,
                    user_agent: row.get(5)?,
                    method: row.get(6)?,
                })
            })?;
            Ok(sessions.collect::<Result<_, _>>()?)
        })
    }

    /// Ends all sessions of a user. Answers how many were running.
    pub fn end_user_sessions(&self, user_id: &str) -> Pending<u64> {
        self.write(Command::EndUserSessions, EndUser(user_id.to_owned()))
    }

    /// Whether a session exists, runs and has not expired.
    pub fn session_live(&self, session_id: &str) -> Pending<bool> {
        let session_id = session_id.to_owned();
        let now = time::to_text(self.now());
        self.read(Lane::Point, move |connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT 1 FROM _alyx_sessions WHERE id = ? AND ended_at IS NULL AND expires_at > ?",
                )?
                .exists([session_id, now])?)
        })
    }

    /// Removes sessions and tokens that expired or ended before `before`; at most [`TRIM_MAX`] of each.
    /// Answers how many; call again while it is that many.
    pub fn trim_sessions(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimSessions, Trim(before))
    }
}

pub(crate) fn start(session: &mut Session<'_>, new: Start) -> Result<(), Error> {
    let (created_at, expires_at) = (time::to_text(new.created_at), time::to_text(new.expires_at));
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_sessions (id, user_id, created_at, last_used_at, expires_at, ip, user_agent, method)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            new.id,
            new.user_id,
            created_at,
            expires_at,
            new.ip,
            new.user_agent,
            new.method
        ])?;
    add_token(session, &new.refresh_hash, &new.id, &created_at, &expires_at)
}

fn add_token(
    session: &Session<'_>,
    hash: &[u8; 32],
    session_id: &str,
    created_at: &str,
    expires_at: &str,
) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_refresh_tokens (hash, session_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![hash, session_id, created_at, expires_at])?;
    Ok(())
}

/// A presented token as it stands.
struct Token {
    session_id: String,
    user_id: String,
    began_at: String,
    used_at: Option<String>,
}

pub(crate) fn rotate(session: &mut Session<'_>, input: Rotate) -> Result<Rotation, Error> {
    let now = time::to_text(input.now);
    let token = session
        .connection
        .prepare_cached(
            "SELECT s.id, s.user_id, s.created_at, t.used_at
             FROM _alyx_refresh_tokens AS t JOIN _alyx_sessions AS s ON s.id = t.session_id
             WHERE t.hash = ?1 AND t.expires_at > ?2 AND s.expires_at > ?2 AND s.ended_at IS NULL",
        )?
        .query_row(params![input.presented, now], |row| {
            Ok(Token {
                session_id: row.get(0)?,
                user_id: row.get(1)?,
                began_at: row.get(2)?,
                used_at: row.get(3)?,
            })
        })
        .optional()?;
    let Some(Token { session_id, user_id, began_at, used_at }) = token else {
        session.audit = None;
        return Ok(Rotation::Unknown);
    };
    if let Some(row) = &mut session.audit {
        row.identity = format!("user:{user_id}");
        row.target = format!("session:{session_id}");
    }
    let grace_from = time::to_text(time::before(input.now, REFRESH_GRACE));
    if used_at.is_some_and(|used_at| used_at < grace_from) {
        end_one(session, &session_id, None)?;
        if let Some(row) = &mut session.audit {
            row.action = REUSE.to_owned();
            row.outcome = AuditOutcome::Denied;
        }
        return Ok(Rotation::Reused { session_id, user_id });
    }
    let most = time::after(time::from_text(&began_at)?, input.lifetimes.most);
    let expires_at = time::to_text(time::after(input.now, input.lifetimes.idle).min(most));
    // The first use counts, else a token could be kept alive by using it every few seconds.
    session
        .connection
        .prepare_cached("UPDATE _alyx_refresh_tokens SET used_at = coalesce(used_at, ?) WHERE hash = ?")?
        .execute(params![now, input.presented])?;
    add_token(session, &input.next, &session_id, &now, &expires_at)?;
    session
        .connection
        .prepare_cached("UPDATE _alyx_sessions SET last_used_at = ?, expires_at = ? WHERE id = ?")?
        .execute(params![now, expires_at, session_id])?;
    Ok(Rotation::Rotated { session_id, user_id })
}

/// Ends a session if it runs and, where given, is this user's. Answers whose it was.
fn end_one(session: &Session<'_>, session_id: &str, user_id: Option<&str>) -> Result<Option<String>, Error> {
    let ended = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_sessions SET ended_at = ?1
             WHERE id = ?2 AND ended_at IS NULL AND user_id = coalesce(?3, user_id) RETURNING user_id",
        )?
        .query_row(params![session.now, session_id, user_id], |row| row.get::<_, String>(0))
        .optional()?;
    if let Some(user_id) = &ended {
        session.changes.touch(user_id);
    }
    Ok(ended)
}

/// Ends all sessions of a user.
pub(crate) fn end_all_of(session: &Session<'_>, user_id: &str) -> Result<u64, Error> {
    let ended = session
        .connection
        .prepare_cached("UPDATE _alyx_sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL")?
        .execute(params![session.now, user_id])?;
    session.changes.touch(user_id);
    Ok(ended as u64)
}

pub(crate) fn end(session: &mut Session<'_>, input: End) -> Result<Option<String>, Error> {
    let ended = end_one(session, &input.session_id, input.user_id.as_deref())?;
    if ended.is_none() {
        session.audit = None;
    }
    Ok(ended)
}

pub(crate) fn end_user(session: &mut Session<'_>, EndUser(user_id): EndUser) -> Result<u64, Error> {
    end_all_of(session, &user_id)
}

pub(crate) fn trim(session: &mut Session<'_>, Trim(before): Trim) -> Result<u64, Error> {
    let before = time::to_text(before);
    let connection = session.connection;
    let tokens = connection
        .prepare_cached(
            "DELETE FROM _alyx_refresh_tokens WHERE hash IN (
                 SELECT hash FROM _alyx_refresh_tokens WHERE expires_at < ? LIMIT ?)",
        )?
        .execute(params![before, TRIM_MAX])?;
    let sessions = connection
        .prepare_cached(
            "DELETE FROM _alyx_sessions WHERE id IN (
                 SELECT id FROM _alyx_sessions WHERE expires_at < ?1 OR ended_at < ?1 LIMIT ?2)",
        )?
        .execute(params![before, TRIM_MAX])?;
    Ok((tokens.max(sessions)) as u64)
}
