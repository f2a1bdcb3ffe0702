//! What operators see of the function service.

use std::collections::BTreeSet;

use alyx_protocol::control::RuntimeEntry;
use alyx_protocol::isolation::{Layer, LayerReport, LayerState};
use serde::Serialize;

use super::Functions;
use super::ending::Audience;
use super::pool::PoolStatus;

/// The service as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionsStatus {
    /// Whether the supervisor is reachable. Without it only warm workers answer.
    pub supervisor_connected: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor_problem: Option<String>,
    /// Layers of the sandbox that are not active on this host.
    pub lowered: Vec<Layer>,
    /// Execution records that were dropped because the database did not keep up.
    pub dropped_records: u64,
    /// By name.
    pub functions: Vec<FunctionStatus>,
}

/// One function.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionStatus {
    /// Its name.
    pub name: String,
    /// Its language.
    pub runtime: &'static str,
    /// Digest of the bundle in use, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it has no version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<alyx_protocol::api::Problem>,
    /// Workers and waiting invocations.
    #[serde(flatten)]
    pub pool: PoolStatus,
    /// Limits as declared or by default.
    pub limits: Limits,
}

/// Limits of a function, in the units of the wire.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    timeout_ms: u128,
    memory_bytes: u64,
    cpu_percent: u32,
    cpu_time_ms: u128,
    processes: u32,
    files: u32,
    tmp_bytes: u64,
    output_bytes: u64,
    logs_bytes: u64,
    concurrency: u32,
    instances_max: u32,
}

impl Functions {
    /// Whether the supervisor is reachable.
    pub fn is_connected(&self) -> bool {
        self.0.supervisor.state().connected
    }

    /// The service now.
    pub fn status(&self) -> FunctionsStatus {
        let state = self.0.supervisor.state();
        let lowered = |report: &&LayerReport| report.state != LayerState::Active;
        FunctionsStatus {
            supervisor_connected: state.connected,
            supervisor_problem: state.problem.clone(),
            lowered: state.layers.iter().filter(lowered).map(|report| report.layer).collect(),
            dropped_records: self.0.recorder.dropped(),
            functions: self.functions(),
        }
    }

    /// Runtimes of declared functions that the supervisor does not have. Empty while it is not connected.
    pub fn missing_runtimes(&self) -> BTreeSet<&'static str> {
        let (state, sources) = (self.0.supervisor.state(), self.0.sources.load());
        let is_there = |name: &str| {
            state.runtimes.iter().any(|entry| entry.name.as_str() == name && entry.problem.is_none())
        };
        let wanted = sources.values().map(|source| source.config.runtime.as_str());
        wanted.filter(|name| state.connected && !is_there(name)).collect()
    }

    /// The isolation report of the supervisor's last connection; empty before the first.
    pub fn isolation(&self) -> (Vec<LayerReport>, Vec<RuntimeEntry>) {
        let state = self.0.supervisor.state();
        (state.layers.clone(), state.runtimes.clone())
    }

    fn functions(&self) -> Vec<FunctionStatus> {
        let sources = self.0.sources.load();
        let status = |(name, source): (&String, &std::sync::Arc<super::Source>)| {
            let (config, pool) = (&source.config, source.existing());
            let limits = &config.limits;
            FunctionStatus {
                name: name.clone(),
                runtime: config.runtime.as_str(),
                version: pool.as_ref().map(|pool| pool.bundle().to_string()),
                problem: source.problem().map(|ending| ending.problem(config, Audience::Author)),
                pool: pool.map(|pool| pool.status()).unwrap_or_default(),
                limits: Limits {
                    timeout_ms: config.timeout.as_millis(),
                    memory_bytes: limits.memory_bytes,
                    cpu_percent: limits.cpu_percent,
                    cpu_time_ms: limits.cpu_time.as_millis(),
                    processes: limits.processes,
                    files: limits.files,
                    tmp_bytes: limits.tmp_bytes,
                    output_bytes: limits.output_bytes,
                    logs_bytes: limits.logs_bytes,
                    concurrency: config.concurrency.0,
                    instances_max: config.instances.max,
                },
            }
        };
        sources.iter().map(status).collect()
    }
}
