//! The task of one pool: starts workers as the queue asks for them, stops idle ones, ends what has
//! waited too long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use alyx_protocol::control::{RefusalCode, WorkerLimits};
use alyx_protocol::ids::RuntimeName;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Life, Pool, WorkerEnd};
use crate::functions::ending::Ending;
use crate::functions::job::Job;
use crate::functions::limits::SPAWN_RETRY;
use crate::functions::supervisor::{CallError, SpawnOrder, Spawned};
use crate::functions::worker::Worker;

/// A queue that moves this fast needs no further worker: starting one costs more.
const WAIT_WORTH_A_WORKER: Duration = Duration::from_millis(25);

/// What is to be done now.
#[derive(Default)]
struct Plan {
    spawn: usize,
    dead: VecDeque<Box<Job>>,
    stop: usize,
    next: Option<Instant>,
    finished: bool,
}

/// Runs until the pool is retired and empty.
pub async fn run(pool: Arc<Pool>) {
    let mut lives = JoinSet::new();
    loop {
        let plan = plan(&pool);
        pool.end_waiting(plan.dead);
        pool.stop_idle(plan.stop);
        for _ in 0..plan.spawn {
            lives.spawn(live(Arc::clone(&pool)));
        }
        if plan.finished && lives.is_empty() {
            return;
        }
        let far = Instant::now() + Duration::from_secs(3_600);
        tokio::select! {
            () = pool.wake.notified() => {}
            () = tokio::time::sleep_until(plan.next.unwrap_or(far)) => {}
            Some(_) = lives.join_next() => {}
        }
    }
}

fn plan(pool: &Pool) -> Plan {
    let now = Instant::now();
    let config = &pool.context.config;
    let (minimum, maximum) = (config.instances.min as usize, config.instances.max.max(1) as usize);
    let mut state = pool.state();
    let mut plan = Plan::default();
    let mut index = 0;
    while index < state.queue.len() {
        let job = &state.queue[index];
        if job.deadline <= now || job.reply.is_closed() {
            plan.dead.extend(state.queue.remove(index));
        } else {
            plan.next = plan.next.min_some(job.deadline);
            index += 1;
        }
    }
    let open = state.life == Life::Open;
    if !open && state.queue.is_empty() {
        plan.stop = state.entries.len();
        plan.finished = state.entries.is_empty() && state.starting == 0;
        return plan;
    }
    let alive = state.entries.len() + state.starting;
    let idle = state.entries.iter().filter(|entry| entry.open == 0);
    let mut expiries: Vec<Instant> = idle.map(|entry| entry.last_used + config.instances.idle).collect();
    expiries.sort_unstable();
    let spare = state.entries.len().saturating_sub(minimum);
    plan.stop = expiries.iter().take(spare).filter(|expiry| **expiry <= now).count();
    if spare > 0 {
        // A worker that is busy now can become idle without anybody telling us.
        let busy = now + config.instances.idle;
        let expiry = expiries.iter().copied().find(|expiry| *expiry > now).unwrap_or(busy);
        plan.next = plan.next.min_some(expiry);
    }
    let wanted = wanted(&state, pool.concurrency(), now, &mut plan.next)
        .max(if open { minimum.saturating_sub(alive) } else { 0 })
        .min(maximum.saturating_sub(alive));
    if wanted > 0 {
        match state.not_before.filter(|moment| *moment > now) {
            Some(moment) => plan.next = plan.next.min_some(moment),
            None => {
                plan.spawn = wanted;
                state.starting += wanted;
            }
        }
    }
    plan
}

/// How many more workers the queue is worth.
fn wanted(state: &super::State, concurrency: u32, now: Instant, next: &mut Option<Instant>) -> usize {
    let Some(first) = state.queue.front() else { return 0 };
    let places = state.queue.len().div_ceil(concurrency as usize);
    let missing = places.saturating_sub(state.starting);
    if state.entries.is_empty() {
        return missing;
    }
    let worth = first.queued + WAIT_WORTH_A_WORKER;
    if worth <= now {
        return missing;
    }
    *next = next.min_some(worth);
    0
}

/// One worker from spawn to end.
async fn live(pool: Arc<Pool>) {
    let key = {
        let mut state = pool.state();
        state.next_key += 1;
        state.next_key
    };
    let permit = match Arc::clone(&pool.shared.workers).try_acquire_owned() {
        Ok(permit) => Ok(permit),
        Err(_) => {
            pool.shared.make_room();
            Arc::clone(&pool.shared.workers).acquire_owned().await
        }
    };
    let spawning = Arc::clone(&pool.shared.spawns).acquire_owned().await;
    let (Ok(permit), Ok(spawning)) = (permit, spawning) else { return };
    match spawn(&pool).await {
        Ok(spawned) => {
            let worker = spawned.worker;
            match Worker::new(Arc::clone(&pool), key, spawned, spawning) {
                Ok(running) => running.run().await,
                Err(error) => {
                    pool.shared.supervisor.kill(worker);
                    let detail = format!("its descriptors cannot be used ({error})");
                    pool.gone(key, WorkerEnd::NeverReady, Ending::Unavailable { detail }, VecDeque::new());
                }
            }
        }
        Err(CallError::Refused { code: RefusalCode::TooManyWorkers | RefusalCode::RateLimited, .. }) => {
            // What waits goes on waiting until its own deadline.
            let mut state = pool.state();
            state.starting -= 1;
            state.not_before = Some(Instant::now() + SPAWN_RETRY);
            drop(state);
            pool.wake.notify_one();
        }
        Err(error) => pool.gone(key, WorkerEnd::NeverReady, refused(error), VecDeque::new()),
    }
    drop(permit);
}

async fn spawn(pool: &Pool) -> Result<Spawned, CallError> {
    let config = &pool.context.config;
    let limits = &config.limits;
    let runtime: RuntimeName =
        config.runtime.as_str().parse().expect("names of runtimes are plain lower-case words");
    let order = SpawnOrder {
        runtime,
        bundle: pool.bundle,
        limits: WorkerLimits {
            memory_max_bytes: limits.memory_bytes,
            processes_max: limits.processes,
            files_max: limits.files,
            tmp_max_bytes: limits.tmp_bytes,
            cpu_percent: limits.cpu_percent,
        },
    };
    pool.shared.supervisor.spawn(order).await
}

fn refused(error: CallError) -> Ending {
    match error {
        CallError::Unavailable => {
            Ending::Unavailable { detail: "the supervisor is not reachable".to_owned() }
        }
        CallError::Refused { code: RefusalCode::BundleNotFound | RefusalCode::BundleRejected, detail } => {
            Ending::LoadFailed { detail }
        }
        CallError::Refused { detail, .. } => Ending::Unavailable { detail },
    }
}

/// The smaller of a moment and perhaps another.
trait MinSome {
    fn min_some(self, other: Instant) -> Option<Instant>;
}

impl MinSome for Option<Instant> {
    fn min_some(self, other: Instant) -> Option<Instant> {
        Some(self.map_or(other, |moment| moment.min(other)))
    }
}
