//! Several reads and writes of documents as one: all of them are committed together, or none is.
//!
//! There are two ways in. [`Store::transact`] takes a program that runs in the writer's thread, where
//! nothing can come between what it reads and what it writes; it must not wait for anything.
//! [`Store::begin`] lends the writer to a caller who decides step by step, for a bounded time; whoever
//! wants to write meanwhile waits in the queue, and readers see what was there before.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alyx_core::document::Document;
use alyx_core::query::ListQuery;
use alyx_core::rules::{Lookups, RowFilter};
use alyx_core::schema::Collection;
use alyx_core::value::Value;

use crate::documents;
use crate::handle::{Pending, Store};
use crate::limits::STEPS_MAX;
use crate::lookups::ConnectionLookups;
use crate::queue::Queue;
use crate::writer::{Command, Loan, Session, Step};
use crate::{AuditRow, Error, accounts, audit, sessions};

/// What a program of [`Store::transact`] may do.
pub struct Transaction<'a, 'c> {
    pub(crate) session: &'a mut Session<'c>,
}

/// Why a program of [`Store::transact`] came to nothing.
#[derive(Debug)]
pub enum Abort<R> {
    /// The store could not do it.
    Store(Error),
    /// The program itself refused.
    Refused(R),
}

impl<R> From<Error> for Abort<R> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The work of a program, without its result.
pub(crate) struct Program(Box<Steps>);

type Steps = dyn FnOnce(&mut Session<'_>) -> Result<(), Error> + Send;

impl fmt::Debug for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Program")
    }
}

pub(crate) fn run(session: &mut Session<'_>, program: Program) -> Result<(), Error> {
    (program.0)(session)
}

/// The writer, lent. Dropping it undoes what was done.
#[derive(Debug)]
pub struct Interactive {
    store: Store,
    steps: Arc<Queue<Step>>,
}

impl Store {
    /// Runs a program in one transaction. If it fails or refuses, nothing of it remains.
    ///
    /// The program runs in the writer's thread, so everybody else waits for it: it computes and uses the
    /// transaction, and never blocks. Once this future was polled the program runs, also if the future
    /// is dropped.
    ///
    /// # Errors
    /// What the program returned, and what hits any write: [`Error::Busy`], [`Error::Interrupted`],
    /// [`Error::DiskFull`], [`Error::ReadOnly`].
    pub async fn transact<T, R, F>(&self, program: F) -> Result<T, Abort<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: FnOnce(&mut Transaction<'_, '_>) -> Result<T, Abort<R>> + Send + 'static,
    {
        let outcome = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&outcome);
        let program = Program(Box::new(move |session| {
            let (found, answer) = match program(&mut Transaction { session }) {
                Ok(output) => (Ok(output), Ok(())),
                Err(Abort::Refused(reason)) => (Err(reason), Err(Error::Refused)),
                Err(Abort::Store(error)) => return Err(error),
            };
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            answer
        }));
        let ended = self.write(Command::Transact, program).await;
        let found = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (ended, found) {
            (Ok(()), Some(Ok(output))) => Ok(output),
            (Err(Error::Refused), Some(Err(reason))) => Err(Abort::Refused(reason)),
            (Err(error), _) => Err(Abort::Store(error)),
            (Ok(()), _) => Err(Error::internal("run a program", "it left no result").into()),
        }
    }

    /// Lends the writer for at most `limit`. What is read and written through
    /// [`Interactive::store`] until then sees and makes one transaction.
    ///
    /// # Errors
    /// What hits any write, [`Error::Busy`] above all.
    pub async fn begin(&self, limit: Duration) -> Result<Interactive, Error> {
        let steps = Arc::new(Queue::new(STEPS_MAX));
        // Made before the wait: if nobody waits any more, its end gives the writer back.
        let lent = Interactive { store: self.borrowing(Arc::clone(&steps)), steps: Arc::clone(&steps) };
        self.write(Command::Lend, Loan { steps, limit }).await?;
        Ok(lent)
    }
}

impl Interactive {
    /// The store as it is inside of the transaction.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Makes everything durable that was written.
    ///
    /// Fails with [`Error::TransactionEnded`] if the time was over before, and as any write. Nothing
    /// remains of it then.
    pub fn commit(&self) -> Pending<()> {
        let (reply, pending, _) = Pending::new();
        match self.steps.push(Step::Commit(reply)) {
            Ok(()) => pending,
            Err(_) => Pending::failed(Error::TransactionEnded),
        }
    }
}

impl Drop for Interactive {
    fn drop(&mut self) {
        self.steps.close();
    }
}

impl Transaction<'_, '_> {
    /// When this happens, in the stored form of a timestamp.
    #[must_use]
    pub fn now(&self) -> &str {
        &self.session.now
    }

    /// The document with this id.
    ///
    /// # Errors
    /// [`Error::Internal`] and [`Error::Corrupt`].
    pub fn get(&self, collection: &Collection, id: &str) -> Result<Option<Document>, Error> {
        documents::fetch(self.session.connection, collection, id)
    }

    /// Runs `decide` where it can look up documents, as they are in this transaction.
    ///
    /// # Errors
    /// Those of a lookup that failed, whatever `decide` made of it.
    pub fn with_lookups<T>(&self, decide: impl FnOnce(&dyn Lookups) -> T) -> Result<T, Error> {
        let lookups = ConnectionLookups::new(self.session.connection);
        let decided = decide(&lookups);
        lookups.finish().map(|()| decided)
    }

    /// The document with this value in a unique field.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn find(
        &self,
        collection: &Collection,
        field: usize,
        value: &Value,
    ) -> Result<Option<Document>, Error> {
        documents::find(self.session.connection, collection, field, value)
    }

    /// The documents that `rule` lets through and `query` asks for, one more than its limit if there are
    /// more. Its fields, cursor and count do not matter.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn select(
        &self,
        collection: &Collection,
        rule: &RowFilter,
        query: &ListQuery,
    ) -> Result<Vec<Document>, Error> {
        documents::select(self.session.connection, collection, rule, query)
    }

    /// As [`Store::create`].
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create(
        &mut self,
        collection: &Collection,
        document: Document,
        actor: &str,
    ) -> Result<Document, Error> {
        let created = documents::insert(self.session, collection, document, actor)?;
        if accounts::is_users(collection) {
            accounts::bind(self.session, collection, &created, None)?;
        }
        Ok(created)
    }

    /// Replaces the values of `before`, which must have been read in this transaction.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub fn replace(
        &mut self,
        collection: &Collection,
        before: &Document,
        document: Document,
        actor: &str,
    ) -> Result<Document, Error> {
        let after = documents::replace(self.session, collection, before, document, actor)?;
        if accounts::is_users(collection)
            && accounts::is_disabled(collection, &after)
            && let Some(id) = after.values[collection.primary().0].as_text()
        {
            sessions::end_all_of(self.session, id)?;
        }
        Ok(after)
    }

    /// Deletes `before`, which must have been read in this transaction, with what refers to it. Answers
    /// the ids of the accounts that ended by it.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn delete(
        &mut self,
        collection: &Collection,
        before: &Document,
        actor: &str,
    ) -> Result<Vec<String>, Error> {
        documents::remove(self.session, collection, before, actor)
    }

    /// Adds a row to the audit log, which is there exactly if this transaction is.
    ///
    /// # Errors
    /// What hits any write.
    pub fn audit(&mut self, row: AuditRow) -> Result<(), Error> {
        audit::append(self.session, row)
    }
}

impl fmt::Debug for Transaction<'_, '_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Transaction")
    }
}
