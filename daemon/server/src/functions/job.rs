//! One invocation on its way through queue and worker, and the one place where it ends: the caller
//! gets its answer, the execution its record, the function its log lines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::FunctionConfig;
use alyx_protocol::api::Problem;
use alyx_protocol::isolation::Layer;
use alyx_protocol::limits::{FAILURE_MESSAGE_MAX_BYTES, FAILURE_STACK_MAX_BYTES};
use alyx_protocol::worker::{Done, Failed, LogLevel, cut};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ending::{Audience, Ending};
use super::limits::RECORD_TEXT_MAX_BYTES;
use super::logs::{FunctionLine, Line, RecentLines, Stream};
use super::recorder::{Execution, Recorder};
use super::respond::reply;
use super::secrets::FunctionSecrets;
use crate::clock::now_text;
use crate::problem::{Code, problem};

/// The answer of an invocation.
#[derive(Debug)]
pub struct Answer {
    /// Id of the execution.
    pub execution_id: Arc<str>,
    /// HTTP status.
    pub status: u16,
    /// Checked headers, `content-type` among them.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct InvokeError {
    /// For the caller.
    pub problem: Box<Problem>,
    /// What whoever looks after the project is told besides the code.
    pub reason: String,
    /// Id of the execution, where there was one.
    pub execution_id: Option<Arc<str>>,
}

impl InvokeError {
    /// Of a call that did not become an execution.
    pub fn refused(problem: Problem) -> Self {
        Self { reason: problem.detail.clone(), problem: Box::new(problem), execution_id: None }
    }

    /// Code and reason, for a log or a job.
    pub fn summary(&self) -> String {
        format!("{}: {}", self.problem.code, self.reason)
    }
}

/// One invocation.
#[derive(Debug)]
pub struct Job {
    /// Id of the execution.
    pub execution_id: Arc<str>,
    /// Whose rights its calls have: a `Function` acting for the caller.
    pub identity: Identity,
    /// The request behind it.
    pub facts: Arc<RequestFacts>,
    /// Its input.
    pub input: Box<RawValue>,
    /// W3C trace id.
    pub trace_id: String,
    /// Id of the HTTP request.
    pub request_id: String,
    /// What caused it.
    pub trigger: &'static str,
    /// Who reads its problems.
    pub audience: Audience,
    /// When it came in.
    pub started_at: String,
    /// When it came in.
    pub queued: Instant,
    /// When it must have a worker; once it has one, when it must have ended.
    pub deadline: Instant,
    /// Where its answer goes.
    pub reply: oneshot::Sender<Result<Answer, InvokeError>>,
}

/// How an invocation ended.
#[derive(Debug)]
pub enum Outcome {
    /// The handler returned.
    Done(Done),
    /// The handler failed.
    Failed(Failed),
    /// Something else ended it.
    Ended(Ending),
}

/// What was seen of an invocation in its worker.
#[derive(Debug, Default)]
pub struct Seen {
    /// When the worker got it.
    pub since: Option<Instant>,
    /// Its log.
    pub logs: Vec<Line>,
    /// Processor time, where it was watched. Microseconds.
    pub cpu_us: Option<u64>,
    /// Peak memory of the worker, where it is known. Bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Layers that were not active.
    pub lowered: Option<Arc<[Layer]>>,
}

/// What all invocations of one function version share.
#[derive(Debug)]
pub struct FunctionContext {
    /// The function as declared.
    pub config: Arc<FunctionConfig>,
    /// Its secrets.
    pub secrets: Arc<FunctionSecrets>,
    /// Digest of its bundle; none while it has no bundle.
    pub version: Option<String>,
    /// Where records go.
    pub recorder: Recorder,
    /// The recent lines of the function, over all its versions.
    pub recent: Arc<Mutex<RecentLines>>,
}

/// What the answer says, before it is sent.
struct Verdict {
    outcome: &'static str,
    result: Result<(u16, HeaderMap, Bytes), Problem>,
    ending: Option<Ending>,
    error: Option<(String, String)>,
}

