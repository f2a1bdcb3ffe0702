//! Decides, from the configuration alone, what the spawner's tree holds and what each worker gets.
//!
//! Nothing here acts: [`SpawnerPlan`] and [`WorkerPlan`] are values that `staging` and `worker` carry
//! out. What differs between runtimes stands in [`policy`].

pub mod policy;
pub mod staging;
pub mod worker;

use std::collections::BTreeMap;

use alyx_protocol::ids::RuntimeName;
use serde::{Deserialize, Serialize};

use crate::config::{Config, IdBlock, RuntimeConfig};
use crate::limits::IDS_PER_SLOT;

pub use staging::Entry;
pub use worker::WorkerPlan;

/// Everything the spawner needs to know, sent to it once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpawnerPlan {
    /// Where the tree is built; `None` where the supervisor has built it as root and the spawner's
    /// working directory is its top.
    pub work_dir: Option<String>,
    /// What the tree holds.
    pub entries: Vec<Entry>,
    /// How workers' ids map.
    pub ids: IdPlan,
    /// Runtimes that can be spawned.
    pub runtimes: BTreeMap<RuntimeName, RuntimeConfig>,
}

/// How ids of a worker map onto the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdPlan {
    /// Each slot has its own 65,536 host ids.
    Range {
        /// First host id of slot 0.
        first: u32,
        /// How many slots.
        slots: u16,
    },
    /// Only the caller's own id is there to map.
    Own,
}

impl IdPlan {
    /// The plan for a block, where the supervisor may map it.
    pub fn new(block: Option<IdBlock>) -> Self {
        match block {
            Some(IdBlock { first, slots }) => Self::Range { first: first + IDS_PER_SLOT, slots },
            None => Self::Own,
        }
    }

    /// Lines of the spawner's `uid_map` or `gid_map`, given the supervisor's own id.
    pub fn spawner_map(self, own_id: u32) -> String {
        match self {
            Self::Range { first, slots } => {
                format!("0 {own_id} 1\n{IDS_PER_SLOT} {first} {}\n", u32::from(slots) * IDS_PER_SLOT)
            }
            Self::Own => format!("0 {own_id} 1\n"),
        }
    }

    /// Line of a worker's `uid_map` and `gid_map`, in ids of the spawner's namespace.
    pub fn worker_map(self, slot: u16) -> String {
        match self {
            Self::Range { .. } => {
                format!("0 {} {IDS_PER_SLOT}\n", (u32::from(slot) + 1) * IDS_PER_SLOT)
            }
            Self::Own => format!("{} 0 1\n", crate::limits::WORKER_ID),
        }
    }
}

impl SpawnerPlan {
    /// Plans for every runtime of a configuration that has no problem.
    pub fn new(config: &Config, ids: IdPlan, usable: &[RuntimeName], host: &dyn staging::HostView) -> Self {
        let runtimes: BTreeMap<_, _> = config
            .runtimes
            .iter()
            .filter(|(name, _)| usable.contains(name))
            .map(|(name, runtime)| (name.clone(), runtime.clone()))
            .collect();
        let entries = staging::entries(&config.bundles_dir, &runtimes, host);
        Self { work_dir: Some(config.work_dir.display().to_string()), entries, ids, runtimes }
    }
}

#[cfg(test)]
mod tests {
    use super::IdPlan;
    use crate::config::IdBlock;

    #[test]
    fn no_map_ever_reaches_host_id_zero_or_another_slot() {
        let plan = IdPlan::new(Some(IdBlock { first: 0x7000_0000, slots: 2 }));
        assert_eq!(plan.spawner_map(0x7000_0000), "0 1879048192 1\n65536 1879113728 131072\n");
        assert_eq!(plan.worker_map(0), "0 65536 65536\n");
        assert_eq!(plan.worker_map(1), "0 131072 65536\n");
        assert_eq!(IdPlan::Own.spawner_map(7), "0 7 1\n");
        assert_eq!(IdPlan::Own.worker_map(1), "1000 0 1\n");
    }
}
