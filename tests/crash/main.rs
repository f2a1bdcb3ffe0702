//! What was acknowledged stays, whatever happens to the process, the disk or the power.
//!
//! Each test runs `alyxd` alone, lets writers write over its admin socket, harms it, and compares what is
//! there with what the writers were told. `ALYX_LONG=1` repeats it more often.
//!
//! | module | harm |
//! |---|---|
//! | `kill` | `kill -9` at any moment |
//! | `disk` | a disk that is full, and a database file that is taken away |
//! | `faults` | system calls that fail: EIO and ENOSPC on the nth write or sync |
//! | `point` | nothing, and kills: the database is brought back to moments before |
//! | `power` | the power goes: what was not flushed is on the disk wholly, partly or not at all |
//! | `ship` | the same and a target that fails, with segments of the log on their way |
//!
//! `writers` is the load and the comparison, `daemon` the process.

mod daemon;
mod disk;
mod faults;
mod kill;
mod point;
mod power;
mod ship;
mod writers;

use alyx_tests::namespace::in_own;

/// `short`, or `long` with `ALYX_LONG=1`.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var("ALYX_LONG").is_ok_and(|value| value == "1") { long } else { short }
}

/// Whether a program is there; its absence is said, and is a failure under CI.
fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is missing; run packaging/prerequisites.sh tests"
    );
    if !found {
        eprintln!("not run: {program} is missing; run packaging/prerequisites.sh tests");
    }
    found
}

/// Runs this very test again in a mount namespace of its own. Answers true inside.
fn in_own_namespace(test: &str) -> bool {
    in_own(&["--mount"], test)
}
