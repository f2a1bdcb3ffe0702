//! Limits by cgroup v2, where the supervisor was started in a delegated cgroup that has the controllers.
//!
//! Each worker gets a leaf, made before it is cloned into it. Plain limits go through cgroups-rs; what
//! that lacks (a directory descriptor for `CLONE_INTO_CGROUP`, `memory.oom.group`, events,
//! `cgroup.kill`) is here. `memory.high` stays open: above it the kernel slows a worker down until its
//! timeout, and then the wrong limit would be named. Nothing outside the delegated directory is ever written, and no mount
//! is touched. Everything works on any directory that has the files, so that tests need no controllers.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use alyx_protocol::control::WorkerLimits;
use cgroups_rs::MaxValue;
use cgroups_rs::memory::MemController;
use cgroups_rs::pid::PidController;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::config::RunAs;

/// Period of `cpu.max`. Unit: microseconds.
const CPU_PERIOD_US: u64 = 100_000;

/// Controllers that must be there, or none is used.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The delegated directory.
#[derive(Debug)]
pub struct Cgroups {
    top: PathBuf,
}

/// One worker's cgroup.
#[derive(Debug)]
pub struct Leaf {
    path: PathBuf,
    directory: OwnedFd,
}

/// What a leaf knows of its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeafUsage {
    /// `cpu.stat`, `usage_usec`.
    pub cpu_us: u64,
    /// `memory.current`.
    pub memory_bytes: u64,
    /// `memory.peak`; kernels before 5.19 have none.
    pub memory_peak_bytes: u64,
    /// `pids.current`.
    pub processes: u32,
    /// `memory.events`, `oom_kill`.
    pub oom_kills: u64,
}

/// A cgroup could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no cgroup v2 hierarchy of our own")]
    NoHierarchy,
    #[error("no {0} controller in {1}")]
    MissingController(&'static str, PathBuf),
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("set {what}")]
    Limit {
        what: &'static str,
        #[source]
        source: cgroups_rs::error::Error,
    },
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError::File { path, source }
}

fn limit_error(what: &'static str) -> impl FnOnce(cgroups_rs::error::Error) -> CgroupError {
    move |source| CgroupError::Limit { what, source }
}

impl Cgroups {
    /// Takes over the cgroup this process is in, for the user it becomes.
    pub fn detect(becomes: Option<RunAs>) -> Result<Self, CgroupError> {
        if !cgroups_rs::hierarchies::is_cgroup2_unified_mode() {
            return Err(CgroupError::NoHierarchy);
        }
        let own = Path::new("/proc/self/cgroup");
        let text = fs::read_to_string(own).map_err(file_error(own))?;
        let relative = own_path(&text).ok_or(CgroupError::NoHierarchy)?;
        let cgroups = Self::take_over(Path::new("/sys/fs/cgroup").join(relative))?;
        becomes.map_or(Ok(()), |user| cgroups.give_to(user)).map(|()| cgroups)
    }

    /// Of the files, those that making leaves and cloning into them need.
    fn give_to(&self, user: RunAs) -> Result<(), CgroupError> {
        ["", "cgroup.procs", "cgroup.subtree_control"].iter().try_for_each(|file| {
            let path = self.top.join(file);
            chown(&path, Some(user.uid), Some(user.gid)).map_err(file_error(&path))
        })
    }

    /// Moves this process into a leaf of its own and turns the controllers on for the leaves beside it.
    pub fn take_over(top: PathBuf) -> Result<Self, CgroupError> {
        let listed = top.join("cgroup.controllers");
        let controllers = fs::read_to_string(&listed).map_err(file_error(&listed))?;
        for wanted in CONTROLLERS {
            if !controllers.split_ascii_whitespace().any(|found| found == wanted) {
                return Err(CgroupError::MissingController(wanted, top));
            }
        }
        let own = top.join("supervisor");
        fs::create_dir_all(&own).map_err(file_error(&own))?;
        // A cgroup with processes of its own cannot hand controllers down.
        write(&own.join("cgroup.procs"), "0")?;
        write(&top.join("cgroup.subtree_control"), &CONTROLLERS.map(|name| format!("+{name}")).join(" "))?;
        Ok(Self { top })
    }

    /// Makes a leaf with all limits set. On failure nothing is left.
    pub fn leaf(&self, name: &str, limits: &WorkerLimits) -> Result<Leaf, CgroupError> {
        let path = self.top.join(name);
        fs::create_dir(&path).map_err(file_error(&path))?;
        let made = Leaf::open(path.clone()).and_then(|leaf| leaf.set(limits).map(|()| leaf));
        // The first error is the one to report.
        made.inspect_err(|_| drop(fs::remove_dir(&path)))
    }
}

