//! What became of each layer on this host, for the daemon, the log and `probe`.
//!
//! Facts come from the start-up: how ids map, whether cgroups could be taken over, the Landlock ABI, and
//! real trial workers that went through every step. Nothing here lowers a layer; it only says so.

use alyx_protocol::isolation::{Layer, LayerReport, LayerState};

use crate::plan::IdPlan;

/// What start-up found out.
#[derive(Debug)]
pub struct Facts {
    /// How ids map.
    pub ids: IdPlan,
    /// Why there are no cgroups, if there are none.
    pub cgroups: Result<(), String>,
    /// ABI of Landlock, zero for none.
    pub landlock_abi: i32,
    /// Why no worker can be made at all, where that is so.
    pub trial: Result<(), String>,
}

/// Landlock ABI from which it also knows TCP and scopes; before, the namespaces alone hold those.
const LANDLOCK_ABI_FULL: i32 = 6;

/// One report per layer, in set-up order.
pub fn report(facts: &Facts) -> Vec<LayerReport> {
    let mut reports = Vec::new();
    for layer in NAMESPACES {
        reports.push(match &facts.trial {
            Ok(()) => line(layer, LayerState::Active, "each worker has its own", None),
            Err(problem) => line(
                layer,
                LayerState::Missing,
                &format!("no worker could be made: {problem}"),
                Some("see user.max_user_namespaces, kernel.unprivileged_userns_clone and AppArmor"),
            ),
        });
    }
    reports.insert(1, ids(facts.ids));
    reports.extend(cgroups(&facts.cgroups));
    let trial = |layer, detail: &str| match &facts.trial {
        Ok(()) => line(layer, LayerState::Active, detail, None),
        Err(problem) => {
            line(layer, LayerState::Missing, &format!("no worker could be made: {problem}"), None)
        }
    };
    reports.push(trial(Layer::Capabilities, "all sets empty, no_new_privs, securebits locked"));
    reports.push(landlock(facts.landlock_abi));
    reports.push(trial(Layer::Seccomp, "an allow list per runtime"));
    reports
}

/// The layers that need nothing but a working clone, in order; the id range comes after the first.
const NAMESPACES: [Layer; 7] = [
    Layer::UserNamespace,
    Layer::PidNamespace,
    Layer::MountNamespace,
    Layer::NetworkNamespace,
    Layer::IpcNamespace,
    Layer::UtsNamespace,
    Layer::CgroupNamespace,
];

fn line(layer: Layer, state: LayerState, detail: &str, hint: Option<&str>) -> LayerReport {
    LayerReport { layer, state, detail: detail.to_owned(), hint: hint.map(str::to_owned) }
}

fn ids(ids: IdPlan) -> LayerReport {
    match ids {
        IdPlan::Range { first, .. } => line(
            Layer::IdRange,
            LayerState::Active,
            &format!("65536 host ids per worker, from {first} on"),
            None,
        ),
        IdPlan::Own => line(
            Layer::IdRange,
            LayerState::Replaced,
            "every worker has the supervisor's own host id",
            Some("start the supervisor as root or with CAP_SETUID and CAP_SETGID, and set id_block"),
        ),
    }
}

fn cgroups(found: &Result<(), String>) -> [LayerReport; 3] {
    let hint =
        Some("start the supervisor in a delegated cgroup v2 (Delegate=cpu memory pids) on a unified host");
    let [memory, pids, cpu] = [Layer::CgroupMemory, Layer::CgroupPids, Layer::CgroupCpu];
    match found {
        Ok(()) => [memory, pids, cpu]
            .map(|layer| line(layer, LayerState::Active, "enforced by the kernel per worker", None)),
        Err(problem) => [
            line(
                memory,
                LayerState::Replaced,
                &format!("{problem}; RLIMIT_DATA per process and sampling every 50 ms instead"),
                hint,
            ),
            line(pids, LayerState::Replaced, &format!("{problem}; RLIMIT_NPROC per worker instead"), hint),
            line(cpu, LayerState::Missing, &format!("{problem}; workers compete as equals"), hint),
        ],
    }
}

fn landlock(abi: i32) -> LayerReport {
    let (state, detail) = match abi {
        0 => (LayerState::Missing, "the kernel has no Landlock".to_owned()),
        abi if abi < LANDLOCK_ABI_FULL => {
            (LayerState::Active, format!("ABI {abi}: files; the rest of it needs Linux 6.12"))
        }
        abi => (LayerState::Active, format!("ABI {abi}: files, TCP, abstract sockets, signals")),
    };
    let hint = (state != LayerState::Active).then_some("use a kernel of at least 5.13 with landlock in lsm=");
    line(Layer::Landlock, state, &detail, hint)
}

/// Layers that are not active, of a report.
pub fn lowered(reports: &[LayerReport]) -> Vec<Layer> {
    reports.iter().filter(|report| report.state != LayerState::Active).map(|report| report.layer).collect()
}

#[cfg(test)]
mod tests {
    use alyx_protocol::isolation::{Layer, LayerState};

    use super::{Facts, lowered, report};
    use crate::plan::IdPlan;

    fn facts() -> Facts {
        Facts { ids: IdPlan::Range { first: 1, slots: 1 }, cgroups: Ok(()), landlock_abi: 7, trial: Ok(()) }
    }

    #[test]
    fn every_layer_is_reported_once_in_order() {
        let layers: Vec<Layer> = report(&facts()).iter().map(|report| report.layer).collect();
        let mut sorted = layers.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(layers, sorted);
        assert_eq!(layers.len(), 14);
    }

    #[test]
    fn what_lacks_is_named() {
        let check = |facts: Facts, expected: &[Layer]| assert_eq!(lowered(&report(&facts)), expected);
        check(facts(), &[]);
        check(Facts { ids: IdPlan::Own, ..facts() }, &[Layer::IdRange]);
        check(Facts { landlock_abi: 0, ..facts() }, &[Layer::Landlock]);
        check(Facts { landlock_abi: 5, ..facts() }, &[]);
        check(
            Facts { cgroups: Err("x".into()), ..facts() },
            &[Layer::CgroupMemory, Layer::CgroupPids, Layer::CgroupCpu],
        );
        assert_eq!(lowered(&report(&Facts { trial: Err("x".into()), ..facts() })).len(), 9);
    }

    #[test]
    fn whoever_lacks_something_gets_a_hint() {
        let all = Facts { ids: IdPlan::Own, cgroups: Err("x".into()), landlock_abi: 0, trial: Ok(()) };
        for report in report(&all) {
            assert_eq!(report.hint.is_none(), report.state == LayerState::Active, "{report:?}");
        }
    }
}
