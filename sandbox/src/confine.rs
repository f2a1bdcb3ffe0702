//! Confines a worker by the steps of [`list`], in order: [`INIT_STEPS`], then [`RUNTIME_STEPS`].
//!
//! The init (process 1 of the worker's namespaces) runs the first part, forks,
//! and its child runs the second, which ends in `execve`. A step that fails ends the process: its
//! number and errno go to the spawner and nothing is ever executed. What a step needs from the ones
//! before it stands beside it in the list.

mod list;
mod steps;

use std::os::fd::BorrowedFd;

use seccompiler::BpfProgram;

use crate::plan::WorkerPlan;
use list::{INIT_STEPS, RUNTIME_STEPS, Step};

/// What the steps work on.
#[derive(Debug)]
pub struct Confinement<'a> {
    /// What to set up.
    pub plan: &'a WorkerPlan,
    /// Filter of the runtime.
    pub filter: &'a BpfProgram,
    /// Identity of the checked bundle directory, where there is a bundle.
    pub bundle_inode: Option<(u64, u64)>,
    /// Landlock ABI of the kernel.
    pub landlock_abi: i32,
    /// Becomes descriptor 3 of the runtime.
    pub link: BorrowedFd<'a>,
    /// Becomes its standard output.
    pub stdout: BorrowedFd<'a>,
    /// Becomes its standard error.
    pub stderr: BorrowedFd<'a>,
    /// Pipe that takes a failed step, or [`RUNNING_MARK`] just before `execve`, which closes it.
    pub failure: BorrowedFd<'a>,
}

/// A step that failed, as it crosses the pipe to the spawner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepFailure {
    step: u8,
    errno: i32,
}

/// Byte in front of the end of the pipe, or of the failure of `execve` itself.
pub const RUNNING_MARK: u8 = 0xEE;

/// Step number that stands for the init's own fork.
const FORK: u8 = u8::MAX;

impl StepFailure {
    /// The init could not fork.
    pub fn fork(errno: nix::Error) -> Self {
        Self { step: FORK, errno: errno as i32 }
    }

    /// Five bytes for the pipe.
    pub fn to_bytes(self) -> [u8; 5] {
        let errno = self.errno.to_le_bytes();
        [self.step, errno[0], errno[1], errno[2], errno[3]]
    }

    /// From the first five bytes out of the pipe.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (step, errno) = bytes.split_first()?;
        Some(Self { step: *step, errno: i32::from_le_bytes(errno.get(..4)?.try_into().ok()?) })
    }

    /// Whether all steps but the last went well.
    pub fn is_execution(self) -> bool {
        usize::from(self.step) + 1 == INIT_STEPS.len() + RUNTIME_STEPS.len()
    }

    /// One sentence: the step, why, and what to look at.
    pub fn describe(self) -> String {
        let found = INIT_STEPS.iter().chain(RUNTIME_STEPS).nth(usize::from(self.step));
        let (name, hint) = match found {
            Some(step) => (step.name, step.hint),
            None => ("fork the runtime", "process limit of the worker or the host"),
        };
        format!("step \"{name}\" failed: {} ({hint})", nix::Error::from_raw(self.errno).desc())
    }
}

/// Runs the init's part.
pub fn confine_init(confinement: &Confinement<'_>) -> Result<(), StepFailure> {
    run(confinement, INIT_STEPS, 0)
}

/// Runs the runtime's part; returns only where a step failed.
pub fn confine_runtime(confinement: &Confinement<'_>) -> Result<(), StepFailure> {
    run(confinement, RUNTIME_STEPS, INIT_STEPS.len())
}

fn run(confinement: &Confinement<'_>, steps: &[Step], first: usize) -> Result<(), StepFailure> {
    for (number, step) in steps.iter().enumerate() {
        (step.act)(confinement).map_err(|error| StepFailure {
            step: (first + number) as u8,
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        })?;
    }
    Ok(())
}

/// Reports a failed step and ends this process.
pub fn give_up(confinement: &Confinement<'_>, failure: StepFailure) -> ! {
    // Where even this fails the spawner sees the pipe close before the runtime's mark, and that is a
    // failure as well.
    let written = nix::unistd::write(confinement.failure, &failure.to_bytes());
    crate::sys::process::exit_now(if written.is_ok() { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::{INIT_STEPS, RUNTIME_STEPS, StepFailure};

    #[test]
    fn a_failure_survives_the_pipe_and_is_named() {
        for (number, step) in INIT_STEPS.iter().chain(RUNTIME_STEPS).enumerate() {
            let failure = StepFailure { step: number as u8, errno: libc::EPERM };
            assert_eq!(StepFailure::from_bytes(&failure.to_bytes()), Some(failure));
            assert!(failure.describe().contains(step.name));
        }
        assert!(StepFailure::fork(nix::Error::EAGAIN).describe().contains("fork"));
        assert_eq!(StepFailure::from_bytes(&[1, 2]), None);
    }
}
