//! Every way in which an invocation ends other than by its own answer, and what the caller, the
//! execution record and the operator are told of it.
//!
//! Where a limit ended it, `details` names the limit, its value and the key that sets it.

use alyx_core::schema::FunctionConfig;
use alyx_protocol::api::Problem;
use alyx_protocol::control::ExitCause;
use serde_json::{Value, json};

use crate::problem::{Code, problem};

/// Why an invocation ended without an answer of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its wall clock ran out.
    Timeout,
    /// Its processor time ran out.
    CpuTime {
        /// What was seen. Microseconds.
        used_us: u64,
    },
    /// Its worker used too much memory.
    OutOfMemory {
        /// The limit. Bytes.
        limit_bytes: u64,
        /// What was seen. Bytes.
        seen_bytes: u64,
    },
    /// A signal ended its worker.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// Its worker made a system call that no program needs.
    Seccomp,
    /// Its worker exited.
    Exited {
        /// Status.
        code: i32,
    },
    /// Its worker broke the protocol.
    Protocol {
        /// How.
        detail: String,
    },
    /// It returned more than its limit.
    OutputTooLarge {
        /// Bytes.
        size_bytes: u64,
    },
    /// It answered with something that is not an HTTP response.
    BadResponse {
        /// What is wrong with it.
        detail: String,
    },
    /// Its worker was ended because of something else that the worker did.
    WorkerLost {
        /// What ended the worker.
        cause: &'static str,
    },
    /// Nobody waits for the answer any more.
    ClientGone,
    /// There is no room to wait, or no worker was free in time.
    QueueFull,
    /// No worker can be started at the moment.
    Unavailable {
        /// Why.
        detail: String,
    },
    /// The user's code could not be loaded.
    LoadFailed {
        /// Why, for the function's author.
        detail: String,
    },
    /// The user's code could not be built.
    BuildFailed {
        /// Why, for the function's author.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Who reads a problem: authors see why code does not load or build, callers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// An administrator, or anybody in dev mode.
    Author,
    /// Anybody else.
    Caller,
}

impl Ending {
    /// What the supervisor's word means for the one invocation that the worker had open.
    pub fn from_exit(cause: &ExitCause) -> Self {
        match *cause {
            ExitCause::Exited { code } => Self::Exited { code },
            ExitCause::Signalled { signal } => Self::Signalled { signal },
            ExitCause::Seccomp => Self::Seccomp,
            ExitCause::OutOfMemory { limit_bytes, seen_bytes } => {
                Self::OutOfMemory { limit_bytes, seen_bytes }
            }
            ExitCause::Stopped | ExitCause::Killed => Self::WorkerLost { cause: "stopped" },
            ExitCause::LeaseExpired => Self::WorkerLost { cause: "lease_expired" },
            ExitCause::DaemonGone | ExitCause::Shutdown => {
                Self::Unavailable { detail: "the supervisor ended the worker".to_owned() }
            }
        }
    }

    /// What it means for the other invocations of the same worker.
    pub fn for_bystanders(&self) -> Self {
        match self {
            Self::Unavailable { .. } | Self::WorkerLost { .. } => self.clone(),
            other => Self::WorkerLost { cause: other.cause() },
        }
    }

