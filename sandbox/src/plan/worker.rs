//! What one worker gets: mounts, limits, rights, arguments and environment.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use alyx_protocol::control::WorkerLimits;
use alyx_protocol::ids::RuntimeName;
use nix::sys::resource::Resource;

use super::policy::{Code, policy};
use super::staging::root_of;
use super::{IdPlan, SpawnerPlan};
use crate::config::RuntimeConfig;
use crate::sys::mount::Attributes;

/// Everything the confined child needs, worked out before the clone.
#[derive(Debug)]
pub struct WorkerPlan {
    /// Skeleton of its runtime in the spawner's tree.
    pub root: PathBuf,
    /// Name of its bundle below `/bundles`; none for a trial.
    pub bundle: Option<String>,
    /// Attributes of `/fn`.
    pub bundle_attributes: Attributes,
    /// Options of the tmpfs on `/tmp` and `/dev/shm`.
    pub tmpfs_options: String,
    /// Whether it starts the set-up as id 0 of its namespace.
    pub has_id_range: bool,
    /// Resource, and both its limits.
    pub rlimits: Vec<(Resource, u64)>,
    /// What it may do with which path.
    pub paths: PathRights,
    /// Name in its UTS namespace.
    pub hostname: String,
    /// Program.
    pub executable: CString,
    /// Program and arguments.
    pub arguments: Vec<CString>,
    /// Environment, built from nothing.
    pub environment: Vec<CString>,
}

/// Landlock rules by right, as paths inside the worker.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PathRights {
    /// List directories, of the whole root: its names are ours, its contents are not covered.
    pub list: Vec<PathBuf>,
    /// Read and execute.
    pub run: Vec<PathBuf>,
    /// Read.
    pub read: Vec<PathBuf>,
    /// Read, write, make and remove anything but device nodes.
    pub write: Vec<PathBuf>,
    /// Read and write an existing file.
    pub device: Vec<PathBuf>,
}

/// A runtime's environment, before its own additions.
const ENVIRONMENT: [(&str, &str); 5] =
    [("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/tmp"), ("TMPDIR", "/tmp")];

/// Inodes of one tmpfs per this many bytes, so that empty files cannot fill kernel memory.
const BYTES_PER_INODE: u64 = 4096;

impl WorkerPlan {
    /// Plans a worker of a configured runtime.
    pub fn new(
        plan: &SpawnerPlan,
        name: &RuntimeName,
        runtime: &RuntimeConfig,
        bundle: Option<String>,
        limits: &WorkerLimits,
    ) -> Self {
        let policy = policy(name);
        let base = Attributes::READ_ONLY_NOSUID.and(Attributes::NODEV);
        let inodes = (limits.tmp_max_bytes / BYTES_PER_INODE).clamp(16, 65_536);
        Self {
            root: Path::new("/").join(root_of(name)),
            bundle,
            bundle_attributes: match policy.bundle {
                Code::Executable => base,
                Code::Data => base.and(Attributes::NOEXEC),
            },
            tmpfs_options: format!("size={},nr_inodes={inodes},mode=1777", limits.tmp_max_bytes),
            has_id_range: matches!(plan.ids, IdPlan::Range { .. }),
            rlimits: rlimits(limits, policy.data_allowance_bytes),
            paths: path_rights(runtime, policy.bundle),
            hostname: "worker".to_owned(),
            executable: c_string(runtime.executable.as_os_str().as_encoded_bytes()),
            arguments: std::iter::once(runtime.executable.as_os_str().as_encoded_bytes())
                .chain(runtime.arguments.iter().map(String::as_bytes))
                .map(c_string)
                .collect(),
            environment: environment(runtime),
        }
    }
}

/// The configuration has no NUL in any of these, so nothing is ever cut.
fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).expect("cut before the first NUL")
}

