//! The supervisor's own configuration: the only place from which paths, arguments, environment and
//! ceilings come. It is owned by whoever starts the supervisor and never changed by the daemon.
//!
//! The file is JSON; unknown keys are errors. Every problem is found before anything is started.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use alyx_protocol::control::WorkerLimits;
use alyx_protocol::ids::RuntimeName;
use alyx_protocol::isolation::IsolationMode;
use serde::{Deserialize, Serialize};

use crate::limits::{CONFIG_MAX_BYTES, IDS_PER_SLOT, WORKERS_MAX};

/// Where the configuration is when no `--config` names another file.
pub const DEFAULT_PATH: &str = "/etc/alyx/supervisor.json";

/// What the operator decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to do about layers that this host lacks.
    #[serde(default)]
    pub isolation: IsolationMode,
    /// Path of the control socket, where systemd does not pass one.
    pub socket: PathBuf,
    /// The only user that may speak on it.
    pub daemon_uid: u32,
    /// Directory of sealed bundles, one per digest.
    pub bundles_dir: PathBuf,
    /// Private directory that serves as mount point.
    pub work_dir: PathBuf,
    /// Host ids for workers.
    #[serde(default)]
    pub id_block: Option<IdBlock>,
    /// Who to become when started as root.
    #[serde(default)]
    pub run_as: Option<RunAs>,
    /// Workers alive at once.
    pub max_workers: u16,
    /// No worker gets more than this.
    pub ceiling: WorkerLimits,
    /// Runtimes by name.
    pub runtimes: BTreeMap<RuntimeName, RuntimeConfig>,
}

/// Host ids that belong to nobody else: the first 65,536 are the supervisor's, then one range of
/// 65,536 per slot.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdBlock {
    /// First id of the block.
    pub first: u32,
    /// Worker slots it has room for.
    pub slots: u16,
}

/// User and group of the supervisor after it gave up root.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunAs {
    /// User id, not 0.
    pub uid: u32,
    /// Group id, not 0.
    pub gid: u32,
}

/// How one runtime is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Program, absolute; below `/fn` it comes from the bundle.
    pub executable: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Directory that workers see at `/alyx/shim`.
    #[serde(default)]
    pub shim: Option<PathBuf>,
    /// Files and directories that workers see read-only at the same path.
    #[serde(default)]
    pub binds: Vec<PathBuf>,
    /// Environment beside the fixed one.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("understand {path}")]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("accept {path}: {}", problems.join("; "))]
    Invalid { path: PathBuf, problems: Vec<String> },
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).map_err(read)?.take(CONFIG_MAX_BYTES).read_to_string(&mut text).map_err(read)?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid { path: path.to_owned(), problems })
        }
    }

    /// Everything that is wrong, each as `key: what`.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut want = |holds: bool, text: String| {
            if !holds {
                problems.push(text);
            }
        };
        for (key, path) in
            [("socket", &self.socket), ("bundles_dir", &self.bundles_dir), ("work_dir", &self.work_dir)]
        {
            want(is_plain_absolute(path), format!("{key}: must be an absolute path without `..`"));
        }
        want(
            (1..=WORKERS_MAX).contains(&self.max_workers),
            format!("max_workers: must be 1 to {WORKERS_MAX}"),
        );
        if let Some(block) = self.id_block {
            let end = u64::from(block.first) + (u64::from(block.slots) + 1) * u64::from(IDS_PER_SLOT);
            want(block.first >= IDS_PER_SLOT, format!("id_block.first: must be at least {IDS_PER_SLOT}"));
            want(end <= u64::from(u32::MAX), "id_block: ends above the largest id".to_owned());
            want(block.slots >= self.max_workers, "id_block.slots: fewer than max_workers".to_owned());
        }
        if let Some(run_as) = self.run_as {
            want(run_as.uid != 0 && run_as.gid != 0, "run_as: must not be root".to_owned());
        }
        let ceiling = &self.ceiling;
        want(
            ceiling.memory_max_bytes > 0
                && ceiling.processes_max > 0
                && ceiling.files_max > 0
                && ceiling.tmp_max_bytes > 0
                && (1..=10_000).contains(&ceiling.cpu_percent),
            "ceiling: every limit must be above zero, cpu_percent at most 10000".to_owned(),
        );
        for (name, runtime) in &self.runtimes {
            runtime.check(&mut |holds, text| want(holds, format!("runtimes.{name}.{text}")));
        }
        problems
    }
}

