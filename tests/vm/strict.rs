//! The sandbox with every layer: supervisor and daemon as units, cgroup v2 delegated by systemd.

use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use alyx_tests::tree;
use alyx_tests::vm::Vm;
use serde_json::{Value, json};

use crate::shared;

/// For one command in the guest.
const PATIENCE: Duration = Duration::from_secs(240);

static MACHINE: LazyLock<Mutex<Vm>> = LazyLock::new(|| shared::boot(boot));

fn machine() -> MutexGuard<'static, Vm> {
    shared::lock(&MACHINE)
}

fn boot() -> Vm {
    let root = tree::root();
    let mut vm = Vm::boot(
        "bookworm",
        &[
            (&tree::program("alyx"), "/usr/lib/alyx/bin/alyx"),
            (&tree::program("alyxd"), "/usr/lib/alyx/bin/alyxd"),
            (&tree::program("alyx-supervisor"), "/usr/lib/alyx/bin/alyx-supervisor"),
            (&root.join("runtimes"), "/usr/lib/alyx/runtimes"),
            (&root.join("tests/fixtures/abuse"), "/srv/probes"),
            (&root.join("tests/vm/setup.sh"), "/srv/setup.sh"),
        ],
    );
    let _ = vm
        .run("bash /srv/setup.sh || { journalctl -b --no-pager | tail -n 60; exit 1; }", PATIENCE)
        .expect_ok();
    vm
}

/// Calls a probe and returns the answer's body.
fn invoke(vm: &mut Vm, function: &str, input: &Value) -> Value {
    let call = format!(
        "curl -sS --max-time 200 -H 'content-type: application/json' -d '{input}' \
         http://127.0.0.1:8090/api/functions/{function}"
    );
    let text = vm.run(&call, PATIENCE).expect_ok();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// The cgroup that systemd delegated.
const DELEGATED: &str = "/sys/fs/cgroup/system.slice/alyx-supervisor.service";

#[test]
fn every_layer_is_there() {
    let mut vm = machine();
    let doctor = "/usr/lib/alyx/bin/alyx doctor --json --socket /srv/data/admin.sock";
    let report: Value = serde_json::from_str(&vm.run(doctor, PATIENCE).expect_ok()).unwrap();
    let layers = report["layers"].as_array().unwrap_or_else(|| panic!("{report}"));
    assert!(layers.len() >= 10, "{report}");
    for layer in layers {
        assert_eq!(layer["state"], "active", "{layer}");
    }
}

#[test]
fn a_strict_supervisor_does_not_start_without_delegation() {
    let mut vm = machine();
    let start = "systemd-run --quiet --wait --pipe --property=Type=notify --uid=alyx-sandbox --gid=alyx-sandbox \
                 --property='AmbientCapabilities=CAP_SETUID CAP_SETGID' \
                 /usr/lib/alyx/bin/alyx-supervisor --config /srv/other.json";
    let said = vm.run(start, PATIENCE);
    assert_ne!(said.status, 0, "{}", said.text);
    assert!(said.text.contains("cgroup_memory"), "{}", said.text);
    assert!(said.text.contains("Delegate"), "{}", said.text);
}

#[test]
fn root_hands_the_delegated_cgroup_to_the_user_it_becomes() {
    let mut vm = machine();
    let start = "systemd-run --quiet --unit=as-root --property='Delegate=cpu memory pids' --property=Type=notify \
                 /usr/lib/alyx/bin/alyx-supervisor --config /srv/as-root.json";
    let _ = vm.run(start, PATIENCE).expect_ok();
    let top = "/sys/fs/cgroup/system.slice/as-root.service";
    let owners =
        format!("cd {top} && stat -c %u . cgroup.procs cgroup.subtree_control supervisor | tr '\\n' ' '");
    assert_eq!(vm.run(&owners, PATIENCE).expect_ok(), "1879048192 1879048192 1879048192 0 ");
    let leaf = "setpriv --reuid 1879048192 --regid 1879048192 --clear-groups mkdir";
    let _ =
        vm.run(&format!("{leaf} {top}/w && rmdir {top}/w && systemctl stop as-root"), PATIENCE).expect_ok();
}

#[test]
fn a051_memory_is_limited_by_the_kernel() {
    let mut vm = machine();
    let kills = format!("cat {DELEGATED}/memory.events | sed -n 's/^oom_kill //p'");
    let count = |vm: &mut Vm| vm.run(&kills, PATIENCE).expect_ok().trim().parse::<u64>().unwrap();
    let before = count(&mut vm);
    let answer = invoke(&mut vm, "probe", &json!({ "probe": "a051", "how": "heap" }));
    assert_eq!(answer["code"], "function_out_of_memory", "{answer}");
    assert!(count(&mut vm) > before, "the kernel counted the kill");
    works(&mut vm);
}

#[test]
fn a_worker_has_a_cgroup_of_its_own_with_its_limits_and_leaves_none() {
    let mut vm = machine();
    works(&mut vm);
    let leaves = format!("ls -d {DELEGATED}/*/ | grep -v /supervisor/");
    let one = vm.run(&format!("{leaves} | head -n 1"), PATIENCE).expect_ok();
    let leaf = one.trim();
    let limits =
        vm.run(&format!("cd {leaf} && cat memory.max memory.swap.max pids.max memory.oom.group"), PATIENCE);
    assert_eq!(limits.expect_ok().lines().collect::<Vec<_>>(), ["134217728", "0", "65", "1"]);
    let _ = vm.run("systemctl restart alyxd", PATIENCE).expect_ok();
    vm.until("all leaves are gone", &format!("! {leaves}"), PATIENCE);
    works(&mut vm);
}

/// A probe without harm is answered.
fn works(vm: &mut Vm) {
    let answer = invoke(vm, "probe", &json!({ "probe": "a058" }));
    assert_eq!(answer["outcome"], "EMFILE", "{answer}");
}
