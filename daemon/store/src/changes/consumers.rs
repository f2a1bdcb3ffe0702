//! Durable consumers of the change feed: how far each has come. What one of them has not seen is kept.

use rusqlite::params;

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// How far a consumer has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// The last change it has dealt with.
    pub seq: u64,
    /// When it said so.
    pub updated_at: jiff::Timestamp,
}

/// Input of [`set`].
#[derive(Debug)]
pub(crate) struct SetConsumer {
    name: String,
    seq: u64,
}

impl Store {
    /// Notes that a consumer has dealt with everything up to `seq`; a new name becomes a consumer. It
    /// never goes back: a lower number than before changes nothing.
    pub fn set_consumer(&self, name: &str, seq: u64) -> Pending<()> {
        self.write(Command::SetConsumer, SetConsumer { name: name.to_owned(), seq })
    }

    /// Forgets a consumer, so that nothing is kept for it any more. Answers whether there was one.
    pub fn remove_consumer(&self, name: &str) -> Pending<bool> {
        self.write(Command::RemoveConsumer, name.to_owned())
    }

    /// All consumers by name.
    pub fn consumers(&self) -> Pending<Vec<Consumer>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection
                .prepare_cached("SELECT name, seq, updated_at FROM _alyx_consumers ORDER BY name")?;
            let mut rows = statement.query([])?;
            let mut consumers = Vec::new();
            while let Some(row) = rows.next()? {
                consumers.push(Consumer {
                    name: row.get(0)?,
                    seq: row.get::<_, i64>(1)?.unsigned_abs(),
                    updated_at: time::from_text(&row.get::<_, String>(2)?)?,
                });
            }
            Ok(consumers)
        })
    }
}

pub(crate) fn set(session: &mut Session<'_>, input: SetConsumer) -> Result<(), Error> {
    let seq = i64::try_from(input.seq).unwrap_or(i64::MAX);
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_consumers (name, seq, updated_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET seq = max(seq, ?2), updated_at = ?3",
        )?
        .execute(params![input.name, seq, session.now])?;
    Ok(())
}

pub(crate) fn remove(session: &mut Session<'_>, name: String) -> Result<bool, Error> {
    let removed =
        session.connection.prepare_cached("DELETE FROM _alyx_consumers WHERE name = ?")?.execute([name])?;
    Ok(removed > 0)
}
