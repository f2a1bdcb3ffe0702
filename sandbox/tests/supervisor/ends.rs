//! Every way in which a worker ends has its own cause.

use std::time::{Duration, Instant};

use alyx_protocol::control::{ExitCause, FromSupervisor, ToSupervisor, WorkerLimits};

use crate::harness::{LIMITS, MIB, Supervisor, is_root};

/// Does what the first byte on its link says.
const OBEDIENT: &str = r#"
import os, signal, socket, sys, time
link = socket.socket(fileno=3)
print("up", flush=True)
order = link.recv(1)
if order == b"e": sys.exit(7)
if order == b"s": os.kill(os.getpid(), signal.SIGSEGV)
if order == b"k":
    import ctypes
    ctypes.CDLL(None).syscall(169, 0, 0, 0, 0)
if order == b"m":
    hoard = []
    while True: hoard.append(bytearray(1 << 20))
if order == b"i":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link.send(b"!")
    while True: time.sleep(60)
if order == b"t":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    link.send(b"!")
    while True: time.sleep(60)
"#;

#[test]
fn every_end_has_its_cause() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(&order(OBEDIENT, "e"));
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    assert_eq!(daemon.expect_exit(&worker).0, ExitCause::Exited { code: 7 });

    for (letter, expected) in [("s", ExitCause::Signalled { signal: 11 }), ("k", ExitCause::Seccomp)] {
        let supervisor = Supervisor::start(&order(OBEDIENT, letter));
        let mut daemon = supervisor.connect();
        let worker = daemon.spawn();
        assert_eq!(daemon.expect_exit(&worker).0, expected, "{letter}: {}", worker.output());
    }
}

/// The script with its order built in: the harness reads the link but does not write to it.
fn order(script: &str, letter: &str) -> String {
    script.replace("link.recv(1)", &format!("b\"{letter}\""))
}

#[test]
fn too_much_memory_is_named() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(&order(OBEDIENT, "m"));
    let mut daemon = supervisor.connect();
    let limits = WorkerLimits { memory_max_bytes: 48 * MIB, ..LIMITS };
    let worker = daemon.try_spawn("python", supervisor.bundle(), limits, 60_000).unwrap();
    let (cause, usage) = daemon.expect_exit(&worker);
    let ExitCause::OutOfMemory { limit_bytes, seen_bytes } = cause else { panic!("{cause:?}") };
    assert_eq!(limit_bytes, 48 * MIB);
    assert!(seen_bytes > limit_bytes && usage.memory_peak_bytes >= seen_bytes, "{usage:?}");
    assert!(usage.cpu_us > 0);
}

#[test]
fn a_lease_that_nobody_renews_ends_the_worker() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(&order(OBEDIENT, "i"));
    let mut daemon = supervisor.connect();
    let spawn = |daemon: &mut crate::harness::Daemon, lease_ms| {
        daemon.try_spawn("python", supervisor.bundle(), LIMITS, lease_ms).unwrap()
    };
    let (short, renewed) = (spawn(&mut daemon, 400), spawn(&mut daemon, 400));
    let id = renewed.id;
    let renew = |request| ToSupervisor::Renew { id: request, workers: vec![id], lease_ms: 60_000 };
    assert!(matches!(daemon.ask(renew).0, FromSupervisor::Done { .. }));
    assert_eq!(daemon.expect_exit(&short).0, ExitCause::LeaseExpired);
    let (listed, _) = daemon.ask(|id| ToSupervisor::List { id });
    let FromSupervisor::Workers { workers, .. } = listed else { panic!("{listed:?}") };
    assert_eq!(workers.iter().map(|entry| entry.worker).collect::<Vec<_>>(), [id]);
    daemon.kill(&renewed);
    assert_eq!(daemon.expect_exit(&renewed).0, ExitCause::Killed);
}

#[test]
fn stop_asks_first_and_kills_after_the_grace() {
    if !is_root() {
        return;
    }
    let stop = |letter: &str, grace_ms: u64| {
        let supervisor = Supervisor::start(&order(OBEDIENT, letter));
        let mut daemon = supervisor.connect();
        let worker = daemon.spawn();
        assert_eq!(worker.read_link(), b"!");
        let begun = Instant::now();
        let id = worker.id;
        daemon.ask(|request| ToSupervisor::Stop { id: request, worker: id, grace_ms });
        assert_eq!(daemon.expect_exit(&worker).0, ExitCause::Stopped);
        begun.elapsed()
    };
    assert!(stop("t", 15_000) < Duration::from_secs(10), "a handler ends it early");
    assert!(stop("i", 300) >= Duration::from_millis(300), "whoever ignores it gets the grace");
    assert!(stop("i", 0) < Duration::from_secs(10));
}

#[test]
fn without_its_daemon_a_worker_ends_soon_and_another_daemon_can_come() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(&order(OBEDIENT, "i"));
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    drop(daemon);
    let mut daemon = supervisor.connect();
    assert_eq!(daemon.expect_exit(&worker).0, ExitCause::DaemonGone);
    let next = daemon.spawn();
    assert_ne!(next.id, worker.id);
}

#[test]
fn stats_and_capabilities_are_answered() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(&order(OBEDIENT, "i"));
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    assert_eq!(worker.read_link(), b"!");
    let id = worker.id;
    let (stats, _) = daemon.ask(|request| ToSupervisor::Stats { id: request, worker: id });
    let FromSupervisor::Stats { usage, .. } = stats else { panic!("{stats:?}") };
    assert_eq!(usage.processes, 1);
    assert!(usage.memory_bytes > MIB && usage.memory_peak_bytes >= usage.memory_bytes, "{usage:?}");
    let (capabilities, _) = daemon.ask(|id| ToSupervisor::Capabilities { id });
    let FromSupervisor::Capabilities { layers, runtimes, .. } = capabilities else { panic!() };
    assert_eq!(layers.len(), 14);
    let problem =
        |name: &str| runtimes.iter().find(|entry| entry.name.as_str() == name).unwrap().problem.is_some();
    assert!(!problem("python") && problem("broken"));
}
