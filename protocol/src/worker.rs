//! The worker link: a stream socket pair between the daemon and one worker, descriptor 3 inside.
//!
//! # Frame
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | length of what follows, unsigned little-endian, 1..=[`WORKER_FRAME_MAX_BYTES`] |
//! | 4 | type, the number in [`FrameType`] |
//! | 5.. | body: one JSON object in UTF-8 |
//!
//! Types below 0x80 travel from daemon to worker, the others back. JSON is strict: no duplicate
//! meaning for absent and `null` beyond what a field says, no nesting over
//! [`crate::limits::JSON_DEPTH_MAX`]. Unknown fields are ignored by the shim and fatal to the
//! daemon: the daemon ships with its shims, and a worker's bytes are hostile.
//!
//! # Order
//!
//! 1. The worker sends `hello` within [`crate::limits::HELLO_TIMEOUT_MS`] of its spawn.
//! 2. The daemon sends `init`; the worker loads the user's code and answers `ready`, or `failed`
//!    without an invocation and exits.
//! 3. The daemon sends `invoke` any number of times, at most `concurrency` open at once. Each is
//!    answered by exactly one `done` or `failed`. In between the worker may send `log` and `call`;
//!    each `call` is answered by exactly one `reply`.
//! 4. `cancel` asks the worker to abort one invocation; it still answers it.
//! 5. `shutdown` asks it to finish what is open and exit with status 0. So does the end of the link.
//!
//! A frame that is illegal at its place, names an unknown invocation or call, or is over a bound
//! ends the worker. There is no resynchronisation. Frames about an invocation that the daemon has
//! given up on (cancelled, timed out) are dropped until the worker is gone.
//!
//! stdout and stderr of user code never carry frames; they are log lines.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::limits::WORKER_FRAME_MAX_BYTES;

/// Bytes before the body: the length and the type.
pub const HEADER_BYTES: usize = 5;

/// The type byte of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameType {
    /// Daemon → worker: [`Init`].
    Init = 0x01,
    /// Daemon → worker: [`Invoke`].
    Invoke = 0x02,
    /// Daemon → worker: [`Reply`].
    Reply = 0x04,
    /// Daemon → worker: [`Cancel`].
    Cancel = 0x05,
    /// Daemon → worker: [`Shutdown`].
    Shutdown = 0x06,
    /// Worker → daemon: [`Hello`].
    Hello = 0x80,
    /// Worker → daemon: [`Ready`].
    Ready = 0x81,
    /// Worker → daemon: [`Call`].
    Call = 0x82,
    /// Worker → daemon: [`Log`].
    Log = 0x83,
    /// Worker → daemon: [`Done`].
    Done = 0x85,
    /// Worker → daemon: [`Failed`].
    Failed = 0x86,
}

/// From the daemon to the worker. Text is borrowed where the daemon already holds it.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// See [`Init`].
    Init(Init),
    /// See [`Invoke`].
    Invoke(Box<Invoke>),
    /// See [`Reply`].
    Reply(Reply),
    /// See [`Cancel`].
    Cancel(Cancel),
    /// See [`Shutdown`].
    Shutdown(Shutdown),
}

/// From the worker to the daemon.
#[derive(Clone, Debug)]
pub enum FromWorker {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`Ready`].
    Ready(Ready),
    /// See [`Call`].
    Call(Call),
    /// See [`Log`].
    Log(Log),
    /// See [`Done`].
    Done(Done),
    /// See [`Failed`].
    Failed(Failed),
}

/// Which function this worker serves for the rest of its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// Name of the function.
    pub function: String,
    /// File below `/fn` that holds the handler; for Go the worker binary itself, so unused.
    pub entrypoint: String,
    /// Environment of the function: becomes `ctx.env` and the process environment.
    pub env: BTreeMap<String, String>,
    /// Secrets: become `ctx.secrets` and nothing else.
    pub secrets: BTreeMap<String, String>,
    /// Invocations that may be open at once, at least 1.
    pub concurrency: u32,
}

