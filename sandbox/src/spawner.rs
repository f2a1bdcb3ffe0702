//! The spawner: a small process in a user and mount namespace of its own that clones workers.
//!
//! It is this program executed again with an empty environment, so nothing of the host is inherited
//! by a worker through it. It obeys the supervisor only, over one socket; it never sees a byte from
//! the daemon or from user code. When the supervisor goes, it goes, and every worker with it.

mod children;
mod network;
pub mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use alyx_protocol::ids::RuntimeName;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getppid, setgroups};

use crate::plan::{IdPlan, SpawnerPlan};
use crate::seccomp::{self, BpfProgram};
use crate::staging::{self, StagingError};
use crate::sys::{fd, kernel};
use children::Children;
use wire::{Event, Order, WireError};

/// Where the spawner's socket is.
const LINK: i32 = 3;

/// Why the spawner cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    #[error("{0}")]
    Call(&'static str, #[source] io::Error),
    #[error("build the spawner's tree")]
    Staging(#[from] StagingError),
    #[error("talk to the supervisor")]
    Wire(#[from] WireError),
    #[error("build the filter of {0}")]
    Filter(RuntimeName, #[source] seccomp::FilterError),
}

fn call<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SpawnerError {
    move |source| SpawnerError::Call(what, source.into())
}

/// What stays the same for every worker.
#[derive(Debug)]
pub struct Ground {
    plan: SpawnerPlan,
    filters: BTreeMap<RuntimeName, BpfProgram>,
    init_filter: BpfProgram,
    landlock_abi: i32,
}

/// The spawner's whole life. `link` is the number of the inherited socket, `supervisor` its parent.
pub fn run(link: i32, supervisor: i32) -> Result<(), SpawnerError> {
    // Descriptor 3 is taken for good, so a worker's descriptors are never below 4 before they are
    // placed.
    if link != LINK {
        fd::place(fd::borrow(link), LINK).map_err(call("place the link"))?;
        drop(fd::take_inherited(link));
    }
    let link = fd::take_inherited(LINK).map_err(call("take the link"))?;
    die_with(supervisor)?;
    umask(Mode::from_bits_truncate(0o022));
    let Some((Order::SetUp(plan), _)) = wire::receive(link.as_fd())? else {
        return Ok(());
    };
    match prepare(&link, *plan) {
        Ok(ground) => {
            die_with(supervisor)?;
            wire::send(link.as_fd(), &Event::Ready, &[])?;
            serve(&link, &ground)
        }
        Err(error) => {
            let detail = crate::log::chain(&error);
            wire::send(link.as_fd(), &Event::Broken { detail }, &[])?;
            Ok(())
        }
    }
}

/// Asks for SIGKILL when the supervisor ends, and makes sure that it has not ended before.
fn die_with(supervisor: i32) -> Result<(), SpawnerError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(call("ask for the death signal"))?;
    if getppid() == Pid::from_raw(supervisor) {
        Ok(())
    } else {
        Err(SpawnerError::Call("stay with the supervisor", io::ErrorKind::BrokenPipe.into()))
    }
}

fn prepare(link: &OwnedFd, plan: SpawnerPlan) -> Result<Ground, SpawnerError> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(call("make a user namespace; is user.max_user_namespaces zero, or is it forbidden to us"))?;
    wire::send(link.as_fd(), &Event::Unshared, &[])?;
    let Some((Order::MapsWritten, _)) = wire::receive(link.as_fd())? else {
        return Err(SpawnerError::Call("wait for the id maps", io::ErrorKind::UnexpectedEof.into()));
    };
    if plan.ids != IdPlan::Own {
        setgroups(&[]).map_err(call("drop the supplementary groups"))?;
    }
    staging::make_private()?;
    match &plan.work_dir {
        Some(work_dir) => {
            staging::build(Path::new(work_dir), &plan.entries)?;
            staging::enter(Path::new(work_dir))?;
        }
        None => staging::enter(Path::new("."))?,
    }
    let filters = plan
        .runtimes
        .keys()
        .map(|name| match seccomp::runtime_filter(name) {
            Ok(filter) => Ok((name.clone(), filter)),
            Err(error) => Err(SpawnerError::Filter(name.clone(), error)),
        })
        .collect::<Result<_, _>>()?;
    let init_filter = seccomp::init_filter().map_err(|error| {
        SpawnerError::Call("build the filter of the init", io::Error::other(error.to_string()))
    })?;
    Ok(Ground { plan, filters, init_filter, landlock_abi: kernel::landlock_abi() })
}

/// Obeys orders and reports ends until the supervisor is gone.
fn serve(link: &OwnedFd, ground: &Ground) -> Result<(), SpawnerError> {
    let mut children = Children::default();
    children.prepare();
    loop {
        let (ready, link_ready) = {
            let mut polled = vec![PollFd::new(link.as_fd(), PollFlags::POLLIN)];
            children.add_polled(&mut polled);
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(call("wait for events")(error)),
            }
            let has_events = |polled: &PollFd<'_>| polled.revents().is_some_and(|events| !events.is_empty());
            (polled.iter().skip(1).any(has_events), has_events(&polled[0]))
        };
        if ready {
            for (event, pidfd) in children.collect() {
                send(link, &event, pidfd)?;
            }
        }
        if link_ready {
            match wire::receive(link.as_fd())? {
                None => return Ok(()),
                Some((Order::Spawn(order), fds)) => {
                    let (event, pidfd) = children.spawn(ground, order, fds);
                    send(link, &event, pidfd)?;
                    children.prepare();
                }
                Some(_) => return Err(WireError::Unexpected.into()),
            }
        }
    }
}

fn send(link: &OwnedFd, event: &Event, fd: Option<OwnedFd>) -> Result<(), SpawnerError> {
    let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
    Ok(wire::send(link.as_fd(), event, &fds)?)
}