fn environment(runtime: &RuntimeConfig) -> Vec<CString> {
    let fixed = ENVIRONMENT.iter().filter(|(name, _)| !runtime.environment.contains_key(*name)).copied();
    let own = runtime.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fixed.chain(own).map(|(name, value)| c_string(format!("{name}={value}").as_bytes())).collect()
}

/// Limits per process. Where a cgroup enforces memory and processes these only stand behind it.
fn rlimits(limits: &WorkerLimits, data_allowance_bytes: u64) -> Vec<(Resource, u64)> {
    const KIB: u64 = 1024;
    // A runaway allocation ends here should it outrun the sampler. Address space cannot be limited:
    // V8 and Go reserve far more than they use.
    let data = limits.memory_max_bytes.saturating_mul(3).saturating_add(data_allowance_bytes);
    vec![
        (Resource::RLIMIT_DATA, data),
        // The init counts too.
        (Resource::RLIMIT_NPROC, u64::from(limits.processes_max).saturating_add(1)),
        (Resource::RLIMIT_NOFILE, u64::from(limits.files_max)),
        (Resource::RLIMIT_FSIZE, limits.tmp_max_bytes),
        (Resource::RLIMIT_STACK, 8 * KIB * KIB),
        (Resource::RLIMIT_MEMLOCK, 64 * KIB),
        (Resource::RLIMIT_SIGPENDING, 1024),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ]
}

fn path_rights(runtime: &RuntimeConfig, bundle: Code) -> PathRights {
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut rights = PathRights {
        list: paths(&["/"]),
        run: runtime.binds.clone(),
        read: paths(&["/etc", "/alyx/shim", "/usr/share/zoneinfo", "/proc", "/dev/random", "/dev/urandom"]),
        write: paths(&["/tmp", "/dev/shm"]),
        device: paths(&["/dev/null", "/dev/full"]),
    };
    if !runtime.is_bundled() {
        rights.run.push(runtime.executable.clone());
        rights.run.extend(paths(&super::staging::LOADERS));
    }
    match bundle {
        Code::Executable => rights.run.push("/fn".into()),
        Code::Data => rights.read.push("/fn".into()),
    }
    rights
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alyx_protocol::control::WorkerLimits;
    use nix::sys::resource::Resource;

    use super::{environment, path_rights, rlimits};
    use crate::config::RuntimeConfig;
    use crate::plan::policy::Code;

    fn runtime() -> RuntimeConfig {
        RuntimeConfig {
            executable: "/usr/bin/python3".into(),
            arguments: Vec::new(),
            shim: None,
            binds: vec!["/usr/lib".into()],
            environment: BTreeMap::from([("TZ".to_owned(), "CET".to_owned())]),
        }
    }

    #[test]
    fn the_environment_has_each_name_once() {
        let names: Vec<_> =
            environment(&runtime()).into_iter().map(|entry| entry.into_string().unwrap()).collect();
        assert_eq!(names, ["PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", "TMPDIR=/tmp", "TZ=CET"]);
    }

    #[test]
    fn limits_become_rlimits() {
        let limits = WorkerLimits {
            memory_max_bytes: 10,
            processes_max: 4,
            files_max: 32,
            tmp_max_bytes: 99,
            cpu_percent: 100,
        };
        let found = rlimits(&limits, 5);
        let check = |resource: Resource, expected: u64| {
            assert!(found.contains(&(resource, expected)), "{resource:?} {found:?}");
        };
        check(Resource::RLIMIT_DATA, 35);
        check(Resource::RLIMIT_NPROC, 5);
        check(Resource::RLIMIT_NOFILE, 32);
        check(Resource::RLIMIT_FSIZE, 99);
        check(Resource::RLIMIT_CORE, 0);
    }

    #[test]
    fn code_is_run_only_where_it_is_the_program() {
        let code = std::path::PathBuf::from("/fn");
        let rights = path_rights(&runtime(), Code::Data);
        assert!(rights.read.contains(&code) && !rights.run.contains(&code));
        assert!(path_rights(&runtime(), Code::Executable).run.contains(&code));
    }
}
