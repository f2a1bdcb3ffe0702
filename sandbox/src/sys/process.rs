//! Making processes and learning how they ended: `clone3`, `fork`, `waitid`, pidfds.
//!
//! Callers are single-threaded, so a child may allocate and run ordinary code; it must end in
//! `exec` or `_exit` and never return into the parent's loop.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid};

use super::check;

/// `CLONE_CLEAR_SIGHAND` of `linux/sched.h`; libc has it only as a C int, where it overflows.
pub const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a `clone3` this is.
#[derive(Debug)]
pub enum Cloned {
    /// The new process.
    Child,
    /// The old one, with handles on the new one.
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// How a process ended and what it and the children it waited for used.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Signal where one ended it.
    pub signal: Option<i32>,
    /// User and system time, microseconds.
    pub cpu_us: u64,
    /// Largest resident set of any one process, bytes.
    pub rss_peak_bytes: u64,
}

/// `clone3` with `SIGCHLD` and `CLONE_PIDFD`, optionally into a cgroup leaf.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers; all zero is its documented default.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args and pidfd outlive the call and the size given is theirs. Without CLONE_VM and
    // without a stack the call behaves as fork: the child gets a copy of this address space. The
    // process has one thread, so no lock can be held by a thread the child lacks.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: on success the kernel stored a new descriptor there that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: Pid::from_raw(pid as libc::pid_t), pidfd })
}

/// `fork` in a process with one thread.
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the caller has one thread, so the child may run ordinary code; it ends in exec or _exit.
    unsafe { nix::unistd::fork() }
}

/// Ends this process without running any destructor or exit handler.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}

/// Reaps the process behind a pidfd if it has ended.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Ended>> {
    wait_for_end(pidfd, libc::WNOHANG)
}

/// Waits for the process behind a pidfd and reaps it. Only for one that is about to end.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<Ended>> {
    wait_for_end(pidfd, 0)
}

fn wait_for_end(pidfd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<Option<Ended>> {
    // SAFETY: both are plain C structures for which all zero is valid.
    let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: info and usage outlive the call and have the types waitid(2) writes. The raw call is
    // used because only it returns the resource usage.
    check(unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_raw_fd(),
            ptr::from_mut(&mut info),
            libc::WEXITED | flags,
            ptr::from_mut(&mut usage),
        )
    })?;
    // SAFETY: waitid filled info as for SIGCHLD, or left it zero where nothing has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    let exited = info.si_code == libc::CLD_EXITED;
    Ok(Some(Ended {
        signal: (!exited).then_some(status),
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        rss_peak_bytes: usage.ru_maxrss as u64 * 1024,
    }))
}

/// Sends a signal to the process behind a pidfd.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    // SAFETY: the info pointer may be null, flags must be zero; the call reads no other memory.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as libc::c_int,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Gives SIGPIPE its default action back, which Rust's start-up code took away.
pub fn default_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no handler of ours.
    let old = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if old == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}
