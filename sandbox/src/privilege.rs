//! What the supervisor may do when it starts, and how it gives up everything but two capabilities.
//!
//! CAP_SETUID and CAP_SETGID serve one purpose: mapping a range of ids into the spawner's namespace.
//! After [`drop_root`] or [`keep_two`] nothing else is left and nothing can be regained.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use crate::config::RunAs;
use crate::sys::kernel;

/// How the supervisor was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As root, to be dropped.
    Root,
    /// As a service user that may map ids.
    Capable,
    /// As anyone.
    Rootless,
}

/// Privileges that could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PrivilegeError {
    what: &'static str,
    #[source]
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> PrivilegeError {
    move |source| PrivilegeError { what, source: source.into() }
}

/// The crate reports text only; errno still holds what the kernel said.
fn caps_failed(what: &'static str) -> impl FnOnce(caps::errors::CapsError) -> PrivilegeError {
    move |_| PrivilegeError { what, source: io::Error::last_os_error() }
}

const KEPT: [Capability; 2] = [Capability::CAP_SETUID, Capability::CAP_SETGID];

impl Start {
    /// Looks at this process.
    pub fn detect() -> Self {
        let has_both = KEPT
            .iter()
            .all(|capability| caps::has_cap(None, CapSet::Effective, *capability).unwrap_or(false));
        match (geteuid().is_root(), has_both) {
            (true, true) => Self::Root,
            (false, true) => Self::Capable,
            (_, false) => Self::Rootless,
        }
    }
}

/// Becomes a user that is nobody else's, with two capabilities.
pub fn drop_root(run_as: RunAs) -> Result<(), PrivilegeError> {
    for capability in caps::all() {
        if !KEPT.contains(&capability) && caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, capability).map_err(caps_failed("reduce the bounding set"))?;
        }
    }
    // From here on a change of ids neither gives nor takes capabilities.
    kernel::lock_securebits().map_err(failed("lock the securebits"))?;
    let (uid, gid) = (Uid::from_raw(run_as.uid), Gid::from_raw(run_as.gid));
    setgroups(&[]).map_err(failed("drop the supplementary groups"))?;
    setresgid(gid, gid, gid).map_err(failed("become the group of run_as"))?;
    setresuid(uid, uid, uid).map_err(failed("become the user of run_as"))?;
    keep_two()
}

/// Gives up everything but the two capabilities, and those too where they are not there.
pub fn keep_two() -> Result<(), PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(caps_failed("read the capabilities"))?;
    let kept: CapsHashSet = KEPT.into_iter().filter(|capability| permitted.contains(capability)).collect();
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).map_err(caps_failed("clear inherited capabilities"))?;
    }
    caps::set(None, CapSet::Effective, &kept).map_err(caps_failed("reduce the effective set"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(caps_failed("reduce the permitted set"))?;
    prctl::set_no_new_privs().map_err(failed("set no_new_privs"))?;
    prctl::set_dumpable(false).map_err(failed("become undumpable"))
}
