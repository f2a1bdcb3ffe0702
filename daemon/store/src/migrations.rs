//! The store's own tables: numbered SQL files, applied in order, forward only, never edited once
//! released. `user_version` counts the applied ones. Those that are missing are one
//! transaction with their count, so that a start waits for the disk once and an upgrade is done or not.

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_audit.sql"),
    include_str!("migrations/0003_answers.sql"),
    include_str!("migrations/0004_changes.sql"),
    include_str!("migrations/0005_sessions.sql"),
    include_str!("migrations/0006_schema_changes.sql"),
    include_str!("migrations/0007_mail.sql"),
    include_str!("migrations/0008_lockouts.sql"),
    include_str!("migrations/0009_identities.sql"),
    include_str!("migrations/0010_passkeys.sql"),
    include_str!("migrations/0011_pending_passwords.sql"),
    include_str!("migrations/0012_feed.sql"),
    include_str!("migrations/0013_secrets.sql"),
    include_str!("migrations/0014_jobs.sql"),
    include_str!("migrations/0015_api_keys.sql"),
    include_str!("migrations/0016_events.sql"),
    include_str!("migrations/0017_execution_texts.sql"),
    include_str!("migrations/0018_webhooks.sql"),
    include_str!("migrations/0019_schedules.sql"),
    include_str!("migrations/0020_mail_jobs.sql"),
    include_str!("migrations/0021_inbound.sql"),
];

/// Applies what is missing.
pub(crate) fn apply(connection: &mut Connection) -> Result<(), Error> {
    apply_up_to(connection, MIGRATIONS.len())
}

/// How many are applied. An error if there are more than we know.
pub(crate) fn applied(connection: &Connection) -> Result<usize, Error> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(found)
        .ok()
        .filter(|applied| *applied <= MIGRATIONS.len())
        .ok_or_else(|| Error::Newer { found, known: i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX) })
}

fn apply_up_to(connection: &mut Connection, count: usize) -> Result<(), Error> {
    let applied = applied(connection)?;
    if applied >= count {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for sql in &MIGRATIONS[applied..count] {
        transaction.execute_batch(sql)?;
    }
    transaction.execute_batch(&format!("PRAGMA user_version = {count}"))?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{MIGRATIONS, apply, apply_up_to};
    use crate::Error;

    fn describe(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn fresh_equals_all_applied_one_by_one() {
        let mut fresh = Connection::open_in_memory().unwrap();
        apply(&mut fresh).unwrap();
        let mut stepwise = Connection::open_in_memory().unwrap();
        for count in 0..=MIGRATIONS.len() {
            apply_up_to(&mut stepwise, count).unwrap();
        }
        apply(&mut stepwise).unwrap();
        assert_eq!(describe(&fresh), describe(&stepwise));
        assert!(describe(&fresh).iter().all(|line| line.contains("_alyx_") || line.contains("sqlite_")));
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(apply(&mut connection), Err(Error::Newer { found: 99, .. })));
    }
}
