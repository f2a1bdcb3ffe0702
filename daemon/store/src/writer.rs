//! The one thread that writes. It takes what is waiting, up to [`BATCH_MAX`] commands, runs each under
//! a savepoint of its own in one transaction, commits, and only then answers them all.
//!
//! So the price of making a write durable is shared, a command that fails leaves the others alone, and
//! an answer is never given before it is true. The thread itself never ends but by closing: a panic in
//! a command is that command's failure.

mod command;
mod lease;
pub(crate) mod ship;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use alyx_core::schema::Schema;
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

pub(crate) use command::{Command, Job, Queued, Settled};
pub(crate) use lease::{Loan, Step};
pub(crate) use watch::OpenedFile;

use crate::changes::Marks;
use crate::handle::Health;
use crate::jobs::Triggers;
use crate::limits::{BATCH_MAX, IDLE_CHECKPOINT, PROBE_PERIOD, PROGRESS_STEPS, WRITE_QUEUE_MAX};
use crate::migrate::guard::Guard;
use crate::migrate::{self, Restore};
use crate::queue::{Popped, Queue, Refused};
use crate::{
    AuditRow, Committed, Error, OnAccounts, OnChange, OnCommit, OnJobs, Options, Touched, backup, time,
};
use ship::{Ship, ShipShared};

/// The writer's way to the database and what a command may know.
pub(crate) struct Session<'a> {
    pub(crate) connection: &'a Connection,
    /// The applied schema: which collections refer to which.
    pub(crate) schema: Option<&'a Schema>,
    /// Becomes the applied schema once this is committed.
    pub(crate) next_schema: Option<Arc<Schema>>,
    /// When this happens, in the stored form.
    pub(crate) now: String,
    /// The changes made so far.
    pub(crate) changes: Marks,
    /// What changes cause.
    pub(crate) triggers: Arc<Triggers>,
    /// How many jobs caused each other before the command.
    pub(crate) depth: u32,
    /// Row of the audit log that goes with the command; the command may change it or take it away.
    pub(crate) audit: Option<AuditRow>,
    /// Confines statements of a migration file.
    pub(crate) guard: &'a Guard,
}

/// The thread's state.
pub(crate) struct Writer {
    connection: Connection,
    schema: Option<Arc<Schema>>,
    clock: fn() -> Timestamp,
    on_change: OnChange,
    on_accounts: OnAccounts,
    on_jobs: OnJobs,
    on_commit: OnCommit,
    file: OpenedFile,
    write_timeout: Duration,
    shared: Arc<Shared>,
    guard: Guard,
    ship: Option<Ship>,
}

/// What became of a group of commands before its commit.
struct Ran {
    settled: Vec<Settled>,
    /// An error if the transaction as a whole is lost.
    outcome: Result<(), Error>,
    next_schema: Option<Arc<Schema>>,
    /// The last change that was made.
    last_change: Option<u64>,
    /// Whether there may be jobs that were not there before.
    jobs: bool,
    /// Accounts that were touched.
    accounts: Vec<String>,
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct WriterLink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Queue<Queued>,
    health: Mutex<Health>,
    /// The applied schema, for reads that need it.
    schema: Mutex<Option<Arc<Schema>>>,
    triggers: Mutex<Arc<Triggers>>,
    ship: Option<Arc<ShipShared>>,
}

impl WriterLink {
    pub(crate) fn ship(&self) -> Option<Arc<ShipShared>> {
        self.0.ship.clone()
    }

    pub(crate) fn push(&self, queued: Queued) -> Result<(), Refused> {
        self.0.queue.push(queued)
    }

    pub(crate) fn close(&self) {
        self.0.queue.close();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.queue.len()
    }

    pub(crate) fn health(&self) -> Health {
        lock(&self.0.health).clone()
    }

    pub(crate) fn schema(&self) -> Option<Arc<Schema>> {
        lock(&self.0.schema).clone()
    }

    pub(crate) fn set_triggers(&self, triggers: Triggers) {
        *lock(&self.0.triggers) = Arc::new(triggers);
    }
}

