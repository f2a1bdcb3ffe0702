//! Execution records: collected from every worker, written in batches.
//!
//! No invocation waits for the database. The queue is bounded; what does not fit is counted and
//! reported, not waited for. Shutdown writes everything that was queued before it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::limits::{FOLLOW_BEHIND_MAX, RECORD_BATCH_MAX, RECORD_EVERY, RECORD_QUEUE_MAX};
use super::logs::Line;
use crate::metrics::Metrics;

/// How an invocation can come out: `error` is the function's own doing, `crashed` the end of its worker;
/// what was `killed` ended for another reason, what was `refused` never ran.
pub const OUTCOMES: [&str; 8] =
    ["ok", "error", "timeout", "oom", "killed", "crashed", "cancelled", "refused"];

/// What causes invocations.
pub const TRIGGERS: [&str; 4] = ["http", "hook", "inbound", "schedule"];

/// One invocation, as recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Execution {
    /// Time-ordered id.
    #[serde(serialize_with = "inner")]
    pub id: Arc<str>,
    /// Name of the function.
    pub function: String,
    /// Digest of the bundle that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What caused it: `http`, `hook`.
    pub trigger: &'static str,
    /// Who called.
    pub identity: String,
    /// When it came in. RFC 3339.
    pub started_at: String,
    /// Time until a worker had it. Microseconds.
    pub queue_us: u64,
    /// Time in the worker. Microseconds.
    pub run_us: u64,
    /// One of [`OUTCOMES`].
    pub outcome: &'static str,
    /// What ended it, with the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Value>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Processor time, where it was watched. Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// Peak memory of the worker, where it is known. Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// Size of the input. Bytes.
    pub input_bytes: u64,
    /// Size of the answer's body. Bytes.
    pub output_bytes: u64,
    /// W3C trace id.
    pub trace_id: String,
    /// Id of the HTTP request.
    pub request_id: String,
    /// Layers that were not active for its worker.
    #[serde(serialize_with = "inner")]
    pub lowered: Arc<[alyx_protocol::isolation::Layer]>,
    /// Code of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Message of the failure, for the function's author.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The beginning of its input, where the function has it kept.
    #[serde(skip)]
    pub input: Option<String>,
    /// The beginning of its output, where the function has it kept and it is text.
    #[serde(skip)]
    pub output: Option<String>,
    /// Its log.
    #[serde(skip)]
    pub logs: Vec<Line>,
}

fn inner<T: Serialize + ?Sized, S: serde::Serializer>(
    shared: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    (**shared).serialize(serializer)
}

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// Writes a batch. The text of an error is for the daemon's log.
    fn write(&self, batch: Vec<Arc<Execution>>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
}

/// What the queue holds.
#[derive(Debug)]
enum Entry {
    Record(Arc<Execution>),
    /// Everything before this has been written.
    Flushed(oneshot::Sender<()>),
}

/// The end of the recorder that workers hold.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Entry>,
    dropped: Arc<AtomicU64>,
    written: broadcast::Sender<Arc<Execution>>,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder and the task to run. The task ends, with everything written, when all handles are
    /// gone.
    pub fn new(sink: Arc<dyn Sink>, metrics: Metrics) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, receiver) = mpsc::channel(RECORD_QUEUE_MAX);
        let (written, _) = broadcast::channel(FOLLOW_BEHIND_MAX);
        let recorder = Self { queue, dropped: Arc::default(), written: written.clone(), metrics };
        (recorder, run(sink, receiver, written))
    }

    /// Takes a record, or counts it where there is no room.
    pub fn record(&self, execution: Execution) {
        self.metrics.invocation(&execution);
        if self.queue.try_send(Entry::Record(Arc::new(execution))).is_err()
            && self.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000)
        {
            tracing::warn!("execution records are dropped: the database does not keep up");
        }
    }

    /// Counts a worker that takes invocations, or never did.
    pub fn worker_start(&self, function: &str, succeeded: bool) {
        self.metrics.worker_start(function, succeeded);
    }

    /// Waits until everything recorded so far is written.
    pub async fn flush(&self) {
        let (flushed, done) = oneshot::channel();
        if self.queue.send(Entry::Flushed(flushed)).await.is_ok() {
            // An error means that the task has ended, after writing everything.
            drop(done.await);
        }
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Records from now on, once they are written.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Execution>> {
        self.written.subscribe()
    }
}

async fn run(
    sink: Arc<dyn Sink>,
    mut queue: mpsc::Receiver<Entry>,
    written: broadcast::Sender<Arc<Execution>>,
) {
    let mut entries = Vec::new();
    while queue.recv_many(&mut entries, RECORD_BATCH_MAX).await > 0 {
        let full = tokio::time::Instant::now() + RECORD_EVERY;
        let flush = |entries: &[Entry]| matches!(entries.last(), Some(Entry::Flushed(_)));
        while entries.len() < RECORD_BATCH_MAX && !flush(&entries) {
            let room = RECORD_BATCH_MAX - entries.len();
            match tokio::time::timeout_at(full, queue.recv_many(&mut entries, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let (mut batch, mut waiting) = (Vec::new(), Vec::new());
        for entry in entries.drain(..) {
            match entry {
                Entry::Record(execution) => batch.push(execution),
                Entry::Flushed(flushed) => waiting.push(flushed),
            }
        }
        if let Err(error) = sink.write(batch.clone()).await {
            tracing::error!("failed to record {} executions: {error}", batch.len());
        }
        // Nobody may be following.
        batch.into_iter().for_each(|execution| drop(written.send(execution)));
        for flushed in waiting {
            if flushed.send(()).is_err() {
                tracing::debug!("nobody waits for the records any more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Execution, Recorder, Sink};
    use crate::metrics::Metrics;

    #[derive(Default)]
    struct Memory(Mutex<Vec<usize>>);

    impl Sink for Memory {
        fn write(
            &self,
            batch: Vec<Arc<Execution>>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
            self.0.lock().unwrap().push(batch.len());
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn execution(number: usize) -> Execution {
        Execution {
            id: number.to_string().into(),
            function: "echo".into(),
            version: None,
            trigger: "http",
            identity: "anonymous".into(),
            started_at: String::new(),
            queue_us: 0,
            run_us: 0,
            outcome: "ok",
            input: None,
            output: None,
            cause: None,
            status: 200,
            cpu_us: None,
            memory_peak_bytes: None,
            input_bytes: 0,
            output_bytes: 0,
            trace_id: String::new(),
            request_id: String::new(),
            lowered: Arc::new([]),
            error_code: None,
            error_message: None,
            logs: Vec::new(),
        }
    }

    #[tokio::test]
    async fn everything_queued_is_written_in_few_batches_before_the_end() {
        let memory = Arc::new(Memory::default());
        let (recorder, task) = Recorder::new(Arc::clone(&memory) as Arc<dyn Sink>, Metrics::default());
        for number in 0..600 {
            recorder.record(execution(number));
        }
        drop(recorder);
        task.await;
        let batches = memory.0.lock().unwrap().clone();
        assert_eq!((batches.iter().sum::<usize>(), batches.len()), (600, 3));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted() {
        let (recorder, _task) = Recorder::new(Arc::new(Memory::default()), Metrics::default());
        for number in 0..super::RECORD_QUEUE_MAX + 7 {
            recorder.record(execution(number));
        }
        assert_eq!(recorder.dropped(), 7);
    }
}
