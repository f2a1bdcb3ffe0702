//! Sessions and their refresh tokens. Only hashes of tokens are here. A token is good for one use; its
//! second use means that two parties have it, and ends the session with all tokens descended from it.
//!
//! An ended session's row stays until it is trimmed, so that access tokens still running can be refused.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::limits::{REFRESH_GRACE, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

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
    expires_at: Timestamp,
}

/// Input of [`end`].
pub(crate) struct End(String);

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
    pub fn rotate_refresh(
        &self,
        presented: [u8; 32],
        next: [u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Pending<Rotation> {
        self.write(Command::RotateRefresh, Rotate { presented, next, now, expires_at })
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

    /// Ends a session. Answers whether it was running.
    pub fn end_session(&self, session_id: &str) -> Pending<bool> {
        self.write(Command::EndSession, End(session_id.to_owned()))
    }

    /// Ends all sessions of a user. Answers how many were running.
    pub fn end_user_sessions(&self, user_id: &str) -> Pending<u64> {
        self.write(Command::EndUserSessions, EndUser(user_id.to_owned()))
    }

    /// Ids of the sessions that were ended at `since` or later, whose access tokens may still run.
    pub fn ended_sessions(&self, since: Timestamp) -> Pending<Vec<String>> {
        self.read(Lane::Point, move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM _alyx_sessions WHERE ended_at >= ? ORDER BY ended_at")?;
            let ids =
                statement.query_map([time::to_text(since)], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(ids)
        })
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
            "INSERT INTO _alyx_sessions (id, user_id, created_at, last_used_at, expires_at, ip, user_agent)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![new.id, new.user_id, created_at, expires_at, new.ip, new.user_agent])?;
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
    used_at: Option<String>,
}

pub(crate) fn rotate(session: &mut Session<'_>, input: Rotate) -> Result<Rotation, Error> {
    let (now, expires_at) = (time::to_text(input.now), time::to_text(input.expires_at));
    let token = session
        .connection
        .prepare_cached(
            "SELECT s.id, s.user_id, t.used_at
             FROM _alyx_refresh_tokens AS t JOIN _alyx_sessions AS s ON s.id = t.session_id
             WHERE t.hash = ?1 AND t.expires_at > ?2 AND s.ended_at IS NULL",
        )?
        .query_row(params![input.presented, now], |row| {
            Ok(Token { session_id: row.get(0)?, user_id: row.get(1)?, used_at: row.get(2)? })
        })
        .optional()?;
    let Some(Token { session_id, user_id, used_at }) = token else { return Ok(Rotation::Unknown) };
    let grace_from = time::to_text(time::before(input.now, REFRESH_GRACE));
    if used_at.is_some_and(|used_at| used_at < grace_from) {
        end_one(session, &session_id)?;
        return Ok(Rotation::Reused { session_id, user_id });
    }
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

fn end_one(session: &Session<'_>, session_id: &str) -> Result<bool, Error> {
    let ended = session
        .connection
        .prepare_cached("UPDATE _alyx_sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL")?
        .execute(params![session.now, session_id])?;
    Ok(ended > 0)
}

/// Ends all sessions of a user.
pub(crate) fn end_all_of(session: &Session<'_>, user_id: &str) -> Result<u64, Error> {
    let ended = session
        .connection
        .prepare_cached("UPDATE _alyx_sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL")?
        .execute(params![session.now, user_id])?;
    Ok(ended as u64)
}

pub(crate) fn end(session: &mut Session<'_>, End(session_id): End) -> Result<bool, Error> {
    end_one(session, &session_id)
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
