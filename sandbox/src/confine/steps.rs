//! What each step of the list does. Every function does one thing and reports the kernel's answer.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope as LandlockScope, path_beneath_rules,
};
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chdir, execve, pivot_root, sethostname, setresgid, setresuid, setsid};

use super::{Confinement, RUNNING_MARK};
use crate::limits::WORKER_ID;
use crate::sys::mount::{Attributes, Scope, add_attributes, attach, clone_tree, clone_tree_at};
use crate::sys::{fd, kernel};

/// Where the new root is attached in the spawner's tree.
const NEW_ROOT: &str = "/mnt";

pub fn set_up_ids(confinement: &Confinement<'_>) -> io::Result<()> {
    if confinement.plan.has_id_range {
        take_id(0)?;
    }
    Ok(())
}

pub fn take_worker_id(_: &Confinement<'_>) -> io::Result<()> {
    take_id(WORKER_ID)
}

fn take_id(id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

pub fn set_hostname(confinement: &Confinement<'_>) -> io::Result<()> {
    Ok(sethostname(&confinement.plan.hostname)?)
}

pub fn leave_keyring(_: &Confinement<'_>) -> io::Result<()> {
    match kernel::new_session_keyring() {
        // The surrounding unit's filter forbids keyring calls to everybody below it, workers included,
        // or the kernel has none.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => Ok(()),
        result => result,
    }
}

pub fn mount_root(confinement: &Confinement<'_>) -> io::Result<()> {
    let tree = clone_tree(&confinement.plan.root)?;
    // Binds below have their own attributes; devices among them must not get nodev.
    let attributes = Attributes::READ_ONLY_NOSUID.and(Attributes::NODEV).and(Attributes::NOEXEC);
    add_attributes(tree.as_fd(), attributes, Scope::Single)?;
    attach(tree.as_fd(), Path::new(NEW_ROOT))
}

pub fn mount_bundle(confinement: &Confinement<'_>) -> io::Result<()> {
    let plan = confinement.plan;
    let Some(name) = plan.bundle.as_deref() else { return Ok(()) };
    let path = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let bundles = nix::fcntl::open("/bundles", path, Mode::empty())?;
    // A digest is one name; whatever it is now, it has to be the directory that was checked.
    let bundle = openat(&bundles, name, path | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
    let found = nix::sys::stat::fstat(&bundle)?;
    if Some((found.st_dev, found.st_ino)) != confinement.bundle_inode {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    let tree = clone_tree_at(bundle.as_fd())?;
    add_attributes(tree.as_fd(), plan.bundle_attributes, Scope::Recursive)?;
    attach(tree.as_fd(), &Path::new(NEW_ROOT).join("fn"))
}

pub fn mount_tmp(confinement: &Confinement<'_>) -> io::Result<()> {
    mount_tmpfs(confinement, "tmp")
}

pub fn mount_shm(confinement: &Confinement<'_>) -> io::Result<()> {
    mount_tmpfs(confinement, "dev/shm")
}

fn mount_tmpfs(confinement: &Confinement<'_>, target: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = confinement.plan.tmpfs_options.as_str();
    Ok(mount(Some("tmpfs"), &Path::new(NEW_ROOT).join(target), Some("tmpfs"), flags, Some(options))?)
}

pub fn mount_proc(_: &Confinement<'_>) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some("hidepid=invisible,subset=pid");
    Ok(mount(Some("proc"), &Path::new(NEW_ROOT).join("proc"), Some("proc"), flags, options)?)
}

pub fn change_root(_: &Confinement<'_>) -> io::Result<()> {
    chdir(NEW_ROOT)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/fn")?;
    Ok(())
}

pub fn set_limits(confinement: &Confinement<'_>) -> io::Result<()> {
    for &(resource, wanted) in &confinement.plan.rlimits {
        set_limit(resource, wanted)?;
    }
    Ok(())
}

/// A limit can only be lowered here; where the inherited one is lower it stays.
fn set_limit(resource: Resource, wanted: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = wanted.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}

pub fn drop_bounding_set(_: &Confinement<'_>) -> io::Result<()> {
    caps::clear(None, CapSet::Bounding).map_err(last_error)
}

pub fn lock_securebits(_: &Confinement<'_>) -> io::Result<()> {
    kernel::lock_securebits()
}

pub fn drop_capabilities(_: &Confinement<'_>) -> io::Result<()> {
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(last_error)?;
    }
    Ok(())
}

/// The crate reports text only; errno still holds what the kernel said.
fn last_error(_: caps::errors::CapsError) -> io::Error {
    io::Error::last_os_error()
}

pub fn forbid_new_privileges(_: &Confinement<'_>) -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

pub fn die_with_parent(_: &Confinement<'_>) -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

pub fn become_undumpable(_: &Confinement<'_>) -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

pub fn restrict_paths(confinement: &Confinement<'_>) -> io::Result<()> {
    let abi = ABI::from(confinement.landlock_abi);
    if abi == ABI::Unsupported {
        // Said in the layer report; strict mode does not get here.
        return Ok(());
    }
    let restricted = landlock_rules(confinement, abi)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|_| io::Error::last_os_error())?;
    if restricted.ruleset == RulesetStatus::FullyEnforced {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }
}

/// Nothing is allowed but what the plan names: no TCP, no abstract sockets, no signals outwards.
fn landlock_rules(confinement: &Confinement<'_>, abi: ABI) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if confinement.landlock_abi >= 4 {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    if confinement.landlock_abi >= 6 {
        ruleset = ruleset.scope(LandlockScope::AbstractUnixSocket | LandlockScope::Signal)?;
    }
    let paths = &confinement.plan.paths;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let write = AccessFs::from_all(abi) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut ruleset = ruleset.create()?;
    for (list, access) in [
        (&paths.list, AccessFs::ReadDir.into()),
        (&paths.run, read | AccessFs::Execute),
        (&paths.read, read),
        (&paths.write, write),
        (&paths.device, device),
    ] {
        // A path of the plan that this root lacks needs no rule.
        ruleset = ruleset.add_rules(path_beneath_rules(list, access))?;
    }
    Ok(ruleset)
}

pub fn start_session(_: &Confinement<'_>) -> io::Result<()> {
    setsid()?;
    crate::sys::process::default_sigpipe()?;
    // The init blocks what it reads by descriptor.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

pub fn place_descriptors(confinement: &Confinement<'_>) -> io::Result<()> {
    // Standard input is /dev/null since the spawner started. The sources are all above 3: the spawner
    // keeps its low numbers taken.
    fd::place(confinement.stdout, 1)?;
    fd::place(confinement.stderr, 2)?;
    fd::place(confinement.link, 3)?;
    fd::close_on_exec_from(4)
}

pub fn install_filter(confinement: &Confinement<'_>) -> io::Result<()> {
    seccompiler::apply_filter(confinement.filter).map_err(|_| io::Error::last_os_error())
}

pub fn execute(confinement: &Confinement<'_>) -> io::Result<()> {
    let plan = confinement.plan;
    nix::unistd::write(confinement.failure, &[RUNNING_MARK])?;
    execve(&plan.executable, &plan.arguments, &plan.environment)?;
    Ok(())
}
