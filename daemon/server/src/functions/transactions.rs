//! The transaction of one invocation: at most one at a time, told by the number that its begin answered,
//! and over with the invocation at the latest.
//!
//! Calls within it take their turns in the order in which they came, so a commit is after every write
//! that was asked for before it, whether somebody waited for that write or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_protocol::api::Problem;
use tokio::sync::oneshot;

use crate::documents::{Documents, OpenTransaction};
use crate::problem::{Code, problem};

/// What an invocation has of transactions. Clones share it.
#[derive(Clone, Default)]
pub struct Transactions(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    phase: Phase,
    /// Number of the newest one.
    last: u64,
    /// Fires when the last call in the order has been carried out.
    tail: Option<oneshot::Receiver<()>>,
}

#[derive(Default)]
enum Phase {
    /// None is open.
    #[default]
    Idle,
    /// One was asked for; the writer is not ours yet.
    Opening,
    Open(Arc<OpenTransaction>),
    /// The invocation is over.
    Over,
}

/// The place of a call in the order of its transaction. The next one's turn comes when it is dropped.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _after: oneshot::Sender<()>,
}

impl Turn {
    /// Waits for those before.
    pub async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: the end of the other side is the sign.
            drop(before.await);
        }
    }
}

impl Transactions {
    /// Notes that one is being begun.
    pub fn opening(&self) -> Result<(), Box<Problem>> {
        let mut state = self.lock();
        match state.phase {
            Phase::Idle => {
                state.phase = Phase::Opening;
                Ok(())
            }
            Phase::Opening | Phase::Open(_) => {
                let detail = "This invocation has a transaction open already; they do not nest.";
                Err(Box::new(problem(Code::TransactionOpen, detail)))
            }
            Phase::Over => Err(gone()),
        }
    }

    /// Keeps the one that was begun and numbers it; nothing where beginning failed.
    pub fn opened(&self, begun: Option<OpenTransaction>) -> Option<u64> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Opening) {
            return None;
        }
        let Some(begun) = begun else {
            state.phase = Phase::Idle;
            return None;
        };
        state.last += 1;
        state.tail = None;
        state.phase = Phase::Open(Arc::new(begun));
        Some(state.last)
    }

    /// Takes a place in the order of a transaction.
    pub fn turn(&self) -> Turn {
        let (after, tail) = oneshot::channel();
        Turn { before: self.lock().tail.replace(tail), _after: after }
    }

    /// The documents as the transaction of this number sees them.
    pub fn documents(&self, number: u64) -> Result<Documents, Box<Problem>> {
        let state = self.lock();
        match &state.phase {
            Phase::Open(open) if state.last == number => Ok(open.documents().clone()),
            _ => Err(ended()),
        }
    }

    /// Takes the transaction of this number out, to be ended. Dropping it undoes it.
    pub fn take(&self, number: u64) -> Result<Arc<OpenTransaction>, Box<Problem>> {
        let mut state = self.lock();
        match std::mem::take(&mut state.phase) {
            Phase::Open(open) if state.last == number => Ok(open),
            other => {
                state.phase = other;
                Err(ended())
            }
        }
    }

    /// Refuses a write that is not part of the transaction: it would wait for the end of a transaction
    /// that may wait for it.
    pub fn check_outside(&self) -> Result<(), Box<Problem>> {
        match self.lock().phase {
            Phase::Opening | Phase::Open(_) => {
                let detail = "This invocation has a transaction open; write through it, or after it.";
                Err(Box::new(problem(Code::TransactionOpen, detail)))
            }
            Phase::Idle | Phase::Over => Ok(()),
        }
    }

    /// The invocation is over: what is open is undone.
    pub fn end(&self) {
        let phase = std::mem::replace(&mut self.lock().phase, Phase::Over);
        drop(phase);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Transactions")
    }
}

/// What belongs to an open invocation, and ends its transaction with it.
#[derive(Debug, Default)]
pub struct OwnTransactions(pub Transactions);

impl Drop for OwnTransactions {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn ended() -> Box<Problem> {
    let detail = "This transaction is over; begin another one.";
    Box::new(problem(Code::TransactionEnded, detail))
}

fn gone() -> Box<Problem> {
    Box::new(problem(Code::InvocationGone, "The invocation that this call acts for has ended."))
}