impl Shared {
    fn set_health(&self, health: Health) {
        *lock(&self.health) = health;
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// However the thread ends, nobody waits for it any more: dropping a command answers its caller.
struct EndOfWriter(Arc<Shared>);

impl Drop for EndOfWriter {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.set_health(Health::Closed);
        while let Popped::Items(commands) = self.0.queue.drain(BATCH_MAX, None) {
            drop(commands);
        }
    }
}

type WriterThread = JoinHandle<Result<(), Error>>;

impl Writer {
    pub(crate) fn start(
        mut connection: Connection,
        options: &Options,
    ) -> Result<(WriterLink, WriterThread), Error> {
        let schema = migrate::stored_schema(&connection)?;
        let ship = options.shipping.map(|limits| Ship::open(&mut connection, options, limits)).transpose()?;
        let shared = Arc::new(Shared {
            ship: ship.as_ref().map(Ship::shared),
            queue: Queue::new(WRITE_QUEUE_MAX),
            health: Mutex::new(Health::Ok),
            schema: Mutex::new(schema.clone()),
            triggers: Mutex::default(),
        });
        let writer = Self {
            connection,
            schema,
            clock: options.clock,
            on_change: options.on_change.clone(),
            on_accounts: options.on_accounts.clone(),
            on_jobs: options.on_jobs.clone(),
            on_commit: options.on_commit.clone(),
            file: OpenedFile::new(&options.path)?,
            write_timeout: options.read_timeout,
            shared: Arc::clone(&shared),
            guard: Guard::default(),
            ship,
        };
        let thread = thread::Builder::new()
            .name("alyx-write".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::internal("start the writer", error))?;
        Ok((WriterLink(shared), thread))
    }

    fn run(mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let _ends_callers_wait = EndOfWriter(Arc::clone(&shared));
        let mut uncheckpointed = false;
        loop {
            let patience = if self.failure().is_some() {
                Some(PROBE_PERIOD)
            } else {
                uncheckpointed.then_some(IDLE_CHECKPOINT)
            };
            match shared.queue.drain(BATCH_MAX, patience) {
                Popped::Items(batch) => {
                    self.serve(batch);
                    uncheckpointed = true;
                }
                Popped::Quiet => {
                    self.recover();
                    uncheckpointed = false;
                    // With segments it is done when they are, so that quiet moments do not make many.
                    if self.ship.is_none() {
                        self.checkpoint_or_warn();
                    }
                }
                Popped::Closed => break,
            }
        }
        if let Some(ship) = &mut self.ship {
            // The log stays: the next opening goes on from it.
            ship.ship(&self.connection, (self.clock)())?;
            self.checkpoint("PASSIVE")?;
        } else {
            self.checkpoint("TRUNCATE")?;
        }
        self.connection.close().map_err(|(_, error)| error.into())
    }

    /// Why writes fail, if they do.
    fn failure(&self) -> Option<Error> {
        match &*lock(&self.shared.health) {
            Health::Degraded(error) => Some(error.clone()),
            Health::Ok | Health::Closed => None,
        }
    }

    /// Tries whether writes succeed again, so that nobody has to be refused to find out.
    fn recover(&self) {
        if let Some(failure) = self.failure() {
            let probed = watch::probe(&self.connection, &self.file, &failure);
            self.note(probed.as_ref().err());
        }
    }

    /// Begins a transaction in the file that is at the path.
    fn begin(&self) -> Result<(), Error> {
        self.file.check()?;
        self.execute("BEGIN IMMEDIATE")
    }

    /// Bounds the statements that follow; without a limit they are not bounded any more.
    fn limit_statements(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        let over = limit.map(|limit| {
            let deadline = Instant::now() + limit;
            move || Instant::now() >= deadline
        });
        Ok(self.connection.progress_handler(PROGRESS_STEPS, over)?)
    }

    fn checkpoint(&self, mode: &str) -> Result<(), Error> {
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        Ok(self.connection.query_row(&statement, [], |_| Ok(()))?)
    }

    fn checkpoint_or_warn(&self) {
        self.checkpoint("PASSIVE").unwrap_or_else(|error| {
            tracing::warn!(error = %error, "checkpoint failed; the next one makes up for it");
        });
    }

    /// Commits, and remembers when that was and up to which change.
    fn finish_transaction(&mut self, last_change: Option<u64>) -> Result<(), Error> {
        if let Some(ship) = &self.ship {
            ship.begin_commit();
        }
        let begun = Instant::now();
        let outcome = self.execute("COMMIT");
        (self.on_commit.0)(Committed { took: begun.elapsed(), succeeded: outcome.is_ok() });
        if let Some(ship) = &mut self.ship {
            ship.end_commit((self.clock)(), last_change);
        }
        outcome
    }