impl Leaf {
    fn open(path: PathBuf) -> Result<Self, CgroupError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory =
            nix::fcntl::open(&path, flags, Mode::empty()).map_err(|error| file_error(&path)(error.into()))?;
        Ok(Self { path, directory })
    }

    fn set(&self, limits: &WorkerLimits) -> Result<(), CgroupError> {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let memory = MemController::new(self.path.clone(), true);
        memory.set_limit(signed(limits.memory_max_bytes)).map_err(limit_error("memory.max"))?;
        let swap = self.path.join("memory.swap.max");
        if swap.exists() {
            memory.set_memswap_limit(0).map_err(limit_error("memory.swap.max"))?;
        }
        write(&self.path.join("memory.oom.group"), "1")?;
        // The init counts too.
        let processes = i64::from(limits.processes_max) + 1;
        PidController::new(self.path.clone(), true)
            .set_pid_max(MaxValue::Value(processes))
            .map_err(limit_error("pids.max"))?;
        let quota = u64::from(limits.cpu_percent) * CPU_PERIOD_US / 100;
        // cgroups-rs reads the file first and keeps half of it.
        write(&self.path.join("cpu.max"), &format!("{quota} {CPU_PERIOD_US}"))?;
        // One core is the kernel's default weight of 100.
        write(&self.path.join("cpu.weight"), &limits.cpu_percent.clamp(1, 10_000).to_string())
    }

    /// For `CLONE_INTO_CGROUP`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Kills every process in it, also those being forked.
    pub fn kill(&self) -> Result<(), CgroupError> {
        write(&self.path.join("cgroup.kill"), "1")
    }

    /// What its worker uses. A file that is not there counts as zero.
    pub fn usage(&self) -> LeafUsage {
        let text = |file: &str| fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let number = |file: &str| text(file).trim().parse::<u64>().unwrap_or(0);
        let memory_bytes = number("memory.current");
        LeafUsage {
            cpu_us: keyed(&text("cpu.stat"), "usage_usec"),
            memory_bytes,
            memory_peak_bytes: number("memory.peak").max(memory_bytes),
            processes: u32::try_from(number("pids.current")).unwrap_or(u32::MAX).saturating_sub(1),
            oom_kills: keyed(&text("memory.events"), "oom_kill"),
        }
    }

    /// Removes it; the leaf comes back where it is still busy.
    pub fn remove(self) -> Result<(), Self> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(self),
            // Gone already, or gone with the whole subtree.
            _ => Ok(()),
        }
    }
}

/// The v2 line of `/proc/self/cgroup`, without the leading slash.
fn own_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// A value of a file with one `key value` a line.
fn keyed(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0)
}

fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    fs::write(path, text).map_err(file_error(path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use alyx_protocol::control::WorkerLimits;

    use super::{CgroupError, Cgroups, LeafUsage, keyed, own_path};

    const LIMITS: WorkerLimits = WorkerLimits {
        memory_max_bytes: 1_000_000,
        processes_max: 8,
        files_max: 32,
        tmp_max_bytes: 1,
        cpu_percent: 50,
    };

    #[test]
    fn text_is_understood() {
        assert_eq!(own_path("3:pids:/x\n0::/a/b\n"), Some("a/b"));
        assert_eq!(own_path("3:pids:/x\n"), None);
        assert_eq!(keyed("oom 3\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(keyed("oom_kill_x 2\n", "oom_kill"), 0);
    }

    #[test]
    fn controllers_that_are_missing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "hugetlb cpu pids\n").unwrap();
        let found = Cgroups::take_over(dir.path().to_owned());
        assert!(matches!(found, Err(CgroupError::MissingController("memory", _))), "{found:?}");
    }

    #[test]
    fn a_leaf_gets_every_limit() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory pids io\n").unwrap();
        let cgroups = Cgroups::take_over(dir.path().to_owned()).unwrap();
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+cpu +memory +pids");
        assert_eq!(read("supervisor/cgroup.procs"), "0");
        let leaf = cgroups.leaf("w0-1", &LIMITS).unwrap();
        let check =
            |file: &str, expected: &str| assert_eq!(read(&format!("w0-1/{file}")), expected, "{file}");
        check("memory.max", "1000000");
        check("memory.oom.group", "1");
        check("pids.max", "9");
        check("cpu.max", "50000 100000");
        check("cpu.weight", "50");
        assert_eq!(leaf.usage(), LeafUsage::default());
        let put = |file: &str, text: &str| fs::write(dir.path().join("w0-1").join(file), text).unwrap();
        put("memory.events", "low 0\noom_kill 1\n");
        put("memory.peak", "77\n");
        put("cpu.stat", "usage_usec 5\n");
        put("pids.current", "3\n");
        let usage = leaf.usage();
        assert_eq!((usage.oom_kills, usage.memory_peak_bytes, usage.cpu_us, usage.processes), (1, 77, 5, 2));
        leaf.kill().unwrap();
        check("cgroup.kill", "1");
        assert!(cgroups.leaf("w0-1", &LIMITS).is_err(), "a name is used once");
    }

    #[test]
    fn a_failed_leaf_leaves_nothing() {
        let cgroups = Cgroups { top: Path::new("/proc/self/no-such").to_owned() };
        assert!(cgroups.leaf("w", &LIMITS).is_err());
    }
}
