//! What this process may do: nothing that an ordinary user may not, and not even regain it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getpgrp, getpid, getppid};

use crate::limits::{BUILD_CPU_MAX_S, BUILD_FILE_MAX_BYTES, BUILD_MEMORY_MAX_BYTES, OPEN_FILES_MAX};

/// Why the rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("drop capabilities")]
    Capabilities(#[from] caps::errors::CapsError),
    #[error("set no_new_privs")]
    NoNewPrivileges(#[source] nix::Error),
    #[error("raise the limit of open files")]
    Files(#[source] nix::Error),
    #[error("ask for a signal at the parent's death")]
    ParentDeath(#[source] nix::Error),
    #[error("the parent is gone already")]
    Orphan,
    #[error("bound a build")]
    Build(#[source] nix::Error),
    #[error("run {program}", program = .0.display())]
    Run(OsString, #[source] io::Error),
}

/// A command that runs a program by way of [`build`], in a process group of its own.
pub fn build_command(program: &Path) -> io::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg("build").arg(program).process_group(0);
    Ok(command)
}

/// Becomes a program that works on foreign sources: bounded, and ended with the program that started
/// it, which is the daemon, or the leader of the build's process group.
pub fn build(program: OsString, arguments: Vec<OsString>) -> Result<Infallible, ProcessError> {
    // Bound to the thread that started us. Those of the daemon and of `go` live as long as they do.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(ProcessError::ParentDeath)?;
    let leader = getpgrp();
    if leader != getpid() && leader != getppid() {
        return Err(ProcessError::Orphan);
    }
    for (resource, limit) in [
        (Resource::RLIMIT_CPU, BUILD_CPU_MAX_S),
        (Resource::RLIMIT_DATA, BUILD_MEMORY_MAX_BYTES),
        (Resource::RLIMIT_FSIZE, BUILD_FILE_MAX_BYTES),
        (Resource::RLIMIT_CORE, 0),
    ] {
        let (_, hard) = getrlimit(resource).map_err(ProcessError::Build)?;
        let limit = limit.min(hard);
        setrlimit(resource, limit, limit).map_err(ProcessError::Build)?;
    }
    let error = std::process::Command::new(&program).args(arguments).exec();
    Err(ProcessError::Run(program, error))
}

/// Gives up every capability and the way back to it. Files made from now on are the owner's alone.
///
/// Called before any thread is started: capabilities belong to threads (capabilities(7)).
pub fn give_up_rights() -> Result<(), ProcessError> {
    umask(Mode::from_bits_truncate(0o077));
    prctl::set_no_new_privs().map_err(ProcessError::NoNewPrivileges)?;
    // The bounding set first: dropping from it needs CAP_SETPCAP.
    if caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding)?;
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        // Where a unit has taken them all, its filter refuses the call that would.
        if !caps::read(None, set)?.is_empty() {
            caps::clear(None, set)?;
        }
    }
    Ok(())
}

/// Lets this process open as many files as the hard limit allows: each connection is one, and the
/// soft limit is low for the sake of programs that use `select` (getrlimit(2)).
pub fn raise_file_limit() -> Result<(), ProcessError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(ProcessError::Files)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(OPEN_FILES_MAX), hard).map_err(ProcessError::Files)
}

/// Has the kernel give this process memory in small pages only (`PR_SET_THP_DISABLE`, Linux 3.15). The
/// allocator asks for pages of 2 MiB, which in a daemon of some megabytes are mostly empty. What was allocated
/// before this call stays as it is, so it comes first.
pub fn use_small_pages() {
    if let Err(error) = prctl::set_thp_disable(true) {
        // It costs memory and nothing else.
        tracing::debug!(%error, "huge pages stay in use");
    }
}

/// Has the kernel send SIGTERM when the parent dies.
pub fn die_with_parent() -> Result<(), ProcessError> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(ProcessError::ParentDeath)?;
    // It may have died before the call, then nobody would tell us.
    if getppid() != parent { Err(ProcessError::Orphan) } else { Ok(()) }
}