/// One call of the function.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invoke {
    /// Chosen by the daemon, never reused on this link, 1..2^53.
    pub invocation: u64,
    /// Time left from now. Milliseconds.
    pub deadline_ms: u64,
    /// Any JSON value; `null` where the caller sent nothing.
    pub input: Box<RawValue>,
    /// Who is calling.
    pub auth: Auth,
    /// The HTTP request behind the call.
    pub request: Request,
    /// W3C trace id of the request, 32 hex digits.
    pub trace_id: String,
}

/// Who is calling, as `ctx.auth`. An anonymous caller has `id` null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Id of the user; null for anonymous callers and the local administrator.
    pub id: Option<String>,
    /// Address of the user.
    pub email: Option<String>,
    /// Role of the user; `admin` for administrators, null for anonymous callers.
    pub role: Option<String>,
    /// Whether the address is verified.
    pub verified: bool,
}

/// The HTTP request behind a call, as `ctx.request`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Upper-case method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Decoded query parameters in order of first appearance; the last of equal names wins.
    pub query: BTreeMap<String, String>,
    /// Lower-case names. Credentials (`authorization`, `cookie`) are never among them.
    pub headers: BTreeMap<String, String>,
    /// Address of the client.
    pub ip: String,
}

/// Answer to one [`Call`]. Exactly one of `ok` and `error` is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The `call` of the [`Call`].
    pub call: u64,
    /// The value; `null` where the operation has none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ok: Option<Box<RawValue>>,
    /// A problem document: the members of [`crate::api::Problem`] (`code`, `status`, `detail`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RawValue>>,
}

/// Abort one invocation: its `ctx.signal` fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Which invocation.
    pub invocation: u64,
    /// Why.
    pub reason: CancelReason,
}

/// Why an invocation is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Its deadline has passed.
    Deadline,
    /// The client has gone away.
    ClientGone,
    /// The daemon is stopping.
    Shutdown,
}

/// Finish and exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {}

/// First frame of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`crate::limits::WORKER_PROTOCOL`] of the shim.
    pub protocol: u32,
    /// `node`, `python` or `go`.
    pub runtime: String,
    /// Version of the language runtime, as it names itself.
    pub version: String,
}

/// The user's code is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {}

/// A request of user code to the daemon, acting for one open invocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Chosen by the worker, never reused on this link, 1..2^53.
    pub call: u64,
    /// The invocation that the call acts for.
    pub invocation: u64,
    /// The transaction that it is a part of: what `db.begin` answered. Absent outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// What is asked, such as `db.get`. `runtimes/README.md` lists the operations.
    pub op: String,
    /// Arguments of the operation.
    pub args: Box<RawValue>,
}

/// A line of `ctx.log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The invocation that wrote it, if one did.
    pub invocation: Option<u64>,
    /// How important.
    pub level: LogLevel,
    /// The text, at most [`crate::limits::LOG_LINE_MAX_BYTES`]; longer ones are cut by the daemon.
    pub message: String,
}

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For the developer.
    Debug,
    /// The ordinary level.
    Info,
    /// Something was coped with.
    Warn,
    /// Something failed.
    Error,
}

/// The invocation succeeded. Exactly one of `value` and `response` is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Which invocation.
    pub invocation: u64,
    /// What the handler returned, as JSON. Absent where the handler returned nothing.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
    /// What the handler built with `ctx.respond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

/// An HTTP response built by a handler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// 200..=599.
    pub status: u16,
    /// At most [`crate::limits::RESPONSE_HEADERS_MAX`].
    pub headers: BTreeMap<String, String>,
    /// Body as text. Absent together with `body_base64` for no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Body as bytes in standard base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The invocation failed, or without one: the user's code could not be loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Which invocation; null while loading.
    pub invocation: Option<u64>,
    /// The `code` of the error: stable `snake_case` chosen by the function, else `function_error`.
    pub code: String,
    /// The `status` of the error, 400..=599, where the function chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its message. Shown to the caller only where the function chose a status below 500.
    pub message: String,
    /// The `details` of the error: any JSON the function chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<RawValue>>,
    /// Stack trace for the function's log; never shown to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// Bytes that are not a frame of this protocol. All are fatal to the link.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is zero or over the bound.
    #[error("frame length {0} is not within 1..={WORKER_FRAME_MAX_BYTES}")]
    Length(usize),
    /// No such type in this direction.
    #[error("frame type {0:#04x} is unknown in this direction")]
    Type(u8),
    /// The body is not the JSON that its type demands.
    #[error("body of frame type {frame_type:#04x} is malformed")]
    Body {
        /// Its type byte.
        frame_type: u8,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a length prefix.
///
/// # Errors
/// [`FrameError::Length`] outside the bound: allocate nothing before this has passed.
pub fn frame_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length == 0 || length > WORKER_FRAME_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    Ok(length)
}

