//! The workers of one function version and the callers that wait for them.
//!
//! The hot path is a short critical section in the caller's own task: find a warm worker with spare
//! capacity, else queue. Everything slow (spawning, idle stops, expiry of the queue) belongs to the
//! one task in [`manager`]. The lock is never held across an await and never while an answer is sent.

mod manager;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alyx_protocol::ids::Digest;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

use super::calls::CallHandler;
use super::ending::Ending;
use super::job::{FunctionContext, Job};
use super::limits::{BACKOFF_FIRST, BACKOFF_MAX, CRASHES_BEFORE_BACKOFF, SPAWNS_AT_ONCE};
use super::supervisor::Supervisor;
use super::worker::Command;

/// What all pools share.
pub struct Shared {
    /// The supervisor.
    pub supervisor: Supervisor,
    /// Who answers calls of user code.
    pub calls: Arc<dyn CallHandler>,
    /// Room for workers of all functions.
    pub workers: Arc<Semaphore>,
    /// Room for spawns under way.
    pub spawns: Arc<Semaphore>,
    /// Invocations of one function that may wait.
    pub queue_max: usize,
    /// All pools, so that one may ask another for room.
    pub pools: Mutex<Vec<std::sync::Weak<Pool>>>,
}

/// The workers of one function version.
pub struct Pool {
    /// What all pools share.
    pub shared: Arc<Shared>,
    /// The function.
    pub context: Arc<FunctionContext>,
    bundle: Digest,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    queue: VecDeque<Box<Job>>,
    /// Workers on their way to ready.
    starting: usize,
    next_key: u64,
    failure: Option<Failure>,
    /// No spawn before this.
    not_before: Option<Instant>,
    crashes: u32,
    life: Life,
    /// Moving average of the time an invocation takes.
    run_estimate: Option<Duration>,
}

/// A ready worker.
struct Entry {
    key: u64,
    commands: mpsc::Sender<Command>,
    open: u32,
    served: u64,
    last_used: Instant,
}

/// Why no worker can be started at the moment.
struct Failure {
    ending: Ending,
    until: Instant,
    streak: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    /// Takes invocations.
    #[default]
    Open,
    /// A newer version has taken over: what waits is served, nothing new comes.
    Retired,
}

/// What a worker does next.
#[derive(Debug)]
pub enum Next {
    /// Run this; it is counted already.
    Run(Box<Job>),
    /// Wait for a command.
    Nothing,
    /// End; the pool has forgotten it.
    Retire,
}

/// What an operator sees of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// Workers that take invocations.
    pub workers: usize,
    /// Workers on their way.
    pub starting: usize,
    /// Invocations in workers.
    pub running: usize,
    /// Invocations that wait.
    pub queued: usize,
}

impl Shared {
    /// What all pools share, with the bounds of this daemon.
    pub fn new(
        supervisor: Supervisor,
        calls: Arc<dyn CallHandler>,
        workers_max: usize,
        queue_max: usize,
    ) -> Self {
        Self {
            supervisor,
            calls,
            queue_max,
            workers: Arc::new(Semaphore::new(workers_max)),
            spawns: Arc::new(Semaphore::new(SPAWNS_AT_ONCE)),
            pools: Mutex::default(),
        }
    }

    /// Closes every pool, those of earlier versions among them.
    pub fn close_all(&self, ending: &Ending) {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pools: Vec<Arc<Pool>> = pools.iter().filter_map(std::sync::Weak::upgrade).collect();
        pools.iter().for_each(|pool| pool.close(ending));
    }

    /// Stops the worker, of whatever function, that has been idle for longest.
    fn make_room(&self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        let pools: Vec<Arc<Pool>> = pools.iter().filter_map(std::sync::Weak::upgrade).collect();
        let oldest = pools
            .iter()
            .filter_map(|pool| pool.idle_since().map(|since| (since, pool)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, pool)) = oldest {
            pool.stop_idle(1);
        }
    }
}

impl Pool {
    /// A pool without workers, and the task that manages it. The task ends once the pool is retired
    /// and empty.
    pub fn new(
        shared: Arc<Shared>,
        context: Arc<FunctionContext>,
        bundle: Digest,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let pool = Arc::new(Self { shared, context, bundle, state: Mutex::default(), wake: Notify::new() });
        let mut pools = pool.shared.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(Arc::downgrade(&pool));
        drop(pools);
        let managed = manager::run(Arc::clone(&pool));
        (pool, managed)
    }

