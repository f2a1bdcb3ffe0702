//! The layers of the sandbox by name, and what became of each on this host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One layer of a worker's confinement, in the order in which they are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A user namespace of the worker's own, nested in the spawner's.
    UserNamespace,
    /// A range of host ids per worker, none of them an account's.
    IdRange,
    /// PID namespace with an init of our own.
    PidNamespace,
    /// Mount namespace, new root, `pivot_root`.
    MountNamespace,
    /// Network namespace without any interface that is up.
    NetworkNamespace,
    /// IPC namespace.
    IpcNamespace,
    /// UTS namespace.
    UtsNamespace,
    /// Cgroup namespace.
    CgroupNamespace,
    /// Memory limit enforced by cgroup v2.
    CgroupMemory,
    /// Process limit enforced by cgroup v2.
    CgroupPids,
    /// Processor share enforced by cgroup v2.
    CgroupCpu,
    /// Capability sets empty, `no_new_privs`, securebits locked.
    Capabilities,
    /// Landlock rule set.
    Landlock,
    /// Seccomp allow list.
    Seccomp,
}

/// The name as it stands in reports: `cgroup_memory`.
impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// What became of a layer on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// In force.
    Active,
    /// Not available here; the nearest means is used instead, as `detail` says.
    Replaced,
    /// Not available here and nothing stands in for it.
    Missing,
}

/// The word as it stands in reports.
impl fmt::Display for LayerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// One line of `alyx doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerReport {
    /// Which layer.
    pub layer: Layer,
    /// What became of it.
    pub state: LayerState,
    /// What is in force, or why it is not, in one sentence without a full stop.
    pub detail: String,
    /// What the operator can do about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How strict the supervisor is about layers that the host lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationMode {
    /// Every layer is there or the supervisor does not start.
    #[default]
    Strict,
    /// Missing layers are named and replaced by the nearest means. For `alyx dev` only.
    Available,
}