    /// Puts what is committed into a segment, and what the log holds into the database if that is `due`.
    fn keep(&mut self, due: fn(&mut Ship) -> bool) -> Result<(), Error> {
        let Some(ship) = &mut self.ship else { return Ok(()) };
        ship.ship(&self.connection, (self.clock)())?;
        if due(ship) {
            ship.checkpointed();
            self.checkpoint_or_warn();
        }
        Ok(())
    }

    /// A log that has become long is emptied after it was kept.
    fn keep_log_short(&mut self) {
        if self.ship.as_mut().is_some_and(Ship::is_long) {
            // Its failure is in the state and the log already.
            let _told = self.keep(|_| true);
        }
    }

    /// Splits a batch where a command wants a transaction to itself, and keeps the order.
    fn serve(&mut self, batch: Vec<Queued>) {
        let mut group = Vec::with_capacity(batch.len());
        for queued in batch {
            if queued.command.is_alone() {
                self.commit(std::mem::take(&mut group));
                self.commit_alone(queued);
            } else if queued.command.is_loan() {
                self.commit(std::mem::take(&mut group));
                self.lend(queued);
            } else {
                group.push(queued);
            }
        }
        self.commit(group);
    }

    /// A schema change may make a table anew, which must not set off the foreign keys that refer to it.
    /// They can only be switched between transactions; the command checks all references itself.
    fn commit_alone(&mut self, queued: Queued) {
        if let Command::Restore(job) = queued.command {
            let outcome = self.restore(&job.input);
            return job.reply.send(outcome);
        }
        if let Command::Ship(job) = queued.command {
            let outcome = self.keep(|ship| ship.is_worth_a_checkpoint());
            return job.reply.send(outcome);
        }
        let prepared = self.guard.install(&mut self.connection);
        if let Err(error) = prepared.and_then(|()| self.execute("PRAGMA foreign_keys = OFF")) {
            return queued.command.refuse(error);
        }
        self.commit(vec![queued]);
        if let Err(error) = Guard::remove(&mut self.connection) {
            tracing::error!(error = %error, "statements are still looked at");
        }
        if let Err(error) = self.execute("PRAGMA foreign_keys = ON") {
            tracing::error!(error = %error, "foreign keys could not be switched on again");
        }
    }

    /// Not a transaction of ours: SQLite copies the pages and commits them together.
    fn restore(&mut self, input: &Restore) -> Result<(), Error> {
        let now = time::to_text((self.clock)());
        self.file.check()?;
        // What is taken back can be gone back to, if it can be kept.
        let _told = self.keep(|_| false);
        self.limit_statements(None)?;
        let outcome = migrate::prepare_restore(&self.connection, input, &now).and_then(|copy| {
            self.connection.flush_prepared_statement_cache();
            let backup = Backup::new(&copy, &mut self.connection)?;
            match backup.step(-1)? {
                StepResult::Done => Ok(()),
                _ => Err(Error::Busy),
            }
        });
        migrate::clean_restore(&input.scratch);
        outcome?;
        if let Some(ship) = &mut self.ship {
            ship.restored(&self.connection, (self.clock)())?;
        }
        self.schema = migrate::stored_schema(&self.connection)?;
        lock(&self.shared.schema).clone_from(&self.schema);
        (self.on_accounts.0)(Touched::All);
        // Whoever waits for a change finds that this is another incarnation.
        (self.on_change.0)(backup::position(&self.connection)?.0);
        Ok(())
    }

