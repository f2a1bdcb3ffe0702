//! What the supervisor refuses, and that it goes on afterwards.

use std::os::unix::fs::symlink;

use alyx_protocol::control::{FromSupervisor, RefusalCode, ToSupervisor, WorkerLimits};
use alyx_protocol::ids::Digest;
use nix::sys::stat::Mode;

use crate::harness::{LIMITS, Setup, Supervisor, is_root, say};

const IDLE: &str = "import time\nwhile True: time.sleep(60)\n";

#[test]
fn spawns_that_ask_for_too_much_are_refused() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(IDLE);
    let mut daemon = supervisor.connect();
    let bundle = supervisor.bundle();
    let link = supervisor.make_bundle(1, |path| symlink("/etc/passwd", path.join("x")).unwrap());
    let fifo = supervisor.make_bundle(2, |path| nix::unistd::mkfifo(&path.join("x"), Mode::S_IRUSR).unwrap());
    let socket = supervisor.make_bundle(3, |path| {
        drop(std::os::unix::net::UnixListener::bind(path.join("x")).unwrap());
    });
    let absent = Digest::from_bytes([9; 32]);
    let more = WorkerLimits { memory_max_bytes: LIMITS.memory_max_bytes + 1, ..LIMITS };
    let none = WorkerLimits { processes_max: 0, ..LIMITS };
    let mut check = |runtime: &str, bundle, limits, lease_ms, expected: RefusalCode| {
        let found = daemon.try_spawn(runtime, bundle, limits, lease_ms);
        assert_eq!(found.map(|worker| worker.id).unwrap_err().0, expected, "{runtime} {bundle}");
    };
    check("ruby", bundle, LIMITS, 1000, RefusalCode::RuntimeUnavailable);
    check("broken", bundle, LIMITS, 1000, RefusalCode::RuntimeUnavailable);
    check("python", absent, LIMITS, 1000, RefusalCode::BundleNotFound);
    check("python", link, LIMITS, 1000, RefusalCode::BundleRejected);
    check("python", fifo, LIMITS, 1000, RefusalCode::BundleRejected);
    check("python", socket, LIMITS, 1000, RefusalCode::BundleRejected);
    check("python", bundle, more, 1000, RefusalCode::LimitOutOfRange);
    check("python", bundle, none, 1000, RefusalCode::LimitOutOfRange);
    check("python", bundle, LIMITS, 0, RefusalCode::LimitOutOfRange);
    check("python", bundle, LIMITS, 120_001, RefusalCode::LimitOutOfRange);
    let workers: Vec<_> = (0..4).map(|_| daemon.spawn()).collect();
    let full = daemon.try_spawn("python", bundle, LIMITS, 1000).unwrap_err();
    assert_eq!(full.0, RefusalCode::TooManyWorkers);
    daemon.kill(&workers[0]);
    daemon.expect_exit(&workers[0]);
    let again = daemon.kill(&workers[0]);
    assert!(
        matches!(again, FromSupervisor::Refused { code: RefusalCode::WorkerGone, .. }),
        "a stale id reaches nobody: {again:?}"
    );
    assert_ne!(daemon.spawn().id, workers[0].id);
}

#[test]
fn anything_malformed_ends_the_link_and_nothing_else() {
    if !is_root() {
        return;
    }
    let mut supervisor = Supervisor::start(IDLE);
    let hello = r#"{"type":"hello","protocol":1}"#;
    for packets in [
        vec![r#"{"type":"list","id":1}"#],
        vec![r#"{"type":"hello","protocol":2}"#],
        vec![hello, hello],
        vec![hello, "{"],
        vec![hello, r#"{"type":"exec","id":1}"#],
        vec![hello, r#"{"type":"list","id":1,"path":"/"}"#],
        vec![hello, r#"{"type":"kill","id":1,"worker":"1"}"#],
        vec![hello, r#"{"type":"spawn","id":1,"runtime":"python","bundle":"../x","limits":{},"lease_ms":1}"#],
    ] {
        let mut daemon = supervisor.connect_silently();
        for packet in &packets {
            daemon.send_bytes(packet.as_bytes());
        }
        assert!(matches!(daemon.receive().0, FromSupervisor::Hello { .. }));
        assert!(daemon.try_receive().is_none(), "{packets:?}");
        supervisor.wait_log("ended the control link");
    }
    supervisor.connect().spawn();
}

#[test]
fn there_is_one_daemon_at_a_time() {
    if !is_root() {
        return;
    }
    let mut supervisor = Supervisor::start(IDLE);
    let mut daemon = supervisor.connect();
    let mut second = supervisor.connect_silently();
    assert!(second.try_receive().is_none());
    supervisor.wait_log("refused a second control connection");
    assert!(matches!(daemon.ask(|id| ToSupervisor::List { id }).0, FromSupervisor::Workers { .. }));
}

#[test]
fn only_the_configured_user_is_heard() {
    if !is_root() {
        return;
    }
    let mut supervisor = Supervisor::with(&Setup { daemon_uid: 65_000, ..Setup::new(IDLE) });
    assert!(supervisor.connect_silently().try_receive().is_none());
    supervisor.wait_log("refused a control connection of uid 0");
}

#[test]
fn strict_mode_names_every_layer_that_is_not_there() {
    if !is_root() {
        return;
    }
    let setup = Setup { isolation: "strict", ..Setup::new(IDLE) };
    let mut supervisor = Supervisor::launch(&setup);
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        say("SKIPPED: this host may have every layer");
        return;
    }
    supervisor.wait_log("layer cgroup_memory is replaced");
    supervisor.wait_log("layer cgroup_pids is replaced");
    supervisor.wait_log("layer cgroup_cpu is missing");
    assert_eq!(supervisor.wait().code(), Some(1));
    supervisor.expect_nothing_left();
}