    /// Which bundle it runs.
    pub const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// Takes an invocation: to a worker, to the queue, or to its end.
    pub fn submit(&self, mut job: Box<Job>) {
        let now = Instant::now();
        let mut state = self.state();
        while let Some(entry) = state.free_entry(self.concurrency()) {
            match entry.commands.try_send(Command::Run(job)) {
                Ok(()) => {
                    entry.open += 1;
                    entry.served += 1;
                    entry.last_used = now;
                    return;
                }
                // The worker has just ended.
                Err(error) => {
                    let (mpsc::error::TrySendError::Closed(Command::Run(back))
                    | mpsc::error::TrySendError::Full(Command::Run(back))) = error
                    else {
                        return;
                    };
                    job = back;
                    let key = entry.key;
                    state.entries.retain(|entry| entry.key != key);
                }
            }
        }
        let ending = state.refusal(&job, now, self);
        if ending.is_none() {
            // With workers at hand, the manager looks at the queue when its first entry asks for it.
            let tell = state.queue.is_empty() || state.entries.is_empty();
            state.queue.push_back(job);
            drop(state);
            if tell {
                self.wake.notify_one();
            }
            return;
        }
        drop(state);
        if let Some(ending) = ending {
            self.context.refuse(job, ending);
        }
    }

    /// A worker has loaded its code and takes invocations.
    pub fn ready(&self, key: u64, commands: mpsc::Sender<Command>) {
        self.context.recorder.worker_start(&self.context.config.name, true);
        let mut state = self.state();
        state.starting -= 1;
        (state.failure, state.not_before) = (None, None);
        let last_used = Instant::now();
        state.entries.push(Entry { key, commands, open: 0, served: 0, last_used });
        drop(state);
        // The manager has to know when it may be idle for too long.
        self.wake.notify_one();
    }

    /// An invocation has left its worker, after this time where the worker answered it.
    pub fn slot_free(&self, key: u64, answered_after: Option<Duration>) {
        let mut state = self.state();
        if let Some(run) = answered_after {
            state.crashes = 0;
            state.run_estimate = Some(state.run_estimate.map_or(run, |old| (old * 7 + run) / 8));
        }
        if let Some(entry) = state.entries.iter_mut().find(|entry| entry.key == key) {
            entry.open = entry.open.saturating_sub(1);
            entry.last_used = Instant::now();
        }
    }

    /// What a worker with room does next.
    pub fn next(&self, key: u64) -> Next {
        let now = Instant::now();
        let mut dead = VecDeque::new();
        let next = {
            let mut state = self.state();
            let retired = state.life == Life::Retired;
            let State { entries, queue, .. } = &mut *state;
            let Some(index) = entries.iter().position(|entry| entry.key == key) else {
                return Next::Retire;
            };
            let entry = &mut entries[index];
            if entry.served >= self.context.config.instances.recycle_after || (retired && queue.is_empty()) {
                if entry.open > 0 {
                    return Next::Nothing;
                }
                entries.swap_remove(index);
                self.wake.notify_one();
                return Next::Retire;
            }
            if entry.open >= self.concurrency() {
                return Next::Nothing;
            }
            match next_waiting(queue, now, &mut dead) {
                Some(job) => {
                    entry.open += 1;
                    entry.served += 1;
                    Next::Run(job)
                }
                None => Next::Nothing,
            }
        };
        self.end_waiting(dead);
        next
    }

    /// A worker has ended. `unsent` never reached it and goes back to the front of the queue.
    pub fn gone(&self, key: u64, was: WorkerEnd, ending: Ending, unsent: VecDeque<Box<Job>>) {
        let mut failed = VecDeque::new();
        {
            let mut state = self.state();
            state.entries.retain(|entry| entry.key != key);
            unsent.into_iter().rev().for_each(|job| state.queue.push_front(job));
            match was {
                WorkerEnd::Retired => {}
                WorkerEnd::NeverReady => {
                    state.starting -= 1;
                    failed = state.failed_to_start(&ending);
                }
                WorkerEnd::Served => state.crashes = 0,
                WorkerEnd::ServedNothing => {
                    state.crashes += 1;
                    if state.crashes >= CRASHES_BEFORE_BACKOFF {
                        let streak = state.crashes - CRASHES_BEFORE_BACKOFF;
                        state.not_before = Some(Instant::now() + backoff(streak));
                    }
                }
            }
        }
        if was == WorkerEnd::NeverReady {
            self.context.recorder.worker_start(&self.context.config.name, false);
        }
        if was == WorkerEnd::NeverReady && !matches!(ending, Ending::Unavailable { .. }) {
            self.context.note(alyx_protocol::worker::LogLevel::Error, ending.log_text(&self.context.config));
        }
        failed.into_iter().for_each(|job| self.context.refuse(job, ending.clone()));
        self.wake.notify_one();
    }

