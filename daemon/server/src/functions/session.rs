//! The state machine of one worker's link. No I/O: frames go in, events come out.
//!
//! `Hello → Init → Ready`; any frame that is illegal at its place is a [`Violation`], after which the
//! worker is killed. The table of open invocations is the only source of a call's identity.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use alyx_core::schema::FunctionConfig;
use alyx_protocol::api::Problem;
use alyx_protocol::limits::{CALLS_PER_INVOCATION_MAX, OPEN_CALLS_MAX, WORKER_PROTOCOL};
use alyx_protocol::worker::{Call, Failed, FromWorker, Log, LogLevel};
use tokio::time::Instant;

use super::calls::{Asked, Operation};
use super::job::{Job, Outcome};
use super::logs::InvocationLog;
use super::transactions::OwnTransactions;
use crate::problem::{Code, problem};

/// Ids on the link stay exact in every language's numbers. Source: `protocol/src/worker.rs`.
const ID_MAX: u64 = 1 << 53;

/// How a worker broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

/// The state of one link.
#[derive(Debug)]
pub struct Session {
    config: Arc<FunctionConfig>,
    phase: Phase,
    next_invocation: u64,
    invocations: HashMap<u64, Slot>,
    open_calls: HashSet<u64>,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its shim has not spoken yet.
    Hello,
    /// It loads the user's code.
    Init,
    /// It takes invocations.
    Ready,
}

#[derive(Debug)]
enum Slot {
    Open(Box<Open>),
    /// Answered already: by us. The worker has until then to answer as well.
    GivenUp {
        kill_at: Instant,
    },
}

/// An open invocation.
#[derive(Debug)]
pub struct Open {
    /// What it is.
    pub job: Box<Job>,
    /// Its log so far.
    pub log: InvocationLog,
    /// When the worker got it.
    pub since: Instant,
    /// Processor time of the worker when we first looked, and what was used since. Microseconds.
    pub cpu_us: Option<(u64, u64)>,
    /// Its transaction, which ends with it.
    transactions: OwnTransactions,
    open_calls: usize,
    calls: u64,
}

/// What a frame means for the one who drives the session.
#[derive(Debug)]
pub enum Event {
    /// Send `init`.
    Greeted,
    /// The worker takes invocations.
    Ready,
    /// The user's code cannot be loaded.
    LoadFailed(Failed),
    /// An invocation has its answer.
    Answered(Box<Open>, Outcome),
    /// An invocation we had given up on is out of the worker.
    SlotFree,
    /// Carry out a call, then `call_done`.
    Call {
        /// Id of the call.
        call: u64,
        /// The invocation it acts for.
        invocation: u64,
        /// What it asks for, and on whose behalf.
        asked: Box<Asked>,
    },
    /// Answer a call with this problem.
    Refuse(u64, Box<Problem>),
    /// A log line, of an open invocation if there is an id.
    Line(Option<u64>, LogLevel, String),
}

impl Session {
    /// A session before the first frame.
    pub fn new(config: Arc<FunctionConfig>) -> Self {
        Self {
            config,
            phase: Phase::Hello,
            next_invocation: 1,
            invocations: HashMap::new(),
            open_calls: HashSet::new(),
        }
    }

    /// How far the worker has come.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Invocations in the worker, those given up on among them.
    pub fn len(&self) -> usize {
        self.invocations.len()
    }

    /// Opens an invocation and gives its number on this link.
    pub fn open(&mut self, mut job: Box<Job>) -> u64 {
        let since = Instant::now();
        job.deadline = since + self.config.timeout;
        let invocation = self.next_invocation;
        self.next_invocation += 1;
        let open = Open {
            log: InvocationLog::new(self.config.limits.logs_bytes),
            since,
            cpu_us: None,
            transactions: OwnTransactions::default(),
            open_calls: 0,
            calls: 0,
            job,
        };
        self.invocations.insert(invocation, Slot::Open(Box::new(open)));
        invocation
    }