    fn commit(&mut self, group: Vec<Queued>) {
        let group = expire(group);
        if group.is_empty() {
            return;
        }
        let limit = (!group.iter().any(|queued| queued.command.is_alone())).then_some(self.write_timeout);
        if let Err(error) = self.limit_statements(limit).and_then(|()| self.begin()) {
            self.note(Some(&error));
            group.into_iter().for_each(|queued| queued.command.refuse(error.clone()));
            return;
        }
        let Ran { settled, mut outcome, next_schema, last_change, jobs, accounts } = self.run_group(group);
        if outcome.is_ok() {
            outcome = self.finish_transaction(last_change);
        }
        match &outcome {
            Ok(()) => {
                if let Some(schema) = next_schema {
                    (self.on_accounts.0)(Touched::All);
                    *lock(&self.shared.schema) = Some(Arc::clone(&schema));
                    self.schema = Some(schema);
                } else {
                    self.tell_accounts(&accounts);
                }
            }
            Err(error) => self.roll_back(error),
        }
        let first_degrading = settled.iter().filter_map(Settled::error).find(|error| error.degrades());
        self.note(outcome.as_ref().err().or(first_degrading));
        settled.into_iter().for_each(|settled| settled.answer(outcome.as_ref().err()));
        if outcome.is_ok() {
            self.tell_what_is_new(last_change, jobs);
        }
        self.keep_log_short();
    }

    /// Tells of changes and jobs that a commit made.
    fn tell_what_is_new(&self, last_change: Option<u64>, jobs: bool) {
        if let Some(seq) = last_change {
            (self.on_change.0)(seq);
        }
        if jobs {
            (self.on_jobs.0)();
        }
    }

    /// What commands run in.
    fn session(&self) -> Session<'_> {
        Session {
            connection: &self.connection,
            schema: self.schema.as_deref(),
            next_schema: None,
            now: time::to_text((self.clock)()),
            changes: Marks::default(),
            triggers: Arc::clone(&lock(&self.shared.triggers)),
            depth: 0,
            audit: None,
            guard: &self.guard,
        }
    }

    /// Tells of accounts that a commit touched.
    fn tell_accounts(&self, accounts: &[String]) {
        if !accounts.is_empty() {
            (self.on_accounts.0)(Touched::Some(accounts));
        }
    }

    /// Runs every command under its savepoint. The outcome is an error if the transaction as a whole is
    /// lost, which SQLite decides for some failures, such as a full disk.
    fn run_group(&self, group: Vec<Queued>) -> Ran {
        let mut session = self.session();
        let mut settled = Vec::with_capacity(group.len());
        let mut outcome = Ok(());
        for queued in group {
            if let Err(error) = &outcome {
                queued.command.refuse(Error::clone(error));
                continue;
            }
            session.audit = queued.audit.map(Arc::unwrap_or_clone);
            session.depth = queued.depth;
            session.changes.begin();
            let done = queued.command.run(&mut session);
            if self.connection.is_autocommit() {
                let lost = || Error::internal("keep the transaction", "SQLite rolled it back");
                outcome = Err(done.error().cloned().unwrap_or_else(lost));
            }
            settled.push(done);
        }
        let (last_change, jobs) = (session.changes.last(), session.changes.has_jobs());
        let accounts = session.changes.into_accounts();
        Ran { settled, outcome, last_change, jobs, next_schema: session.next_schema, accounts }
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn roll_back(&self, cause: &Error) {
        tracing::error!(error = %cause, "a commit failed; none of its writes was done");
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(error = %error, "the failed transaction could not be rolled back");
        }
    }

    /// Remembers whether writing as such works, and says so when it changes.
    fn note(&self, error: Option<&Error>) {
        let degraded = matches!(*lock(&self.shared.health), Health::Degraded(_));
        match error {
            Some(error) if error.degrades() => {
                if !degraded {
                    tracing::error!(error = %error, "writes fail, reads go on: {error}");
                }
                self.shared.set_health(Health::Degraded(error.clone()));
            }
            None if matches!(*lock(&self.shared.health), Health::Degraded(Error::Corrupt { .. })) => {
                // That one write worked says nothing about the damage.
            }
            None if degraded => {
                tracing::info!("writes succeed again");
                self.shared.set_health(Health::Ok);
            }
            Some(_) | None => {}
        }
    }
}

/// Answers those whose deadline passed while they waited; the others go on.
fn expire(group: Vec<Queued>) -> Vec<Queued> {
    let now = Instant::now();
    let mut kept = Vec::with_capacity(group.len());
    for queued in group {
        if queued.deadline.is_some_and(|deadline| now >= deadline) {
            queued.command.refuse(Error::Interrupted);
        } else if now >= queued.patience_ends {
            queued.command.refuse(Error::Busy);
        } else {
            kept.push(queued);
        }
    }
    kept
}

