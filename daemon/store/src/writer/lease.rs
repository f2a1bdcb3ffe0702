//! The writer, lent to one caller who decides step by step. Everybody else's writes wait in the queue,
//! so the time is bounded and the writer's own clock ends it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Command, Job, Queued, Session, Writer, expire};
use crate::Error;
use crate::changes::Marks;
use crate::handle::Reply;
use crate::limits::PROGRESS_STEPS;
use crate::queue::{Popped, Queue};
use crate::readers::{Over, Reading, Work};

/// Input of the command.
#[derive(Debug)]
pub(crate) struct Loan {
    pub(crate) steps: Arc<Queue<Step>>,
    pub(crate) limit: Duration,
}

/// What the borrower asks for.
pub(crate) enum Step {
    Read(Work),
    Write(Box<Queued>),
    Commit(Reply<()>),
}

impl Step {
    fn refuse(self, error: Error) {
        match self {
            Self::Read(work) => work(Err(error)),
            Self::Write(queued) => queued.command.refuse(error),
            Self::Commit(reply) => reply.send(Err(error)),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Read(_) => "Read",
            Self::Write(_) => "Write",
            Self::Commit(_) => "Commit",
        })
    }
}

/// How the loan ended.
enum End {
    /// With what was changed.
    Commit(Reply<()>, Marks),
    /// Given up, out of time, or lost to SQLite.
    RollBack,
}

impl Writer {
    /// Lends the writer until the borrower commits, gives up or runs out of time.
    pub(super) fn lend(&mut self, queued: Queued) {
        let Some(queued) = expire(vec![queued]).pop() else { return };
        let Command::Lend(Job { input: loan, reply }) = queued.command else { return };
        if let Err(error) = self.begin() {
            self.note(Some(&error));
            return reply.send(Err(error));
        }
        let Loan { steps, limit } = loan;
        let deadline = Instant::now() + limit;
        let over: Over = Arc::new(move || Instant::now() >= deadline);
        let handler = Arc::clone(&over);
        let ready = self.connection.progress_handler(PROGRESS_STEPS, Some(move || handler()));
        let ready = ready.map_err(Error::from);
        let end = match &ready {
            Ok(()) => {
                reply.send(Ok(()));
                self.follow(&steps, deadline, &over)
            }
            Err(error) => {
                reply.send(Err(error.clone()));
                End::RollBack
            }
        };
        if let Err(error) = self.connection.progress_handler(0, None::<fn() -> bool>) {
            tracing::error!(error = %error, "the deadline of a transaction could not be taken away");
        }
        self.finish(end);
        self.keep_log_short();
        steps.close();
        while let Popped::Items(left) = steps.drain(1, None) {
            left.into_iter().for_each(|step| step.refuse(Error::TransactionEnded));
        }
    }

    fn follow(&self, steps: &Queue<Step>, deadline: Instant, over: &Over) -> End {
        let mut session = self.session();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let step = match steps.drain(1, Some(left)) {
                Popped::Items(mut step) => step.pop(),
                Popped::Quiet | Popped::Closed => None,
            };
            match step {
                None => return End::RollBack,
                Some(step) if left.is_zero() => {
                    step.refuse(Error::TransactionEnded);
                    return End::RollBack;
                }
                Some(Step::Commit(reply)) => return End::Commit(reply, session.changes),
                Some(Step::Read(work)) => work(Ok(Reading::new(&self.connection, over))),
                Some(Step::Write(queued)) => write(&mut session, *queued),
            }
            if self.connection.is_autocommit() {
                // SQLite gave the transaction up: a full disk, or a write that ran out of time.
                return End::RollBack;
            }
        }
    }

    fn finish(&mut self, end: End) {
        match end {
            End::Commit(reply, changes) => {
                let (last_change, jobs) = (changes.last(), changes.has_jobs());
                let outcome = self.finish_transaction(last_change);
                match &outcome {
                    Ok(()) => self.tell_accounts(&changes.into_accounts()),
                    Err(error) => self.roll_back(error),
                }
                self.note(outcome.as_ref().err());
                let committed = outcome.is_ok();
                reply.send(outcome);
                if committed {
                    self.tell_what_is_new(last_change, jobs);
                }
            }
            End::RollBack if self.connection.is_autocommit() => {}
            End::RollBack => {
                if let Err(error) = self.execute("ROLLBACK") {
                    tracing::error!(error = %error, "a transaction could not be rolled back");
                }
            }
        }
    }
}

/// A loan is no command among others: within a transaction there is nothing to lend.
pub(super) fn refuse(_: &mut Session<'_>, _: Loan) -> Result<(), Error> {
    Err(Error::internal("lend the writer", "it is lent already"))
}

fn write(session: &mut Session<'_>, queued: Queued) {
    if queued.command.is_alone() || queued.command.is_loan() {
        let error = Error::internal("write in a transaction", "the command needs one of its own");
        return queued.command.refuse(error);
    }
    session.audit = queued.audit.map(Arc::unwrap_or_clone);
    session.depth = queued.depth;
    queued.command.run(session).answer(None);
}
