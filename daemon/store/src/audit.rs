//! The audit log: rows that say who did what, from where, and how it ended. Append-only; a trigger of
//! the database refuses every change of a row.
//!
//! A write made through [`Store::audited`] puts its row into its own transaction, so neither is there
//! without the other. What did not lead to a write is added by [`Store::append_audit`].

use rusqlite::params;

use crate::writer::{Command, Session};
use crate::{Error, Pending, Store};

/// A row of the audit log. The store adds its number and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// An identity's label.
    pub identity: String,
    /// Address of the client; empty over the admin socket.
    pub address: String,
    /// What was done, such as `session.begin`.
    pub action: String,
    /// To what, such as `user:01J…`; may be empty.
    pub target: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Id of the request.
    pub request_id: String,
    /// More, as a JSON object; never a secret.
    pub details_json: Option<String>,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Ok,
    /// It was refused.
    Denied,
    /// It was allowed and went wrong.
    Failed,
}

impl AuditOutcome {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl Store {
    /// Adds a row for what led to no other write.
    pub fn append_audit(&self, row: AuditRow) -> Pending<()> {
        self.write(Command::AppendAudit, row)
    }
}

pub(crate) fn append(session: &mut Session<'_>, row: AuditRow) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_audit (at, identity, address, action, target, outcome, request_id, details_json)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            session.now,
            row.identity,
            row.address,
            row.action,
            row.target,
            row.outcome.as_str(),
            row.request_id,
            row.details_json
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AuditOutcome, AuditRow};
    use crate::keys::SigningKey;
    use crate::{Options, Store};

    fn row(action: &str) -> AuditRow {
        AuditRow {
            identity: "user:1".to_owned(),
            address: "192.0.2.1".to_owned(),
            action: action.to_owned(),
            target: String::new(),
            outcome: AuditOutcome::Ok,
            request_id: "r".to_owned(),
            details_json: None,
        }
    }

    fn key(kid: &str) -> SigningKey {
        let created_at = "2026-01-02T03:04:05Z".parse().unwrap();
        SigningKey { kid: kid.to_owned(), alg: String::new(), pkcs8: Vec::new(), created_at }
    }

    #[test]
    fn a_row_is_there_exactly_when_its_write_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("data.db");
        let store = Store::open(&Options::new(&path)).unwrap();
        store.audited(row("one")).add_signing_key(key("a")).wait().unwrap();
        assert!(store.audited(row("two")).add_signing_key(key("a")).wait().is_err());
        store.add_signing_key(key("b")).wait().unwrap();
        store.append_audit(row("three")).wait().unwrap();
        store.close().unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        let actions: String = connection
            .query_row(
                "SELECT group_concat(action) FROM (SELECT action FROM _alyx_audit ORDER BY seq)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(actions, "one,three");
        assert!(connection.execute("UPDATE _alyx_audit SET action = 'x'", []).is_err());
    }
}
