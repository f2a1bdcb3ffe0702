//! Process 1 of a worker: confines itself, starts the runtime as its child, reaps whatever is orphaned,
//! passes SIGTERM on, and ends when the runtime or the spawner does. The kernel then kills the rest.
//!
//! It holds two pipes: `lifeline` (the spawner holds the other end; end of file means the spawner is
//! gone) and `report` (how the runtime ended). It never reads a byte that user code wrote.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use seccompiler::BpfProgram;

use crate::confine::{Confinement, StepFailure, confine_init, confine_runtime, give_up};
use crate::sys::{fd, process};

/// The init's own descriptors.
#[derive(Debug)]
pub struct InitPipes<'a> {
    /// One byte means go; end of file means the spawner is gone.
    pub lifeline: BorrowedFd<'a>,
    /// Carries how the runtime ended.
    pub report: BorrowedFd<'a>,
}

/// How the runtime ended, as the init saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeEnd {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
}

impl RuntimeEnd {
    fn to_bytes(self) -> [u8; 5] {
        let (kind, number) = match self {
            Self::Exited(code) => (0, code),
            Self::Signalled(signal) => (1, signal),
        };
        let number = number.to_le_bytes();
        [kind, number[0], number[1], number[2], number[3]]
    }

    /// From what came out of the report pipe.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, number) = bytes.split_first()?;
        let number = i32::from_le_bytes(number.try_into().ok()?);
        Some(if *kind == 0 { Self::Exited(number) } else { Self::Signalled(number) })
    }
}

/// Numbers of the init's descriptors once it runs.
const LIFELINE: i32 = 3;
const REPORT: i32 = 4;

/// Runs in the cloned child and never returns.
pub fn run(confinement: &Confinement<'_>, pipes: &InitPipes<'_>, filter: &BpfProgram) -> ! {
    let mut go = [0];
    if !matches!(nix::unistd::read(pipes.lifeline, &mut go), Ok(1)) {
        process::exit_now(1);
    }
    if let Err(failure) = confine_init(confinement) {
        give_up(confinement, failure);
    }
    let signals = handled_signals();
    let forked = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), None).and_then(|()| process::fork());
    match forked {
        Err(errno) => give_up(confinement, StepFailure::fork(errno)),
        Ok(ForkResult::Child) => match confine_runtime(confinement) {
            Err(failure) => give_up(confinement, failure),
            Ok(()) => process::exit_now(1),
        },
        Ok(ForkResult::Parent { child }) => {
            let ended = settle(pipes, filter).and_then(|()| watch(child, &signals));
            process::exit_now(i32::from(ended.is_err()))
        }
    }
}

fn handled_signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGCHLD);
    signals
}

/// Keeps the two pipes, closes everything else and installs the init's own filter.
fn settle(pipes: &InitPipes<'_>, filter: &BpfProgram) -> io::Result<()> {
    let null = fd::borrow(0);
    // Both pipes sit above the numbers they get, so neither overwrites the other.
    for (source, target) in [(null, 1), (null, 2), (pipes.lifeline, LIFELINE), (pipes.report, REPORT)] {
        fd::place(source, target)?;
    }
    fd::close_from(REPORT + 1)?;
    seccompiler::apply_filter(filter).map_err(|_| io::Error::last_os_error())
}

/// Waits for the runtime to end.
fn watch(runtime: Pid, signals: &SigSet) -> io::Result<()> {
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let lifeline = fd::borrow(LIFELINE);
    loop {
        let mut polled =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(lifeline, PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if polled[1].revents().is_some_and(|events| !events.is_empty()) {
            return Ok(());
        }
        while let Some(signal) = signals.read_signal()? {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                match kill(runtime, Signal::SIGTERM) {
                    // Ended this moment; the reaping below tells.
                    Ok(()) | Err(nix::Error::ESRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if let Some(end) = reap(runtime)? {
            return write_report(end);
        }
    }
}

/// Reaps every ended child; tells how the runtime ended, once it has.
fn reap(runtime: Pid) -> io::Result<Option<RuntimeEnd>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == runtime => return Ok(Some(RuntimeEnd::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == runtime => {
                return Ok(Some(RuntimeEnd::Signalled(signal as i32)));
            }
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn write_report(end: RuntimeEnd) -> io::Result<()> {
    nix::unistd::write(fd::borrow(REPORT), &end.to_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::RuntimeEnd;

    #[test]
    fn ends_survive_the_pipe() {
        for end in [RuntimeEnd::Exited(3), RuntimeEnd::Exited(-1), RuntimeEnd::Signalled(31)] {
            assert_eq!(RuntimeEnd::from_bytes(&end.to_bytes()), Some(end));
        }
        assert_eq!(RuntimeEnd::from_bytes(&[0, 1]), None);
    }
}
