//! Table of what differs between runtimes: one row each, chosen by the runtime's name.
//!
//! A name without a row gets [`DEFAULT`], the narrowest one.

use alyx_protocol::ids::RuntimeName;

/// Whether files of a mount may be run or mapped as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Never.
    Data,
    /// The mount holds the program itself.
    Executable,
}

/// The row of one runtime.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether `/fn` holds a program.
    pub bundle: Code,
    /// Data segment beyond the memory limit: reservations that a runtime makes and never fills.
    /// RLIMIT_DATA is only the coarse bound behind cgroup or sampling. Unit: bytes.
    pub data_allowance_bytes: u64,
    /// System calls beyond the shared table, by table name.
    pub extra_calls: ExtraCalls,
}

/// Which extra table of `seccomp::table` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraCalls {
    /// Only the shared table.
    None,
    /// Node.
    Node,
}

const MIB: u64 = 1024 * 1024;

/// For runtimes without a row.
const DEFAULT: Policy =
    Policy { bundle: Code::Data, data_allowance_bytes: 128 * MIB, extra_calls: ExtraCalls::None };

/// The row for a runtime.
pub fn policy(runtime: &RuntimeName) -> Policy {
    match runtime.as_str() {
        // Stacks of V8's and libuv's threads and the young generation's semi-spaces.
        "node" => Policy { data_allowance_bytes: 512 * MIB, extra_calls: ExtraCalls::Node, ..DEFAULT },
        "python" => DEFAULT,
        // The worker is the bundle. Heap arenas are mapped writable 64 MiB at a time.
        "go" => Policy { bundle: Code::Executable, data_allowance_bytes: 512 * MIB, ..DEFAULT },
        _ => DEFAULT,
    }
}