    /// An open invocation.
    pub fn get(&mut self, invocation: u64) -> Option<&mut Open> {
        match self.invocations.get_mut(&invocation) {
            Some(Slot::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// The one open invocation, if it is the only thing in the worker.
    pub fn single(&mut self) -> Option<(u64, &mut Open)> {
        if self.invocations.len() != 1 {
            return None;
        }
        self.opened().next()
    }

    /// All open invocations.
    pub fn opened(&mut self) -> impl Iterator<Item = (u64, &mut Open)> {
        self.invocations.iter_mut().filter_map(|(invocation, slot)| match slot {
            Slot::Open(open) => Some((*invocation, &mut **open)),
            Slot::GivenUp { .. } => None,
        })
    }

    /// The earliest moment at which something is due: a deadline or the end of a grace.
    pub fn next_due(&self) -> Option<Instant> {
        let due = |slot: &Slot| match slot {
            Slot::Open(open) => open.job.deadline,
            Slot::GivenUp { kill_at } => *kill_at,
        };
        self.invocations.values().map(due).min()
    }

    /// Open invocations whose time is up.
    pub fn overdue(&mut self, now: Instant) -> Vec<u64> {
        self.opened().filter(|(_, open)| open.job.deadline <= now).map(|(invocation, _)| invocation).collect()
    }

    /// Whether an invocation that was given up on is still in the worker after its grace.
    pub fn must_die(&self, now: Instant) -> bool {
        self.invocations.values().any(|slot| matches!(slot, Slot::GivenUp { kill_at } if *kill_at <= now))
    }

    /// Takes an open invocation out to be answered by us; the worker has until `kill_at` to let go.
    pub fn give_up(&mut self, invocation: u64, kill_at: Instant) -> Option<Box<Open>> {
        let slot = self.invocations.get_mut(&invocation)?;
        if matches!(slot, Slot::GivenUp { .. }) {
            return None;
        }
        match std::mem::replace(slot, Slot::GivenUp { kill_at }) {
            Slot::Open(open) => Some(open),
            Slot::GivenUp { .. } => None,
        }
    }

    /// Takes all open invocations out: the worker is lost.
    pub fn take_all(&mut self) -> VecDeque<Box<Open>> {
        let slots = std::mem::take(&mut self.invocations);
        slots
            .into_values()
            .filter_map(|slot| match slot {
                Slot::Open(open) => Some(open),
                Slot::GivenUp { .. } => None,
            })
            .collect()
    }

    /// A call has its answer. `false` where nobody waits for it any more.
    pub fn call_done(&mut self, call: u64, invocation: u64) -> bool {
        self.open_calls.remove(&call);
        match self.get(invocation) {
            Some(open) => {
                open.open_calls -= 1;
                true
            }
            None => false,
        }
    }

    /// Takes one frame.
    pub fn handle(&mut self, frame: FromWorker) -> Result<Event, Violation> {
        match (self.phase, frame) {
            (Phase::Hello, FromWorker::Hello(hello)) => {
                let runtime = self.config.runtime.as_str();
                if hello.protocol != WORKER_PROTOCOL {
                    return violation(format!("its shim speaks protocol {}", hello.protocol));
                }
                if hello.runtime != runtime {
                    return violation(format!("its shim is not the one of {runtime}"));
                }
                self.phase = Phase::Init;
                Ok(Event::Greeted)
            }
            (Phase::Init, FromWorker::Ready(_)) => {
                self.phase = Phase::Ready;
                Ok(Event::Ready)
            }
            (Phase::Init, FromWorker::Failed(failed)) if failed.invocation.is_none() => {
                Ok(Event::LoadFailed(failed))
            }
            (Phase::Init | Phase::Ready, FromWorker::Log(log)) => self.log(log),
            (Phase::Ready, FromWorker::Call(call)) => self.call(call),
            (Phase::Ready, FromWorker::Done(done)) => self.answered(done.invocation, Outcome::Done(done)),
            (Phase::Ready, FromWorker::Failed(failed)) => match failed.invocation {
                Some(invocation) => self.answered(invocation, Outcome::Failed(failed)),
                None => violation("it failed to load after it was ready"),
            },
            (phase, frame) => violation(format!("{} is illegal in state {phase:?}", name(&frame))),
        }
    }

    fn answered(&mut self, invocation: u64, outcome: Outcome) -> Result<Event, Violation> {
        match self.invocations.remove(&invocation) {
            Some(Slot::Open(open)) => Ok(Event::Answered(open, outcome)),
            Some(Slot::GivenUp { .. }) => Ok(Event::SlotFree),
            None => violation(format!("it answered invocation {invocation}, which is not open")),
        }
    }

    fn log(&mut self, log: Log) -> Result<Event, Violation> {
        let invocation = match log.invocation {
            Some(invocation) if !self.is_known(invocation) => {
                return violation(format!("it logs for invocation {invocation}, which never was"));
            }
            Some(invocation) if self.get(invocation).is_some() => Some(invocation),
            _ => None,
        };
        Ok(Event::Line(invocation, log.level, log.message))
    }

    fn call(&mut self, call: Call) -> Result<Event, Violation> {
        let (id, invocation) = (call.call, call.invocation);
        if !(1..ID_MAX).contains(&id) || self.open_calls.contains(&id) {
            return violation(format!("it uses call id {id} wrongly"));
        }
        if !self.is_known(invocation) {
            return violation(format!("it calls for invocation {invocation}, which never was"));
        }
        let Some(open) = self.get(invocation) else {
            let gone = problem(Code::InvocationGone, "The invocation that this call acts for has ended.");
            return Ok(Event::Refuse(id, Box::new(gone)));
        };
        open.calls += 1;
        if open.calls > CALLS_PER_INVOCATION_MAX {
            let detail = format!("An invocation may make {CALLS_PER_INVOCATION_MAX} calls.");
            return Ok(Event::Refuse(id, Box::new(problem(Code::TooManyRequests, detail))));
        }
        if open.open_calls >= OPEN_CALLS_MAX {
            let detail = format!("An invocation may have {OPEN_CALLS_MAX} calls open at once.");
            return Ok(Event::Refuse(id, Box::new(problem(Code::TooManyRequests, detail))));
        }
        let operation = match Operation::parse(&call.op, &call.args) {
            Ok(operation) => operation,
            Err(problem) => return Ok(Event::Refuse(id, problem)),
        };
        open.open_calls += 1;
        let asked = Asked {
            identity: open.job.identity.clone(),
            facts: Arc::clone(&open.job.facts),
            transactions: open.transactions.0.clone(),
            within: call.transaction,
            operation,
        };
        self.open_calls.insert(id);
        Ok(Event::Call { call: id, invocation, asked: Box::new(asked) })
    }

    /// Whether the number was ever given out on this link.
    const fn is_known(&self, invocation: u64) -> bool {
        invocation >= 1 && invocation < self.next_invocation
    }
}

fn violation<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

const fn name(frame: &FromWorker) -> &'static str {
    match frame {
        FromWorker::Hello(_) => "hello",
        FromWorker::Ready(_) => "ready",
        FromWorker::Call(_) => "call",
        FromWorker::Log(_) => "log",
        FromWorker::Done(_) => "done",
        FromWorker::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests;
