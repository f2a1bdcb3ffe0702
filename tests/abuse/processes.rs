//! Processes, namespaces and privileges: numbers 25 to 49.

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{
    PATIENCE, REFUSED, call, code_of, contained, contained_by, control, fails_then_recovers, inside, own_pid,
    processes_named, server, works_again,
};

#[tokio::test]
async fn a025_nothing_can_be_traced() {
    contained(
        "a025",
        json!({ "host_pid": own_pid() }),
        &["attach_host", "traceme"],
        &["EPERM", "ESRCH", "ENOSYS"],
        &["traceme"],
    )
    .await;
}

#[tokio::test]
async fn a026_memory_and_descriptors_of_others_are_out_of_reach() {
    let acts = ["process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"];
    contained("a026", json!({}), &acts, REFUSED, &acts).await;
}

#[tokio::test]
async fn a027_host_processes_cannot_be_signalled() {
    contained("a027", json!({ "host_pid": own_pid() }), &["host"], &["ESRCH", "EPERM"], &["host"]).await;
}

#[tokio::test]
async fn a028_no_namespace_can_be_made() {
    let kinds = ["user", "mount", "pid", "net", "ipc", "uts", "cgroup"].map(|kind| format!("unshare_{kind}"));
    let mut acts: Vec<&str> = kinds.iter().map(String::as_str).collect();
    acts.push("clone_user");
    let server = server().await;
    contained_by(&server, "a028", json!({}), &acts, &["EPERM"], &acts).await;
    // ENOSYS, not EPERM: libc falls back to clone only then.
    contained_by(&server, "a028", json!({}), &["clone3_user"], &["ENOSYS"], &["clone3_user"]).await;
    assert_eq!(inside(&server, "probe-go", "a028", &json!({})).await["unshare"], "errno 1");
    server.stop().await;
}

#[tokio::test]
async fn a029_no_namespace_can_be_joined() {
    contained("a029", json!({}), &["uts", "net", "ipc"], REFUSED, &["uts", "net", "ipc"]).await;
}

#[tokio::test]
async fn a030_no_privilege_is_held_or_gained() {
    let refused = ["EPERM", "EINVAL", "ENOSYS"];
    let server = server().await;
    let acts = ["setuid_0", "setgid_0", "setgroups", "capset"];
    contained_by(&server, "a030", json!({}), &acts, &refused, &acts[..3]).await;
    let seen = inside(&server, "probe", "a030", &json!({})).await;
    for held in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"] {
        assert_eq!(seen[held], true, "{held}");
    }
    assert_ne!(seen["uid"], 0);
    assert_eq!(control("a030", &json!({}))["CapEff"], false);
    server.stop().await;
}

#[tokio::test]
async fn a031_the_root_cannot_be_changed() {
    contained("a031", json!({}), &["chroot", "pivot_root"], REFUSED, &["chroot", "pivot_root"]).await;
}

#[tokio::test]
async fn a032_execution_domain_and_descriptor_tables_are_fixed() {
    let acts = ["read_implies_exec", "no_randomize", "modify_ldt"];
    contained("a032", json!({}), &acts, REFUSED, &acts).await;
}

#[tokio::test]
async fn a033_foreign_system_call_tables_kill() {
    let server = server().await;
    let seen = inside(&server, "probe", "a033", &json!({})).await;
    assert_eq!(seen, json!({ "int80": "killed:SIGSYS", "x32": "killed" }));
    assert_eq!(control("a033", &json!({})), json!({ "int80": "ok", "x32": "answered" }));
    server.stop().await;
}

#[tokio::test]
async fn a035_io_uring_is_refused() {
    contained("a035", json!({}), &["io_uring_setup"], REFUSED, &["io_uring_setup"]).await;
}

#[tokio::test]
async fn a036_rare_kernel_surface_is_refused() {
    let acts = [
        "userfaultfd",
        "bpf",
        "perf_event_open",
        "add_key",
        "keyctl",
        "request_key",
        "syslog",
        "quotactl",
        "move_pages",
        "mbind",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "reboot",
        "swapon",
        "acct",
        "iopl",
        "ioperm",
        "vhangup",
        "settimeofday",
    ];
    let works = ["userfaultfd", "perf_event_open", "add_key", "keyctl", "syslog", "move_pages", "mbind"];
    contained("a036", json!({}), &acts, &["EPERM", "ENOSYS", "killed:SIGSYS"], &works).await;
}

#[tokio::test]
async fn a037_no_seccomp_listener_can_be_installed() {
    contained("a037", json!({}), &["listener"], REFUSED, &["listener"]).await;
}

#[tokio::test]
async fn a038_priority_cannot_be_raised() {
    contained("a038", json!({}), &["fifo", "nice", "ioprio_rt"], REFUSED, &["fifo", "nice", "ioprio_rt"])
        .await;
}

