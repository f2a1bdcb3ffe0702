//! The audit log: rows that say who did what, from where, and how it ended. Append-only; a trigger of
//! the database refuses every change of a row.
//!
//! A write made through [`Store::audited`] puts its row into its own transaction, so neither is there
//! without the other. What did not lead to a write is added by [`Store::append_audit`].

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, jobs, time};

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

/// A row as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number; later rows have greater ones.
    pub seq: i64,
    /// When, in the stored form of a timestamp.
    pub at: String,
    /// What was recorded.
    pub row: AuditRow,
}

/// Which rows are wanted; those that meet every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this identity, by its label.
    pub identity: Option<String>,
    /// Of this account by its id: as a user, as an administrator, or by a function it invoked.
    pub account: Option<String>,
    /// Of this action; `session.*` means all whose name begins with `session.`.
    pub action: Option<String>,
    /// Done to this.
    pub target: Option<String>,
    /// Ended so.
    pub outcome: Option<AuditOutcome>,
    /// In this request.
    pub request_id: Option<String>,
    /// From this address.
    pub address: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// From where to read.
    pub page: AuditPage,
    /// At most this many, up to [`PAGE_MAX`].
    pub limit: u32,
}

/// Where a page of rows begins, and in which order it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditPage {
    /// The newest first.
    #[default]
    Newest,
    /// The newest first of those before this number.
    Before(i64),
    /// The oldest first of those after this number.
    After(i64),
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

    /// The one that is stored so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Denied, Self::Failed].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl Store {
    /// Adds a row for what led to no other write.
    pub fn append_audit(&self, row: AuditRow) -> Pending<()> {
        self.write(Command::AppendAudit, row)
    }

    /// Rows that meet `filter`, in the order of its page.
    pub fn audit_rows(&self, filter: AuditFilter) -> Pending<Vec<AuditRecord>> {
        self.read(Lane::Scan, move |connection| {
            let (conditions, values) = conditions(filter);
            let sql = format!(
                "SELECT seq, at, identity, address, action, target, outcome, request_id, details_json
                 FROM _alyx_audit {conditions}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(record(row)?);
            }
            Ok(found)
        })
    }

    /// Removes rows from before `older_than`, oldest first, at most
    /// [`TRIM_MAX`](crate::limits::TRIM_MAX) per call. Answers how many; call again until it is none.
    pub fn trim_audit(&self, older_than: Timestamp) -> Pending<u64> {
        self.write(Command::TrimAudit, Trim { older_than })
    }
}

/// Input of [`trim`].
#[derive(Debug)]
pub(crate) struct Trim {
    older_than: Timestamp,
}

/// What follows the table's name, with one value a placeholder.
fn conditions(filter: AuditFilter) -> (String, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut add = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    };
    add("identity = ?", filter.identity.map(Value::Text));
    // Labels end with the account: `user:01J…`, `admin:01J…`, `function:hello/user:01J…`.
    add("replace(identity, 'admin:', 'user:') LIKE '%user:' || ?", filter.account.map(Value::Text));
    match filter.action.as_deref().map(|action| (action, action.strip_suffix(".*"))) {
        Some((_, Some(family))) => {
            add("action >= ?", Some(Value::Text(format!("{family}."))));
            // `/` is the letter after the full stop.
            add("action < ?", Some(Value::Text(format!("{family}/"))));
        }
        Some((action, None)) => add("action = ?", Some(Value::Text(action.to_owned()))),
        None => {}
    }
    add("target = ?", filter.target.map(Value::Text));
    add("outcome = ?", filter.outcome.map(|outcome| Value::Text(outcome.as_str().to_owned())));
    add("request_id = ?", filter.request_id.map(Value::Text));
    add("address = ?", filter.address.map(Value::Text));
    add("at >= ?", filter.since.map(|at| Value::Text(time::to_text(at))));
    add("at < ?", filter.until.map(|at| Value::Text(time::to_text(at))));
    let order = match filter.page {
        AuditPage::Newest => "DESC",
        AuditPage::Before(seq) => {
            add("seq < ?", Some(Value::Integer(seq)));
            "DESC"
        }
        AuditPage::After(seq) => {
            add("seq > ?", Some(Value::Integer(seq)));
            "ASC"
        }
    };
    let wanted =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(Value::Integer(i64::from(filter.limit.min(PAGE_MAX))));
    (format!("{wanted} ORDER BY seq {order} LIMIT ?"), values)
}