    /// A newer version has taken over.
    pub fn retire(&self) {
        self.state().life = Life::Retired;
        self.wake.notify_one();
    }

    /// Ends everything that waits, and retires.
    pub fn close(&self, ending: &Ending) {
        let waiting = std::mem::take(&mut self.state().queue);
        waiting.into_iter().for_each(|job| self.context.refuse(job, ending.clone()));
        self.retire();
    }

    /// Numbers for the operator.
    pub fn status(&self) -> PoolStatus {
        let state = self.state();
        PoolStatus {
            workers: state.entries.len(),
            starting: state.starting,
            running: state.entries.iter().map(|entry| entry.open as usize).sum(),
            queued: state.queue.len(),
        }
    }

    fn concurrency(&self) -> u32 {
        self.context.config.concurrency.0.max(1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends invocations that waited too long or for nobody.
    fn end_waiting(&self, dead: VecDeque<Box<Job>>) {
        for job in dead {
            let ending = if job.reply.is_closed() { Ending::ClientGone } else { Ending::QueueFull };
            self.context.refuse(job, ending);
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.entries.iter().filter(|entry| entry.open == 0).map(|entry| entry.last_used).min()
    }

    /// Stops up to so many idle workers, the longest idle first.
    fn stop_idle(&self, count: usize) {
        let mut state = self.state();
        for _ in 0..count {
            let idle = state.entries.iter().enumerate().filter(|(_, entry)| entry.open == 0);
            let Some((index, _)) = idle.min_by_key(|(_, entry)| entry.last_used) else { return };
            let entry = state.entries.swap_remove(index);
            // A worker that has ended already needs no order.
            drop(entry.commands.try_send(Command::Retire));
        }
    }
}

/// How far a worker had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// We ended it.
    Retired,
    /// It never took an invocation.
    NeverReady,
    /// It answered at least one.
    Served,
    /// It was ready but answered none.
    ServedNothing,
}

impl State {
    fn free_entry(&mut self, concurrency: u32) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .filter(|entry| entry.open < concurrency)
            .min_by_key(|entry| (entry.open, entry.last_used))
    }

    /// Why an invocation cannot even wait.
    fn refusal(&mut self, job: &Job, now: Instant, pool: &Pool) -> Option<Ending> {
        let workers = self.entries.len() + self.starting;
        if let Some(failure) = &self.failure
            && now < failure.until
            && workers == 0
        {
            return Some(failure.ending.clone());
        }
        if workers == 0 && !pool.shared.supervisor.state().connected {
            let detail = "the supervisor is not reachable".to_owned();
            return Some(Ending::Unavailable { detail });
        }
        if self.queue.len() >= pool.shared.queue_max {
            self.queue.retain(|job| !job.reply.is_closed());
        }
        if self.queue.len() >= pool.shared.queue_max || self.expected_wait(pool) > job.deadline - now {
            return Some(Ending::QueueFull);
        }
        None
    }

    /// How long an invocation that queues now would wait, from what was seen so far.
    fn expected_wait(&self, pool: &Pool) -> Duration {
        let places = pool.context.config.instances.max.max(1).saturating_mul(pool.concurrency());
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.run_estimate.map_or(Duration::ZERO, |run| run.saturating_mul(waiting) / places)
    }

    /// Backs off; gives those who wait, unless another worker may still serve them.
    fn failed_to_start(&mut self, ending: &Ending) -> VecDeque<Box<Job>> {
        if let Ending::Unavailable { .. } = ending {
            // Not the function's fault, and over the moment the supervisor is back.
            self.not_before = Some(Instant::now() + BACKOFF_FIRST);
        } else {
            let streak = self.failure.as_ref().map_or(0, |failure| failure.streak + 1);
            let until = Instant::now() + backoff(streak);
            self.failure = Some(Failure { ending: ending.clone(), until, streak });
            self.not_before = Some(until);
        }
        if self.entries.is_empty() && self.starting == 0 {
            return std::mem::take(&mut self.queue);
        }
        VecDeque::new()
    }
}

fn backoff(streak: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << streak.min(16)).min(BACKOFF_MAX)
}

/// The first waiting invocation that still makes sense; the others before it go to `dead`.
fn next_waiting(
    queue: &mut VecDeque<Box<Job>>,
    now: Instant,
    dead: &mut VecDeque<Box<Job>>,
) -> Option<Box<Job>> {
    while let Some(job) = queue.pop_front() {
        if job.deadline > now && !job.reply.is_closed() {
            return Some(job);
        }
        dead.push_back(job);
    }
    None
}