impl FunctionContext {
    /// Ends an invocation.
    pub fn finish(&self, job: Box<Job>, outcome: Outcome, mut seen: Seen) {
        let ran = seen.since.is_some();
        let verdict = self.verdict(outcome, (job.audience, ran), &mut seen.logs);
        let now = Instant::now();
        let run = seen.since.map_or(Duration::ZERO, |since| now - since);
        let (status, output_bytes) = match &verdict.result {
            Ok((status, _, body)) => (*status, body.len() as u64),
            Err(problem) => (problem.status, 0),
        };
        let (error_code, error_message) = verdict.error.unzip();
        let reason = error_message.clone();
        let kept = self.config.record;
        let output = verdict.result.as_ref().ok().and_then(|(_, _, body)| str::from_utf8(body).ok());
        self.recorder.record(Execution {
            id: Arc::clone(&job.execution_id),
            function: self.config.name.clone(),
            version: self.version.clone(),
            trigger: job.trigger,
            identity: job.identity.effective().label(),
            started_at: job.started_at,
            queue_us: micros(seen.since.unwrap_or(now) - job.queued),
            run_us: micros(run),
            outcome: verdict.outcome,
            cause: verdict.ending.map(|ending| ending.details(&self.config)),
            status,
            cpu_us: seen.cpu_us,
            memory_peak_bytes: seen.memory_peak_bytes,
            input_bytes: job.input.get().len() as u64,
            output_bytes,
            trace_id: job.trace_id,
            request_id: job.request_id,
            lowered: seen.lowered.unwrap_or_default(),
            error_code,
            error_message,
            input: kept.input.then(|| self.beginning(job.input.get())),
            output: output.filter(|_| kept.output).map(|text| self.beginning(text)),
            logs: seen.logs,
        });
        let execution_id = job.execution_id;
        let answer = match verdict.result {
            Ok((status, headers, body)) => Ok(Answer { execution_id, status, headers, body }),
            Err(problem) => {
                let reason = reason.unwrap_or_else(|| problem.detail.clone());
                Err(InvokeError { problem: Box::new(problem), reason, execution_id: Some(execution_id) })
            }
        };
        // The caller may have gone away.
        drop(job.reply.send(answer));
    }

    /// Ends an invocation that no worker has seen.
    pub fn refuse(&self, job: Box<Job>, ending: Ending) {
        self.finish(job, Outcome::Ended(ending), Seen::default());
    }

    /// Adds a line to the recent lines of the function.
    pub fn remember(&self, execution: Option<&Arc<str>>, line: &Line) {
        let line = FunctionLine { execution: execution.cloned(), line: line.clone() };
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Adds a line of the daemon's own to the log of the function.
    pub fn note(&self, level: LogLevel, message: String) {
        self.remember(None, &Line { at: now_text(), level, stream: Stream::System, message });
    }

    /// What a record keeps of a text.
    fn beginning(&self, text: &str) -> String {
        self.secrets.redact(cut(text, RECORD_TEXT_MAX_BYTES).into_owned())
    }

    fn verdict(&self, outcome: Outcome, (audience, ran): (Audience, bool), logs: &mut Vec<Line>) -> Verdict {
        let ending = match outcome {
            Outcome::Done(done) => match reply(done, self.config.limits.output_bytes) {
                Ok(reply) => {
                    return Verdict {
                        outcome: "ok",
                        result: Ok((reply.status, reply.headers, reply.body)),
                        ending: None,
                        error: None,
                    };
                }
                Err(ending) => ending,
            },
            Outcome::Failed(failed) => return self.failure(failed, audience, logs),
            Outcome::Ended(ending) => ending,
        };
        let text = ending.log_text(&self.config);
        self.append(logs, text.clone());
        Verdict {
            outcome: ending.outcome(ran),
            result: Err(ending.problem(&self.config, audience)),
            error: Some((ending.code().as_str().to_owned(), text)),
            ending: Some(ending),
        }
    }

    fn failure(&self, failed: Failed, audience: Audience, logs: &mut Vec<Line>) -> Verdict {
        let message = self.secrets.redact(cut(&failed.message, FAILURE_MESSAGE_MAX_BYTES).into_owned());
        let code = if is_code(&failed.code) { failed.code } else { "function_error".to_owned() };
        let text = match &failed.stack {
            Some(stack) => cut(stack, FAILURE_STACK_MAX_BYTES).into_owned(),
            None => format!("{code}: {message}"),
        };
        self.append(logs, text);
        let status = failed.status.filter(|status| (400..=599).contains(status));
        let mut answer = match status {
            Some(status @ 400..500) => Problem::new(status, &code, message.clone()),
            Some(status) => Problem::new(status, &code, self.generic()),
            None => problem(Code::FunctionError, self.generic()),
        };
        if audience == Audience::Author && !matches!(status, Some(400..500)) {
            answer.hint = Some(format!("`alyx functions logs {}` prints the log.", self.config.name));
        }
        if status.is_none() {
            answer.kind = format!("/problems/{code}");
            answer.code.clone_from(&code);
        }
        answer.details = failed
            .details
            .filter(|details| details.get().len() as u64 <= self.config.limits.output_bytes)
            .and_then(|details| serde_json::from_str(details.get()).ok());
        Verdict { outcome: "error", result: Err(answer), ending: None, error: Some((code, message)) }
    }

    fn generic(&self) -> String {
        format!("Function {} failed. The reason is in its log.", self.config.name)
    }

    fn append(&self, logs: &mut Vec<Line>, message: String) {
        logs.push(self.complain(message));
    }

    /// Adds a line of the daemon's own to the recent ones, without secrets.
    pub fn complain(&self, message: String) -> Line {
        let message = self.secrets.redact(message);
        let line = Line { at: now_text(), level: LogLevel::Error, stream: Stream::System, message };
        self.remember(None, &line);
        line
    }
}

/// `snake_case`, as codes are.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