#[tokio::test]
async fn a039_limits_cannot_be_raised() {
    let acts = ["RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_MEMLOCK"];
    let server = server().await;
    contained_by(&server, "a039", json!({}), &acts, REFUSED, &[]).await;
    let seen = inside(&server, "probe", "a039", &json!({})).await;
    for limit in acts {
        assert_eq!(seen[format!("{limit}_bounded")], true, "{limit}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a040_a_daemonised_process_ends_with_its_worker() {
    let server = server().await;
    let name = format!("left{}", own_pid() % 100_000);
    inside(&server, "probe", "a040", &json!({ "name": name })).await;
    wait_until("the process left behind shows on the host", PATIENCE, || processes_named(&name) == 1).await;
    assert!(call(&server, "probe", "a044", &json!({ "how": "exit1" })).await.status.as_u16() >= 500);
    wait_until("the process left behind is gone", PATIENCE, || processes_named(&name) == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a041_ignoring_every_signal_does_not_help() {
    let server = server().await;
    fails_then_recovers(&server, "probe", "a041", json!({}), &["function_timeout"]).await;
    server.stop().await;
}

#[tokio::test]
async fn a042_a_fork_bomb_meets_the_process_limit() {
    // Without a cgroup, pages shared after a fork count once per process: memory must not come first.
    let project = Project::fixture("abuse");
    let schema = std::fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
    project
        .write("schema.yaml", &schema.replace("memory: 128mb, processes: 64", "memory: 1gb, processes: 64"));
    let server = TestServer::start(project).await;
    let seen = inside(&server, "probe", "a042", &json!({})).await;
    assert_eq!(seen["outcome"], "EAGAIN", "{seen}");
    assert!(seen["children"].as_u64().unwrap() <= 64, "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a043_orphans_are_reaped() {
    let server = server().await;
    let seen = inside(&server, "probe", "a043", &json!({})).await;
    assert_eq!(seen["orphans"], 300);
    assert!(seen["pids_left"].as_u64().unwrap() <= 4, "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a044_every_way_to_end_has_its_own_cause() {
    let server = server().await;
    let check = async |function: &str, how: &str, code: &str| {
        let answer = call(&server, function, "a044", &json!({ "how": how })).await;
        assert_eq!(code_of(&answer), code, "{function} {how}: {}", answer.text());
    };
    check("probe", "exit0", "function_exited").await;
    check("probe", "exit1", "function_exited").await;
    check("probe", "exit139", "function_exited").await;
    check("probe", "segv", "function_crashed").await;
    check("probe", "abort", "function_crashed").await;
    check("probe", "kill", "function_crashed").await;
    check("probe-node", "exit", "function_exited").await;
    check("probe-node", "abort", "function_crashed").await;
    // The shim knows whose they are.
    check("probe-node", "uncaught", "function_error").await;
    check("probe-node", "rejection", "function_error").await;
    check("probe-go", "exit", "function_exited").await;
    check("probe-go", "panic", "function_exited").await;
    check("probe-go", "handler", "function_error").await;
    for function in ["probe", "probe-node"] {
        works_again(&server, function).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a045_a_crash_storm_at_load_stays_bounded() {
    let project =
        Project::fixture("abuse").with("functions/probe/main.py", "raise RuntimeError('at import')\n");
    let server = TestServer::start(project).await;
    for _ in 0..30 {
        let answer = call(&server, "probe", "a001", &json!({})).await;
        assert_eq!(code_of(&answer), "function_load_failed", "{}", answer.text());
    }
    server.anon().get_path("/health").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a046_workers_end_with_a_killed_supervisor() {
    let server = server().await;
    let name = format!("orph{}", own_pid() % 100_000);
    inside(&server, "probe", "a040", &json!({ "name": name })).await;
    wait_until("the worker's process shows on the host", PATIENCE, || processes_named(&name) == 1).await;
    kill(Pid::from_raw(server.supervisor().pid), Signal::SIGKILL).unwrap();
    wait_until("the worker's process is gone", PATIENCE, || processes_named(&name) == 0).await;
    let nothing = json!({ "paths": [] });
    wait_for("functions to work again", PATIENCE, async || {
        let answer = call(&server, "probe", "a001", &nothing).await;
        (answer.status.as_u16() == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a047_cores_are_not_dumped() {
    let server = server().await;
    assert_eq!(inside(&server, "probe", "a047", &json!({})).await["core"], true);
    assert_eq!(control("a047", &json!({}))["core"], false);
    server.stop().await;
}

#[tokio::test]
async fn a048_clock_and_hostname_are_fixed_and_the_hosts_name_is_hidden() {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let server = server().await;
    let arguments = json!({ "hostname": hostname });
    contained_by(
        &server,
        "a048",
        arguments.clone(),
        &["sethostname", "clock_settime"],
        REFUSED,
        &["sethostname"],
    )
    .await;
    assert_eq!(inside(&server, "probe", "a048", &arguments).await["hostname_is_host"], false);
    server.stop().await;
}

#[tokio::test]
async fn a049_no_terminal_can_be_typed_into() {
    let refused = ["EPERM", "EACCES", "ENOENT", "ENOTTY", "ENXIO", "ENOSYS"];
    contained("a049", json!({}), &["dev_tty", "tiocsti", "tiocsti_high", "tioclinux"], &refused, &[]).await;
}

#[tokio::test]
async fn a034_the_vsyscall_page_tells_the_time_or_kills() {
    let server = server().await;
    let seen = inside(&server, "probe", "a034", &json!({})).await;
    assert!(["ok", "killed"].contains(&seen["vsyscall"].as_str().unwrap()), "{seen}");
    works_again(&server, "probe").await;
    server.stop().await;
}