impl RuntimeConfig {
    /// Whether the program comes from the bundle and not from the host.
    pub fn is_bundled(&self) -> bool {
        self.executable.starts_with("/fn")
    }

    fn check(&self, want: &mut dyn FnMut(bool, String)) {
        want(is_plain_absolute(&self.executable), "executable: must be absolute without `..`".to_owned());
        for path in self.binds.iter().chain(&self.shim) {
            let reserved = ["/fn", "/tmp", "/proc", "/dev", "/sys", "/alyx", "/etc"];
            let top = path == Path::new("/");
            want(is_plain_absolute(path) && !top, format!("binds: {} is not plain", path.display()));
            want(
                self.shim.as_ref() == Some(path) || !reserved.iter().any(|prefix| path.starts_with(prefix)),
                format!("binds: {} would hide a directory of the sandbox", path.display()),
            );
        }
        for argument in &self.arguments {
            want(!argument.contains('\0'), "arguments: must not contain NUL".to_owned());
        }
        for (name, value) in &self.environment {
            let plain = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !value.contains('\0');
            want(plain && !name.starts_with("LD_"), format!("environment.{name}: not allowed"));
        }
    }
}

/// Absolute and made of ordinary names only.
fn is_plain_absolute(path: &Path) -> bool {
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !path.as_os_str().as_encoded_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::Config;

    fn problems(change: &str) -> Result<Vec<String>, String> {
        let text = r#"{"isolation":"available","socket":"/run/c.sock","daemon_uid":1,
            "bundles_dir":"/b","work_dir":"/w","id_block":{"first":1879048192,"slots":4},
            "run_as":{"uid":5,"gid":5},"max_workers":4,"ceiling":{"memory_max_bytes":1,
            "processes_max":1,"files_max":1,"tmp_max_bytes":1,"cpu_percent":100},"runtimes":{"python":
            {"executable":"/usr/bin/python3","binds":["/usr/lib"],"environment":{"A":"b"}}}}"#;
        let (from, to) = change.split_once(" => ").unwrap();
        assert!(text.contains(from), "{from}");
        let config: Config =
            serde_json::from_str(&text.replace(from, to)).map_err(|error| error.to_string())?;
        Ok(config.problems())
    }

    #[test]
    fn wrong_values_are_named() {
        let check = |change: &str, expected: &str| {
            let found = problems(change).unwrap().join("\n");
            assert!(
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
                "{change}: {found:?}"
            );
        };
        check("/run/c.sock => /run/c.sock", "");
        check("/run/c.sock => c.sock", "socket");
        check("/run/c.sock => /run/../c.sock", "socket");
        check("\"max_workers\":4 => \"max_workers\":0", "max_workers");
        check("\"max_workers\":4 => \"max_workers\":5", "id_block.slots");
        check("1879048192 => 4294900000", "id_block: ends");
        check("1879048192 => 65535", "id_block.first");
        check("\"uid\":5 => \"uid\":0", "run_as");
        check("\"processes_max\":1 => \"processes_max\":0", "ceiling");
        check("/usr/lib => /proc", "binds");
        check("/usr/lib => /", "binds");
        check("\"A\" => \"LD_PRELOAD\"", "environment.LD_PRELOAD");
        check("\"A\" => \"A=\"", "environment.A=");
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(problems("\"work_dir\" => \"workdir\"").unwrap_err().contains("workdir"));
    }
}