fn record(row: &rusqlite::Row<'_>) -> Result<AuditRecord, Error> {
    let outcome: String = row.get(6)?;
    let outcome = AuditOutcome::parse(&outcome)
        .ok_or_else(|| Error::internal("read the audit log", format!("unknown outcome {outcome}")))?;
    Ok(AuditRecord {
        seq: row.get(0)?,
        at: row.get(1)?,
        row: AuditRow {
            identity: row.get(2)?,
            address: row.get(3)?,
            action: row.get(4)?,
            target: row.get(5)?,
            outcome,
            request_id: row.get(7)?,
            details_json: row.get(8)?,
        },
    })
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            // Only the oldest rows are looked at, so the cost has a bound also when nothing is due.
            "DELETE FROM _alyx_audit WHERE seq IN (
                 SELECT seq FROM (SELECT seq, at FROM _alyx_audit ORDER BY seq LIMIT ?2) WHERE at < ?1)",
        )?
        .execute(params![time::to_text(trim.older_than), TRIM_MAX])?;
    Ok(removed as u64)
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
    jobs::fire_audited(session, &row)
}

#[cfg(test)]
mod tests {
    use super::{AuditFilter, AuditOutcome, AuditPage, AuditRow};
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

    fn actions(store: &Store, filter: AuditFilter) -> Vec<String> {
        let rows = store.audit_rows(AuditFilter { limit: 100, ..filter }).wait().unwrap();
        rows.into_iter().map(|record| record.row.action).collect()
    }

    #[test]
    fn rows_are_found_by_every_condition_and_page() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = Store::open(&Options::new(dir.path().join("data.db"))).unwrap();
        store.append_audit(row("session.begin")).wait().unwrap();
        store.append_audit(AuditRow { outcome: AuditOutcome::Denied, ..row("session.end") }).wait().unwrap();
        store.append_audit(AuditRow { target: "user:2".to_owned(), ..row("sessions") }).wait().unwrap();
        store.append_audit(AuditRow { identity: "anonymous".to_owned(), ..row("a") }).wait().unwrap();
        store.append_audit(AuditRow { address: "::1".to_owned(), ..row("b") }).wait().unwrap();
        store.append_audit(AuditRow { request_id: "s".to_owned(), ..row("c") }).wait().unwrap();
        let all = AuditFilter::default;
        let some = |text: &str| Some(text.to_owned());
        let check = |filter, expected: &[&str]| assert_eq!(actions(&store, filter), expected);
        check(all(), &["c", "b", "a", "sessions", "session.end", "session.begin"]);
        check(AuditFilter { page: AuditPage::Before(3), ..all() }, &["session.end", "session.begin"]);
        check(AuditFilter { page: AuditPage::After(4), ..all() }, &["b", "c"]);
        check(AuditFilter { action: some("session.*"), ..all() }, &["session.end", "session.begin"]);
        check(AuditFilter { action: some("session.end"), ..all() }, &["session.end"]);
        check(AuditFilter { action: some("session%"), ..all() }, &[]);
        check(AuditFilter { outcome: Some(AuditOutcome::Denied), ..all() }, &["session.end"]);
        check(AuditFilter { target: some("user:2"), ..all() }, &["sessions"]);
        check(AuditFilter { identity: some("anonymous"), ..all() }, &["a"]);
        check(
            AuditFilter { account: some("1"), ..all() },
            &["c", "b", "sessions", "session.end", "session.begin"],
        );
        check(AuditFilter { account: some("2"), ..all() }, &[]);
        check(AuditFilter { address: some("::1"), ..all() }, &["b"]);
        check(AuditFilter { request_id: some("s"), ..all() }, &["c"]);
        let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(3_600);
        check(AuditFilter { since: Some(soon), ..all() }, &[]);
        assert_eq!(actions(&store, AuditFilter { until: Some(soon), ..all() }).len(), 6);
        assert_eq!(store.trim_audit(soon - std::time::Duration::from_secs(7_200)).wait().unwrap(), 0);
        assert_eq!(store.trim_audit(soon).wait().unwrap(), 6);
        check(all(), &[]);
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