    /// Stable word for records and `details.cause`.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::CpuTime { .. } => "cpu_time",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::Signalled { .. } => "signal",
            Self::Seccomp => "seccomp",
            Self::Exited { .. } => "exited",
            Self::Protocol { .. } => "protocol",
            Self::OutputTooLarge { .. } => "output_too_large",
            Self::BadResponse { .. } => "bad_response",
            Self::WorkerLost { cause } => cause,
            Self::ClientGone => "client_gone",
            Self::QueueFull => "queue_full",
            Self::Unavailable { .. } => "unavailable",
            Self::LoadFailed { .. } => "load_failed",
            Self::BuildFailed { .. } => "build_failed",
        }
    }

    /// What records say came of the invocation; `ran` if a worker had it.
    pub const fn outcome(&self, ran: bool) -> &'static str {
        match self {
            Self::Timeout | Self::CpuTime { .. } => "timeout",
            Self::OutOfMemory { .. } => "oom",
            Self::Signalled { .. } | Self::Seccomp | Self::Exited { .. } | Self::Protocol { .. } => "crashed",
            Self::OutputTooLarge { .. }
            | Self::BadResponse { .. }
            | Self::LoadFailed { .. }
            | Self::BuildFailed { .. } => "error",
            Self::ClientGone => "cancelled",
            Self::WorkerLost { .. } | Self::QueueFull | Self::Unavailable { .. } => {
                if ran {
                    "killed"
                } else {
                    "refused"
                }
            }
        }
    }

    /// Stable code of the answer.
    pub const fn code(&self) -> Code {
        match self {
            Self::Timeout => Code::FunctionTimeout,
            Self::CpuTime { .. } => Code::FunctionCpuTime,
            Self::OutOfMemory { .. } => Code::FunctionOutOfMemory,
            Self::Signalled { .. } | Self::Seccomp => Code::FunctionCrashed,
            Self::Exited { .. } => Code::FunctionExited,
            Self::Protocol { .. } => Code::FunctionProtocolError,
            Self::OutputTooLarge { .. } => Code::FunctionOutputTooLarge,
            Self::BadResponse { .. } => Code::FunctionError,
            Self::WorkerLost { .. } => Code::FunctionWorkerLost,
            Self::QueueFull => Code::FunctionQueueFull,
            Self::ClientGone | Self::Unavailable { .. } => Code::FunctionsUnavailable,
            Self::LoadFailed { .. } => Code::FunctionLoadFailed,
            Self::BuildFailed { .. } => Code::FunctionBuildFailed,
        }
    }

    /// The limit that ended it, what was seen, and the key that sets it.
    pub fn details(&self, config: &FunctionConfig) -> Value {
        let limit = |name: &str, limit: u64, value: Value, unit: &str| {
            let key = match name {
                "timeout" => format!("functions.{}.timeout", config.name),
                _ => format!("functions.{}.limits.{name}", config.name),
            };
            json!({"cause": self.cause(), "limit": limit, "value": value, "unit": unit, "key": key})
        };
        match *self {
            Self::Timeout => limit("timeout", millis(config.timeout), Value::Null, "ms"),
            Self::CpuTime { used_us } => {
                limit("cpu_time", millis(config.limits.cpu_time), (used_us / 1_000).into(), "ms")
            }
            Self::OutOfMemory { limit_bytes, seen_bytes } => {
                limit("memory", limit_bytes, seen_bytes.into(), "bytes")
            }
            Self::OutputTooLarge { size_bytes } => {
                limit("output", config.limits.output_bytes, size_bytes.into(), "bytes")
            }
            Self::Signalled { signal } => json!({"cause": "signal", "signal": signal}),
            Self::Exited { code } => json!({"cause": "exited", "exit_code": code}),
            _ => json!({"cause": self.cause()}),
        }
    }

    /// The answer.
    pub fn problem(&self, config: &FunctionConfig, audience: Audience) -> Problem {
        let mut answer = problem(self.code(), self.sentence(config));
        answer.details = Some(self.details(config));
        if let Some(key) = answer.details.as_ref().and_then(|details| details["key"].as_str()) {
            answer.hint = Some(format!("The limit is set by {key}."));
        }
        match (self, audience) {
            (
                Self::LoadFailed { detail }
                | Self::BuildFailed { detail, .. }
                | Self::BadResponse { detail }
                | Self::Protocol { detail },
                Audience::Author,
            ) => answer.detail = format!("{} {detail}", answer.detail),
            (Self::LoadFailed { .. } | Self::BuildFailed { .. }, Audience::Caller) => {
                answer.hint = Some("The reason is in the log of the function.".to_owned());
            }
            _ => {}
        }
        if let (Self::Unavailable { .. }, Audience::Author) = (self, audience) {
            answer.hint = Some("`alyx doctor` says what this host lacks.".to_owned());
        }
        if let (Self::BuildFailed { hint: Some(hint), .. }, Audience::Author) = (self, audience) {
            answer.hint = Some(hint.clone());
        }
        answer
    }

    /// The text for the function's log.
    pub fn log_text(&self, config: &FunctionConfig) -> String {
        match self {
            Self::LoadFailed { detail }
            | Self::BuildFailed { detail, .. }
            | Self::BadResponse { detail }
            | Self::Protocol { detail } => format!("{} {detail}", self.sentence(config)),
            _ => self.sentence(config),
        }
    }

    fn sentence(&self, config: &FunctionConfig) -> String {
        let name = &config.name;
        match self {
            Self::Timeout => {
                format!("Function {name} did not finish within {} ms.", millis(config.timeout))
            }
            Self::CpuTime { .. } => format!(
                "Function {name} used more than {} ms of processor time.",
                millis(config.limits.cpu_time)
            ),
            Self::OutOfMemory { limit_bytes, .. } => {
                format!("Function {name} used more than its {limit_bytes} bytes of memory.")
            }
            Self::Signalled { signal } => format!("Function {name} was ended by signal {signal}."),
            Self::Seccomp => format!("Function {name} made a forbidden system call."),
            Self::Exited { code } => {
                format!("Function {name} exited with status {code} before it had answered.")
            }
            Self::Protocol { .. } => format!("The worker of function {name} broke the protocol."),
            Self::OutputTooLarge { size_bytes } => format!(
                "Function {name} returned {size_bytes} bytes, more than its {}.",
                config.limits.output_bytes
            ),
            Self::BadResponse { .. } => format!("Function {name} built a response that cannot be sent."),
            Self::WorkerLost { cause } => {
                format!("The worker of function {name} ended ({cause}) while it served this and other calls.")
            }
            Self::ClientGone => format!("Function {name} was cancelled: the client went away."),
            Self::QueueFull => format!("Too many calls wait for function {name}."),
            Self::Unavailable { detail } => {
                format!("Function {name} cannot run at the moment: {detail}.")
            }
            Self::LoadFailed { .. } => format!("Function {name} could not be loaded."),
            Self::BuildFailed { .. } => format!("Function {name} could not be built."),
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