impl Session<'_> {
    /// Runs `work` so that its failure leaves nothing behind.
    pub(crate) fn savepoint<O>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<O, Error>,
    ) -> Result<O, Error> {
        self.execute("SAVEPOINT command")?;
        let touched = self.changes.touched();
        let answer = catch_unwind(AssertUnwindSafe(|| work(self)))
            .unwrap_or_else(|_| Err(Error::internal("write", "the writer panicked")));
        match answer {
            Ok(output) => {
                self.execute("RELEASE command")?;
                Ok(output)
            }
            // SQLite may have ended the transaction, and the savepoint with it.
            Err(error) if self.connection.is_autocommit() => Err(error),
            Err(error) => {
                self.execute("ROLLBACK TO command")?;
                self.execute("RELEASE command")?;
                self.changes.untouch(touched);
                Err(error)
            }
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Command, Job, Queued, Session, Writer, WriterLink};
    use crate::handle::{Health, Pending};
    use crate::keys::SigningKey;
    use crate::{Error, Options, connection};

    fn options(dir: &tempfile::TempDir) -> Options {
        Options::new(dir.path().join("data.db"))
    }

    fn send(link: &WriterLink, kid: &str) -> Pending<()> {
        let (reply, pending, _) = Pending::new();
        let created_at = "2026-01-02T03:04:05Z".parse().unwrap();
        let input = SigningKey { kid: kid.to_owned(), alg: String::new(), pkcs8: Vec::new(), created_at };
        let command = Command::AddSigningKey(Job { input, reply });
        link.push(Queued::new(command)).unwrap();
        pending
    }

    #[test]
    fn a_failed_commit_fails_every_command_of_its_batch() {
        let dir = tempfile::TempDir::new().unwrap();
        let options = options(&dir);
        let lock = connection::prepare_file(&options.path).unwrap();
        let mut connection = connection::open_writer(&options).unwrap();
        let refuse = Arc::new(AtomicBool::new(true));
        let hook = Arc::clone(&refuse);
        connection.commit_hook(Some(move || hook.load(Ordering::SeqCst))).unwrap();
        let gate = rusqlite::Connection::open(&options.path).unwrap();
        gate.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (link, thread) = Writer::start(connection, &options).unwrap();
        let answers: Vec<_> = (0..20).map(|number| send(&link, &number.to_string())).collect();
        gate.execute_batch("ROLLBACK").unwrap();
        for answer in answers {
            let answer = answer.wait();
            assert!(matches!(answer, Err(Error::Internal { .. })), "{answer:?}");
        }
        let count =
            || gate.query_row("SELECT count(*) FROM _alyx_signing_keys", [], |row| row.get::<_, i64>(0));
        assert_eq!(count().unwrap(), 0);

        refuse.store(false, Ordering::SeqCst);
        send(&link, "0").wait().unwrap();
        assert_eq!(count().unwrap(), 1);
        assert!(matches!(link.health(), Health::Ok));
        link.close();
        thread.join().unwrap().unwrap();
        drop(lock);
    }

    #[test]
    fn a_panic_is_the_failure_of_its_command_only() {
        let dir = tempfile::TempDir::new().unwrap();
        let connection = {
            let options = options(&dir);
            drop(connection::prepare_file(&options.path).unwrap());
            connection::open_writer(&options).unwrap()
        };
        let mut session = Session {
            connection: &connection,
            schema: None,
            next_schema: None,
            now: "2026".to_owned(),
            changes: crate::changes::Marks::default(),
            triggers: Arc::default(),
            depth: 0,
            audit: None,
            guard: &super::Guard::default(),
        };
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let add = |session: &Session<'_>, id: &str| {
            let sql = "INSERT INTO _alyx_credentials (user_id, updated_at) VALUES (?, 'x')";
            session.connection.execute(sql, [id]).map(drop).map_err(Error::from)
        };
        session.savepoint(|session| add(session, "a")).unwrap();
        let panicked: Result<(), Error> = session.savepoint(|session| {
            add(session, "b")?;
            panic!("as a test");
        });
        assert!(matches!(panicked, Err(Error::Internal { .. })), "{panicked:?}");
        session.savepoint(|session| add(session, "c")).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        let ids: String = connection
            .query_row("SELECT group_concat(user_id) FROM _alyx_credentials", [], |row| row.get(0))
            .unwrap();
        assert_eq!(ids, "a,c");
    }
}
