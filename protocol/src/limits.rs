//! Every bound that both ends of a link must agree on.

/// Version of the control link. Both ends ship together; a difference ends the link.
pub const CONTROL_PROTOCOL: u32 = 1;

/// Version of the worker link, sent by the shim in `hello`.
pub const WORKER_PROTOCOL: u32 = 1;

/// Largest packet on the control link. Unit: bytes.
pub const CONTROL_PACKET_MAX_BYTES: usize = 64 * 1024;

/// Workers that one `renew` names at most, so that the packet stays below its bound.
pub const RENEW_MAX_WORKERS: usize = 1_024;

/// Largest frame on the worker link: type byte and body, without the length prefix. Unit: bytes.
///
/// It bounds what either side must buffer for one message. A function's input and output have
/// smaller limits of their own.
pub const WORKER_FRAME_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Depth of nested arrays and objects accepted in a frame's JSON.
pub const JSON_DEPTH_MAX: usize = 128;

/// Time from spawn to the shim's `hello` before the worker is ended. Unit: milliseconds.
pub const HELLO_TIMEOUT_MS: u64 = 10_000;

/// Calls (`ctx.db` and friends) that one invocation may have open at once.
pub const OPEN_CALLS_MAX: usize = 32;

/// Calls that one invocation may make in all.
pub const CALLS_PER_INVOCATION_MAX: u64 = 10_000;

/// Structured log lines (`ctx.log`) longer than this are cut. Unit: bytes.
pub const LOG_LINE_MAX_BYTES: usize = 8 * 1024;

/// Message of a `failed` frame is cut after this. Unit: bytes.
pub const FAILURE_MESSAGE_MAX_BYTES: usize = 8 * 1024;

/// Stack trace of a `failed` frame is cut after this. Unit: bytes.
pub const FAILURE_STACK_MAX_BYTES: usize = 32 * 1024;

/// Headers that a function's response may carry.
pub const RESPONSE_HEADERS_MAX: usize = 100;

/// Longest lease that `spawn` and `renew` may ask for. Unit: milliseconds.
pub const LEASE_MAX_MS: u64 = 120_000;

/// Longest grace that `stop` may ask for. Unit: milliseconds.
pub const STOP_GRACE_MAX_MS: u64 = 30_000;
