//! What a worker's task does on each wake: reading, writing, calls, timers, log lines.

use std::io;
use std::sync::Arc;

use alyx_protocol::worker::{Cancel, CancelReason, LogLevel, ToWorker};
use bytes::Buf;
use tokio::time::Instant;

use super::{Over, Read, TaskDone, Worker};
use crate::clock::now_text;
use crate::functions::ending::Ending;
use crate::functions::job::{Job, Outcome, Seen};
use crate::functions::limits::{
    CANCEL_GRACE, CPU_WATCH_AFTER, CPU_WATCH_EVERY, OUTBOUND_MAX_BYTES, PARTIAL_FRAME_TIMEOUT,
    STALLED_WRITE_TIMEOUT,
};
use crate::functions::logs::{Line, Stream, bounded};
use crate::functions::pool::Next;
use crate::functions::session::{Event, Open, Violation};
use crate::problem::{Code, error_chain, problem};

impl From<Violation> for Over {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation.0)
    }
}

impl Worker {
    /// Writes what the worker takes now.
    pub(super) fn flush(&mut self) -> Result<(), Over> {
        while !self.outbox.bytes.is_empty() {
            match self.stream.try_write(&self.outbox.bytes) {
                Ok(size) => {
                    self.outbox.bytes.advance(size);
                    self.stalled_due = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.outbox.bytes.len() > OUTBOUND_MAX_BYTES {
                        return Err(Over::Violation("it does not read its link".to_owned()));
                    }
                    self.stalled_due.get_or_insert_with(|| Instant::now() + STALLED_WRITE_TIMEOUT);
                    return Ok(());
                }
                Err(_) => return Err(Over::LinkBroken),
            }
        }
        self.stalled_due = None;
        Ok(())
    }

    /// Reads one chunk and handles every whole frame. One chunk a turn keeps timers and commands
    /// alive under a flood.
    pub(super) fn read(&mut self) -> Result<Read, Over> {
        match self.stream.try_read_buf(self.inbox.room()) {
            Ok(0) => return Err(Over::LinkBroken),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
            Err(_) => return Err(Over::LinkBroken),
        }
        let mut same_frame = true;
        while let Some(frame) = self.inbox.next().map_err(|error| Over::Violation(error_chain(&error)))? {
            same_frame = false;
            let event = self.session.handle(frame)?;
            self.on_event(event)?;
        }
        let running = self.partial_due.filter(|_| same_frame);
        self.partial_due = self
            .inbox
            .is_partial()
            .then(|| running.unwrap_or_else(|| Instant::now() + PARTIAL_FRAME_TIMEOUT));
        Ok(Read::Some)
    }

    fn on_event(&mut self, event: Event) -> Result<(), Over> {
        match event {
            Event::Greeted => self.init(),
            Event::Ready => {
                self.start_due = None;
                self.pool.ready(self.key, self.handle.clone());
                self.fill()
            }
            Event::LoadFailed(failed) => Err(Over::LoadFailed(failed)),
            Event::Answered(open, outcome) => {
                self.served = true;
                let last = self.session.len() == 0;
                let run = open.since.elapsed();
                self.answer(open, outcome, last);
                self.pool.slot_free(self.key, Some(run));
                self.fill()
            }
            Event::SlotFree => {
                self.pool.slot_free(self.key, None);
                self.fill()
            }
            Event::Call { call, invocation, asked } => {
                let running = self.pool.shared.calls.run(*asked);
                self.tasks.spawn(async move { TaskDone::Call { call, invocation, result: running.await } });
                Ok(())
            }
            Event::Refuse(call, problem) => self.reply(call, &Err(*problem)),
            Event::Line(invocation, level, message) => {
                self.line(invocation, level, Stream::Log, bounded(message));
                Ok(())
            }
        }
    }

    /// Takes as many waiting invocations as there is room for.
    fn fill(&mut self) -> Result<(), Over> {
        while !self.ending {
            match self.pool.next(self.key) {
                Next::Run(job) => self.start_invocation(job)?,
                Next::Nothing => return Ok(()),
                Next::Retire => return Err(Over::Retired),
            }
        }
        Ok(())
    }

    pub(super) fn start_invocation(&mut self, job: Box<Job>) -> Result<(), Over> {
        if job.reply.is_closed() {
            self.pool.context.refuse(job, Ending::ClientGone);
            self.pool.slot_free(self.key, None);
            return self.fill();
        }
        let timeout_ms = u64::try_from(self.pool.context.config.timeout.as_millis()).unwrap_or(u64::MAX);
        let invocation = self.session.open(job);
        if self.session.len() == 1 && self.cpu_due.is_none() {
            self.cpu_due = Some(Instant::now() + CPU_WATCH_AFTER);
        }
        let Some(open) = self.session.get(invocation) else { return Ok(()) };
        if self.outbox.invoke(invocation, timeout_ms, &open.job).is_err() {
            // The input has a smaller limit of its own, so this is a defect of ours.
            return Err(Over::Violation("its input does not fit a frame".to_owned()));
        }
        Ok(())
    }

    pub(super) fn on_task(&mut self, done: TaskDone) -> Result<(), Over> {
        match done {
            TaskDone::Call { call, invocation, result } => {
                if self.session.call_done(call, invocation) {
                    return self.reply(call, &result);
                }
                Ok(())
            }
            TaskDone::Usage { invocation, usage } => self.on_usage(invocation, usage),
        }
    }

    fn reply(&mut self, call: u64, result: &super::CallResult) -> Result<(), Over> {
        if self.outbox.reply(call, result).is_ok() {
            return Ok(());
        }
        let detail = "The answer is larger than a worker can take. Ask for less at once.";
        let queued = self.outbox.reply(call, &Err(problem(Code::BodyTooLarge, detail)));
        queued.map_err(|error| Over::Violation(error.to_string()))
    }

