//! What the function service takes from the configuration, and where the runtimes' files are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source::Freshness;
use crate::config::{Config, Mode};
use crate::metrics::Metrics;
use crate::serve::Watch;

/// Names the directory of the runtimes' files where the configuration does not.
const RUNTIMES_VARIABLE: &str = "ALYX_RUNTIMES_DIR";

/// Where things are and how much there may be.
#[derive(Clone, Debug)]
pub struct FunctionsOptions {
    /// The project; functions are below its `functions/`.
    pub project_dir: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Control socket of the supervisor.
    pub supervisor_socket: PathBuf,
    /// The runtimes' own files; Go functions need its `go`.
    pub runtimes_dir: PathBuf,
    /// In development callers see why code does not load.
    pub mode: Mode,
    /// Whether edits are looked for before every invocation.
    pub freshness: Freshness,
    /// Workers of all functions together.
    pub max_workers: u32,
    /// Invocations of one function that may wait.
    pub queue: u32,
    /// How long a transaction of a function may last.
    pub transaction_timeout: Duration,
    /// Where invocations are counted.
    pub metrics: Metrics,
}

impl FunctionsOptions {
    /// From the configuration.
    pub fn new(config: &Config, mode: Mode, watch: Watch, metrics: Metrics) -> Self {
        Self {
            project_dir: config.server.project.clone(),
            data_dir: config.server.data.clone(),
            supervisor_socket: config.sandbox.supervisor_socket.clone(),
            runtimes_dir: config.functions.runtimes.clone().unwrap_or_else(find_runtimes),
            mode,
            freshness: match watch {
                Watch::Project => Freshness::EveryCall,
                Watch::Nothing => Freshness::Sealed,
            },
            max_workers: config.functions.max_workers,
            queue: config.functions.queue,
            transaction_timeout: config.functions.transaction_timeout,
            metrics,
        }
    }
}

/// The variable, else beside the installed program, else in the source tree that the program was
/// built in.
fn find_runtimes() -> PathBuf {
    if let Some(directory) = std::env::var_os(RUNTIMES_VARIABLE) {
        return directory.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let installed = program.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/alyx/runtimes"));
    let built = program.ancestors().map(|ancestor| ancestor.join("runtimes"));
    let mut candidates = installed.into_iter().chain(built);
    candidates
        .find(|directory| directory.join("node/main.js").is_file())
        .unwrap_or_else(|| PathBuf::from("/usr/lib/alyx/runtimes"))
}
