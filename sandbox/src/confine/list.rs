//! Table of the steps that confine a worker. This is the one list, in the order in which they run.
//!
//! What a step needs from the ones before it stands beside it.

use std::io;

use super::{Confinement, steps};

/// One step: its name for people, what to do about a failure, and the act.
#[derive(Debug)]
pub struct Step {
    /// As reported.
    pub name: &'static str,
    /// What an operator can look at.
    pub hint: &'static str,
    /// The act.
    pub act: fn(&Confinement<'_>) -> io::Result<()>,
}

const fn step(name: &'static str, hint: &'static str, act: fn(&Confinement<'_>) -> io::Result<()>) -> Step {
    Step { name, hint, act }
}

const MOUNT_HINT: &str =
    "mounts inside a user namespace may be forbidden here; see AppArmor or the unit's filter";
const PROC_HINT: &str = "something covers part of the host's /proc; a unit needs ProcSubset=pid";
const CAPS_HINT: &str = "a filter of the surrounding unit or container forbids dropping privileges";

/// By the init. Clone and id maps came before; the spawner made both.
pub const INIT_STEPS: &[Step] = &[
    // Mounts made below belong to ids of this namespace, so it must have an id first.
    step("become id 0 of the namespace", "the id maps were not written", steps::set_up_ids),
    step("set the host name", "the unit must not have ProtectHostname=", steps::set_hostname),
    step("leave the session keyring", "keyring quota is used up", steps::leave_keyring),
    step("mount the root", MOUNT_HINT, steps::mount_root),
    // Everything below is mounted inside the new root, through its path in the old one.
    step("mount the bundle", "the bundle changed since it was checked", steps::mount_bundle),
    step("mount /tmp", MOUNT_HINT, steps::mount_tmp),
    step("mount /dev/shm", MOUNT_HINT, steps::mount_shm),
    // Needs the host's /proc still in sight: the kernel refuses a new one otherwise.
    step("mount /proc", PROC_HINT, steps::mount_proc),
    step("change the root", MOUNT_HINT, steps::change_root),
    step("set resource limits", "a limit of the supervisor itself is in the way", steps::set_limits),
    // Needs CAP_SETPCAP, which goes with the capabilities below.
    step("empty the bounding set", CAPS_HINT, steps::drop_bounding_set),
    step("lock the securebits", CAPS_HINT, steps::lock_securebits),
    step("become the worker's id", CAPS_HINT, steps::take_worker_id),
    step("drop all capabilities", CAPS_HINT, steps::drop_capabilities),
    step("set no_new_privs", CAPS_HINT, steps::forbid_new_privileges),
    // After the last change of ids, which clears it.
    step("die with the spawner", CAPS_HINT, steps::die_with_parent),
    step("become undumpable", CAPS_HINT, steps::become_undumpable),
    // Needs no_new_privs and the final root.
    step("restrict with Landlock", "the kernel needs lsm=landlock", steps::restrict_paths),
];

/// By the init's child, the later runtime.
pub const RUNTIME_STEPS: &[Step] = &[
    step("start a session", CAPS_HINT, steps::start_session),
    step("place the descriptors", "descriptor limit of the supervisor", steps::place_descriptors),
    // Last, because the steps before make calls that the filter refuses.
    step("install the system call filter", "the kernel needs CONFIG_SECCOMP_FILTER", steps::install_filter),
    step("execute the runtime", "executable or a library of it is not among the binds", steps::execute),
];