    pub(super) fn on_time(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        let is_over = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_over(self.start_due) {
            return Err(Over::LoadTimeout);
        }
        if is_over(self.partial_due) {
            return Err(Over::Violation("it began a frame and did not finish it".to_owned()));
        }
        if is_over(self.stalled_due) {
            return Err(Over::Violation("it does not read its link".to_owned()));
        }
        for invocation in self.session.overdue(now) {
            if let Some(open) = self.session.give_up(invocation, now + CANCEL_GRACE) {
                self.answer(open, Outcome::Ended(Ending::Timeout), true);
                self.cancel(invocation, CancelReason::Deadline);
            }
        }
        if self.session.must_die(now) {
            return Err(Over::Stuck);
        }
        if is_over(self.cpu_due) {
            self.watch_cpu(now);
        }
        Ok(())
    }

    /// The caller has gone: the worker is asked to stop, but keeps its time, because other
    /// invocations may share it.
    pub(super) fn cancel_for_client(&mut self, invocation: u64) {
        if let Some(open) = self.session.get(invocation) {
            let kill_at = open.job.deadline + CANCEL_GRACE;
            if let Some(open) = self.session.give_up(invocation, kill_at) {
                self.answer(open, Outcome::Ended(Ending::ClientGone), true);
            }
            self.cancel(invocation, CancelReason::ClientGone);
        }
    }

    pub(super) fn cancel(&mut self, invocation: u64, reason: CancelReason) {
        let queued = self.outbox.message(&ToWorker::Cancel(Cancel { invocation, reason }));
        debug_assert!(queued.is_ok(), "a cancel frame is small");
    }

    /// Ends an invocation with what we know of it.
    pub(super) fn answer(&mut self, mut open: Box<Open>, outcome: Outcome, drain: bool) {
        if drain {
            self.drain_into(&mut open);
        }
        let seen = Seen {
            since: Some(open.since),
            cpu_us: open.cpu_us.map(|(_, used)| used),
            memory_peak_bytes: self.memory_peak_bytes,
            lowered: Some(Arc::clone(&self.lowered)),
            logs: open.log.finish(&now_text),
        };
        self.pool.context.finish(open.job, outcome, seen);
    }

    /// Lines that are in the pipes when the only invocation ends are its own.
    fn drain_into(&mut self, open: &mut Open) {
        for pipe in [&mut self.stdout, &mut self.stderr] {
            let mut lines = Vec::new();
            pipe.drain(&mut lines);
            pipe.flush(&mut lines);
            for message in lines {
                let message = self.pool.context.secrets.redact(message);
                let line = Line { at: now_text(), level: pipe.level(), stream: pipe.stream, message };
                self.pool.context.remember(Some(&open.job.execution_id), &line);
                open.log.push(line);
            }
        }
    }

    /// Lines of a pipe belong to the only open invocation, else to the worker.
    pub(super) fn print(&mut self, stream: Stream, lines: Vec<String>) {
        let level = if stream == Stream::Stderr { LogLevel::Warn } else { LogLevel::Info };
        for message in lines {
            let invocation = self.session.single().map(|(invocation, _)| invocation);
            self.line(invocation, level, stream, message);
        }
    }

    pub(super) fn line(&mut self, invocation: Option<u64>, level: LogLevel, stream: Stream, message: String) {
        let message = self.pool.context.secrets.redact(message);
        let line = Line { at: now_text(), level, stream, message };
        match invocation.and_then(|invocation| self.session.get(invocation)) {
            Some(open) => {
                self.pool.context.remember(Some(&open.job.execution_id), &line);
                open.log.push(line);
            }
            None => self.pool.context.remember(None, &line),
        }
    }

    /// Asks what the only open invocation has used so far.
    fn watch_cpu(&mut self, now: Instant) {
        self.cpu_due = None;
        if self.pool.context.config.concurrency.0 > 1 {
            return;
        }
        let Some((invocation, open)) = self.session.single() else { return };
        if open.since + CPU_WATCH_AFTER > now {
            self.cpu_due = Some(open.since + CPU_WATCH_AFTER);
            return;
        }
        let (supervisor, worker) = (self.pool.shared.supervisor.clone(), self.id);
        self.tasks
            .spawn(async move { TaskDone::Usage { invocation, usage: supervisor.stats(worker).await } });
    }

    fn on_usage(
        &mut self,
        invocation: u64,
        usage: Option<alyx_protocol::control::Usage>,
    ) -> Result<(), Over> {
        let now = Instant::now();
        self.cpu_due = Some(now + CPU_WATCH_EVERY);
        let limit = self.pool.context.config.limits.cpu_time;
        let Some(usage) = usage else { return Ok(()) };
        self.memory_peak_bytes = self.memory_peak_bytes.max(Some(usage.memory_peak_bytes));
        let Some(open) = self.session.get(invocation) else { return Ok(()) };
        let (first, _) = open.cpu_us.unwrap_or((usage.cpu_us, 0));
        let used_us = usage.cpu_us.saturating_sub(first);
        open.cpu_us = Some((first, used_us));
        if u128::from(used_us) <= limit.as_micros() {
            // The rest cannot be used up sooner than its half by two processors.
            let rest = limit.saturating_sub(std::time::Duration::from_micros(used_us));
            self.cpu_due = Some(now + (rest / 4).clamp(CPU_WATCH_EVERY / 2, CPU_WATCH_EVERY * 10));
            return Ok(());
        }
        if let Some(open) = self.session.give_up(invocation, now) {
            self.answer(open, Outcome::Ended(Ending::CpuTime { used_us }), true);
        }
        Err(Over::CpuTime)
    }
}