impl ToWorker {
    /// The whole frame, length prefix included.
    ///
    /// # Errors
    /// [`FrameError::Length`] where the message is over the bound.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Init(body) => encode(FrameType::Init, body),
            Self::Invoke(body) => encode(FrameType::Invoke, body),
            Self::Reply(body) => encode(FrameType::Reply, body),
            Self::Cancel(body) => encode(FrameType::Cancel, body),
            Self::Shutdown(body) => encode(FrameType::Shutdown, body),
        }
    }

    /// Reads a frame without its length prefix.
    ///
    /// # Errors
    /// [`FrameError`] for anything but one message of this direction.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (frame_type, body) = split(frame)?;
        match frame_type {
            0x01 => parse(frame_type, body).map(Self::Init),
            0x02 => parse(frame_type, body).map(Self::Invoke),
            0x04 => parse(frame_type, body).map(Self::Reply),
            0x05 => parse(frame_type, body).map(Self::Cancel),
            0x06 => parse(frame_type, body).map(Self::Shutdown),
            unknown => Err(FrameError::Type(unknown)),
        }
    }
}

impl FromWorker {
    /// The whole frame, length prefix included.
    ///
    /// # Errors
    /// [`FrameError::Length`] where the message is over the bound.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Hello(body) => encode(FrameType::Hello, body),
            Self::Ready(body) => encode(FrameType::Ready, body),
            Self::Call(body) => encode(FrameType::Call, body),
            Self::Log(body) => encode(FrameType::Log, body),
            Self::Done(body) => encode(FrameType::Done, body),
            Self::Failed(body) => encode(FrameType::Failed, body),
        }
    }

    /// Reads a frame without its length prefix.
    ///
    /// # Errors
    /// [`FrameError`] for anything but one message of this direction.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (frame_type, body) = split(frame)?;
        match frame_type {
            0x80 => parse(frame_type, body).map(Self::Hello),
            0x81 => parse(frame_type, body).map(Self::Ready),
            0x82 => parse(frame_type, body).map(Self::Call),
            0x83 => parse(frame_type, body).map(Self::Log),
            0x85 => parse(frame_type, body).map(Self::Done),
            0x86 => parse(frame_type, body).map(Self::Failed),
            unknown => Err(FrameError::Type(unknown)),
        }
    }
}

fn encode<T: Serialize>(frame_type: FrameType, body: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0, 0, 0, 0, frame_type as u8];
    serde_json::to_writer(&mut frame, body)
        .map_err(|source| FrameError::Body { frame_type: frame_type as u8, source })?;
    let length = frame.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= WORKER_FRAME_MAX_BYTES);
    frame[..4].copy_from_slice(&prefix.ok_or(FrameError::Length(length))?.to_le_bytes());
    Ok(frame)
}

fn split(frame: &[u8]) -> Result<(u8, &[u8]), FrameError> {
    match frame.split_first() {
        Some((frame_type, body)) if frame.len() <= WORKER_FRAME_MAX_BYTES => Ok((*frame_type, body)),
        _ => Err(FrameError::Length(frame.len())),
    }
}

fn parse<'a, T: Deserialize<'a>>(frame_type: u8, body: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|source| FrameError::Body { frame_type, source })
}

/// Keeps a `null` that is there apart from an absent field, which `Option` alone does not.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(field).map(Some)
}

/// Cuts text to a bound on a character boundary.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}
