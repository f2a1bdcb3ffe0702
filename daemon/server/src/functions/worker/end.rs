//! The end of a worker: why it ended, who is told, and the wait until nothing of it is left.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Over, Worker};
use crate::functions::ending::Ending;
use crate::functions::job::Outcome;
use crate::functions::limits::{EXIT_CAUSE_WAIT, STOP_GRACE};
use crate::functions::logs::{Stream, bounded};
use crate::functions::pool::WorkerEnd;
use crate::functions::session::Phase;
use crate::functions::supervisor::Exit;

/// Whether the invocation that was open alone gets the cause as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// Yes.
    OnlyOne,
    /// No: the one to blame has its answer already.
    Nobody,
}

impl Worker {
    /// Answers what is open, tells the pool, and waits for the last of the worker.
    pub(super) async fn finish(mut self, over: Over) {
        // Calls of open invocations end with them: nobody could be told the result.
        self.tasks.abort_all();
        let retired = matches!(over, Over::Retired);
        let (ending, blame) = self.explain(over).await;
        self.drain();
        let opens = self.session.take_all();
        let alone = opens.len() == 1 && blame == Blame::OnlyOne;
        for open in opens {
            let own = if alone { ending.clone() } else { ending.for_bystanders() };
            self.answer(open, Outcome::Ended(own), false);
        }
        self.commands.close();
        let mut unsent = VecDeque::new();
        while let Ok(command) = self.commands.try_recv() {
            if let super::Command::Run(job) = command {
                unsent.push_back(job);
            }
        }
        if !retired {
            tracing::info!(
                function = %self.pool.context.config.name,
                worker = %self.id,
                "worker {} of function {} ended: {}",
                self.id, self.pool.context.config.name, ending.cause()
            );
        }
        let was = match self.session.phase() {
            Phase::Ready if retired => WorkerEnd::Retired,
            Phase::Ready if self.served => WorkerEnd::Served,
            Phase::Ready => WorkerEnd::ServedNothing,
            Phase::Hello | Phase::Init => WorkerEnd::NeverReady,
        };
        self.pool.gone(self.key, was, ending, unsent);
        self.spawning = None;
        if let Err(StillRunning) = self.wait_for_exit(STOP_GRACE + Duration::from_secs(3)).await {
            tracing::warn!(worker = %self.id, "worker {} has not ended in time", self.id);
            self.kill();
        }
    }

    /// Why it ended. Makes sure that it does end.
    async fn explain(&mut self, over: Over) -> (Ending, Blame) {
        let protocol = |detail: String| (Ending::Protocol { detail }, Blame::OnlyOne);
        match over {
            Over::Retired => {
                self.say_goodbye();
                self.pool.shared.supervisor.stop(self.id, STOP_GRACE);
                (Ending::WorkerLost { cause: "stopped" }, Blame::Nobody)
            }
            Over::Exited(exit) => (Ending::from_exit(&exit.cause), Blame::OnlyOne),
            Over::LinkBroken => match self.wait_for_exit(EXIT_CAUSE_WAIT).await {
                Ok(Some(exit)) => (Ending::from_exit(&exit.cause), Blame::OnlyOne),
                Ok(None) => {
                    let detail = "the supervisor went away".to_owned();
                    (Ending::Unavailable { detail }, Blame::OnlyOne)
                }
                Err(StillRunning) => {
                    self.kill();
                    protocol("it closed its link".to_owned())
                }
            },
            Over::Violation(detail) => {
                self.kill();
                protocol(detail)
            }
            Over::LoadFailed(failed) => {
                self.kill();
                let detail = failed.stack.unwrap_or_else(|| format!("{}: {}", failed.code, failed.message));
                (Ending::LoadFailed { detail: bounded(detail) }, Blame::OnlyOne)
            }
            Over::LoadTimeout => {
                self.kill();
                let detail = "Loading took too long.".to_owned();
                (Ending::LoadFailed { detail }, Blame::OnlyOne)
            }
            Over::Stuck => {
                self.kill();
                (Ending::WorkerLost { cause: "timeout" }, Blame::Nobody)
            }
            Over::CpuTime => {
                self.kill();
                (Ending::WorkerLost { cause: "cpu_time" }, Blame::Nobody)
            }
        }
    }

    fn kill(&self) {
        self.pool.shared.supervisor.kill(self.id);
    }

    /// The supervisor's word on the end; `None` where the supervisor is gone.
    async fn wait_for_exit(&mut self, patience: Duration) -> Result<Option<Exit>, StillRunning> {
        let Some(exited) = self.exited.as_mut() else { return Ok(None) };
        let Ok(exit) = tokio::time::timeout(patience, exited).await else { return Err(StillRunning) };
        self.exited = None;
        let exit = exit.ok();
        exit.iter().for_each(|exit| self.keep_usage(exit));
        Ok(exit)
    }

    pub(super) fn keep_usage(&mut self, exit: &Exit) {
        self.memory_peak_bytes = self.memory_peak_bytes.max(Some(exit.usage.memory_peak_bytes));
    }

    fn drain(&mut self) {
        let mut lines = Vec::new();
        self.stdout.drain(&mut lines);
        self.stdout.flush(&mut lines);
        self.print(Stream::Stdout, lines);
        let mut lines = Vec::new();
        self.stderr.drain(&mut lines);
        self.stderr.flush(&mut lines);
        self.print(Stream::Stderr, lines);
    }
}

/// The worker has not ended in time.
#[derive(Debug)]
struct StillRunning;
