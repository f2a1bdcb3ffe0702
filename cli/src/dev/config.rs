//! Writes the supervisor's configuration for a project on this host.
//!
//! The supervisor trusts this file and nothing that the daemon says, so every path in it is
//! absolute and resolved here. A runtime that is missing is left out and named; its functions
//! answer that the runtime is unavailable, everything else works.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use alyx_protocol::control::WorkerLimits;
use alyx_protocol::isolation::IsolationMode;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::exit::Failure;
use crate::host::{self, Language};

/// First host id of the block that workers run under as root: above every account and
/// /etc/subuid range that distributions hand out, below 2³¹.
const ID_BLOCK_FIRST: u32 = 0x7000_0000;

/// Slots of the block, each 65,536 ids; also the most workers at once.
const SLOTS: u32 = 64;

/// A runtime that cannot be offered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub name: &'static str,
    pub why: String,
    pub hint: String,
}

#[derive(Serialize)]
pub struct SupervisorConfig {
    isolation: IsolationMode,
    socket: PathBuf,
    daemon_uid: u32,
    bundles_dir: PathBuf,
    work_dir: PathBuf,
    id_block: Option<IdBlock>,
    run_as: Option<RunAs>,
    max_workers: u32,
    ceiling: WorkerLimits,
    runtimes: BTreeMap<&'static str, Runtime>,
}

#[derive(Serialize)]
struct IdBlock {
    first: u32,
    slots: u32,
}

#[derive(Serialize)]
struct RunAs {
    uid: u32,
    gid: u32,
}

/// One runtime in the supervisor's configuration.
#[derive(Serialize)]
pub struct Runtime {
    executable: PathBuf,
    arguments: Vec<String>,
    shim: Option<PathBuf>,
    binds: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

/// What a shim ships about itself, beside its code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShimFile {
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// Folders that the configuration names.
pub struct Folders {
    pub socket: PathBuf,
    pub bundles_dir: PathBuf,
    pub work_dir: PathBuf,
}

/// Writes `run/supervisor.json` and returns the runtimes that are missing.
pub fn write(layout: &Layout, runtimes_dir: &Path) -> Result<Vec<Missing>, Failure> {
    let folders = Folders {
        socket: layout.control_socket(),
        bundles_dir: layout.data.join("bundles"),
        work_dir: layout.run_file("root"),
    };
    let (config, missing) = build(folders, runtimes_dir)?;
    layout.write_private("supervisor.json", &config)?;
    Ok(missing)
}

/// The configuration that `alyx dev` uses on this host.
pub fn build(folders: Folders, runtimes_dir: &Path) -> Result<(SupervisorConfig, Vec<Missing>), Failure> {
    let (runtimes, missing) = runtimes(runtimes_dir)?;
    let root = geteuid().is_root();
    let config = SupervisorConfig {
        isolation: IsolationMode::Available,
        socket: folders.socket,
        daemon_uid: geteuid().as_raw(),
        bundles_dir: folders.bundles_dir,
        work_dir: folders.work_dir,
        id_block: root.then_some(IdBlock { first: ID_BLOCK_FIRST, slots: SLOTS }),
        run_as: root.then_some(RunAs { uid: ID_BLOCK_FIRST, gid: ID_BLOCK_FIRST }),
        max_workers: SLOTS,
        ceiling: ceiling(),
        runtimes,
    };
    Ok((config, missing))
}

/// What the interpreters of this host are to the supervisor, and those that are missing.
pub fn runtimes(folder: &Path) -> Result<(BTreeMap<&'static str, Runtime>, Vec<Missing>), Failure> {
    let (mut runtimes, mut missing) = (BTreeMap::new(), Vec::new());
    for language in Language::ALL {
        match host::find(language) {
            Ok(found) => {
                runtimes.insert(language.name(), runtime(language, found, folder)?);
            }
            Err(why) => missing.push(Missing { name: language.name(), why, hint: language.hint() }),
        }
    }
    Ok((runtimes, missing))
}

fn runtime(language: Language, found: host::Found, runtimes_dir: &Path) -> Result<Runtime, Failure> {
    let folder = runtimes_dir.join(language.name());
    let shim = shim_file(&folder.join("runtime.json"))?;
    Ok(match language {
        // A Go function is a static binary at the root of its bundle.
        Language::Go => Runtime {
            executable: PathBuf::from("/fn/worker"),
            arguments: shim.arguments,
            shim: None,
            binds: Vec::new(),
            environment: shim.environment,
        },
        Language::Node | Language::Python => Runtime {
            executable: found.executable,
            arguments: shim.arguments,
            shim: Some(folder),
            binds: found.folders,
            environment: shim.environment,
        },
    })
}

fn shim_file(path: &Path) -> Result<ShimFile, Failure> {
    let text = fs::read(path)
        .map_err(|error| Failure::new(format!("failed to read {}: {error}", path.display())))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::new(format!("{} is not a runtime description: {error}", path.display())))
}

/// Above what any function on a developer's machine asks for, so that the schema decides.
fn ceiling() -> WorkerLimits {
    WorkerLimits {
        memory_max_bytes: 16 << 30,
        processes_max: 4_096,
        files_max: 65_536,
        tmp_max_bytes: 4 << 30,
        cpu_percent: 10_000,
    }
}
