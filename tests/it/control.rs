//! The supervisor against a daemon that was taken over: it refuses, it never follows, it stays up.

use std::time::Duration;

use alyx_protocol::control::{FromSupervisor, RefusalCode, ToSupervisor, WorkerLimits};
use alyx_protocol::ids::Digest;
use alyx_tests::leftovers::Process;
use alyx_tests::supervisor::{Supervisor, modest_limits};
use alyx_tests::{Project, TestServer, wait_until};
use serde_json::{Value, json};

/// A supervisor as `alyx dev` configures it, with the sealed bundle of one Python function.
async fn alone() -> (Supervisor, String, Project) {
    let server = TestServer::start(Project::fixture("lab")).await;
    server.anon().invoke("cold", json!({ "n": 1 })).await.expect_ok();
    let text = std::fs::read(server.project.data().join("run/supervisor.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    let project = server.stop().await;
    let bundle = std::fs::read_dir(project.data().join("bundles"))
        .unwrap()
        .flatten()
        .find(|entry| entry.path().join("main.py").is_file())
        .expect("the function's bundle is sealed");
    let digest = bundle.file_name().to_string_lossy().into_owned();
    (Supervisor::start(project.root(), config).await, digest, project)
}

async fn refusal(supervisor: &mut Supervisor, request: ToSupervisor) -> RefusalCode {
    supervisor.send(&request).await;
    match supervisor.receive().await {
        Some(FromSupervisor::Refused { code, .. }) => code,
        other => panic!("{request:?} was answered with {other:?}"),
    }
}

#[tokio::test]
async fn m27_requests_outside_the_configuration_are_refused() {
    let (mut supervisor, digest, _project) = alone().await;
    let bundle: Digest = digest.parse().unwrap();
    let spawn = |id: u64, runtime: &str, bundle: Digest, limits: WorkerLimits| ToSupervisor::Spawn {
        id,
        runtime: runtime.parse().unwrap(),
        bundle,
        limits,
        lease_ms: 10_000,
    };
    let modest = modest_limits();
    let nowhere = Digest::from_bytes([0xab; 32]);
    let huge = WorkerLimits { memory_max_bytes: u64::MAX, ..modest };
    let nothing = WorkerLimits { processes_max: 0, ..modest };
    let cases = [
        (spawn(1, "ruby", bundle, modest), RefusalCode::RuntimeUnavailable),
        (spawn(2, "python", nowhere, modest), RefusalCode::BundleNotFound),
        (spawn(3, "python", bundle, huge), RefusalCode::LimitOutOfRange),
        (spawn(4, "python", bundle, nothing), RefusalCode::LimitOutOfRange),
        (ToSupervisor::Kill { id: 5, worker: "w0-99".parse().unwrap() }, RefusalCode::WorkerGone),
        (
            ToSupervisor::Stop { id: 6, worker: "w60000-1".parse().unwrap(), grace_ms: 0 },
            RefusalCode::WorkerGone,
        ),
        (ToSupervisor::Stats { id: 7, worker: "w0-0".parse().unwrap() }, RefusalCode::WorkerGone),
    ];
    for (request, expected) in cases {
        let label = format!("{request:?}");
        assert_eq!(refusal(&mut supervisor, request).await, expected, "{label}");
    }
    let (worker, _) = supervisor.spawn("python", &digest).await;
    supervisor.kill_worker(worker).await;
    supervisor.stop().await;
}

#[tokio::test]
async fn m27_nonsense_ends_the_link_and_not_the_supervisor() {
    let packets: [&[u8]; 6] = [
        b"",
        b"{}",
        b"\xff\xfe\x00",
        br#"{"type":"exec","id":1,"path":"/bin/sh"}"#,
        br#"{"type":"list","id":1,"path":"/"}"#,
        br#"{"type":"spawn","id":1,"runtime":"python","bundle":"../../etc","limits":{},"lease_ms":1}"#,
    ];
    let (supervisor, _digest, _project) = alone().await;
    drop(supervisor.another_link().await);
    for packet in packets.into_iter().filter(|packet| !packet.is_empty()) {
        let link = supervisor.another_link().await;
        // A supervisor that already has its daemon may close this link before it reads.
        drop(link.send(packet).await);
        let mut answer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), link.recv(&mut answer)).await;
        assert!(read.is_ok(), "the link ends after {:?}", String::from_utf8_lossy(packet));
    }
    let mut supervisor = supervisor;
    supervisor.send(&ToSupervisor::List { id: 1 }).await;
    let listed = supervisor.receive().await;
    assert!(matches!(listed, Some(FromSupervisor::Workers { .. })), "{listed:?}");
    supervisor.send(&ToSupervisor::Hello { protocol: 1 }).await;
    assert_eq!(supervisor.receive().await, None, "a second hello ends the link");
    supervisor.stop().await;
}

#[tokio::test]
async fn m29_a_lease_that_nobody_renews_ends_the_worker() {
    let (mut supervisor, digest, _project) = alone().await;
    let id = supervisor.id();
    let spawn = ToSupervisor::Spawn {
        id,
        runtime: "python".parse().unwrap(),
        bundle: digest.parse().unwrap(),
        limits: modest_limits(),
        lease_ms: 300,
    };
    supervisor.send(&spawn).await;
    let spawned = supervisor.receive().await;
    assert!(matches!(spawned, Some(FromSupervisor::Spawned { .. })), "{spawned:?}");
    let ended = supervisor.receive().await;
    let cause = match ended {
        Some(FromSupervisor::Exited { cause, .. }) => cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(cause, alyx_protocol::control::ExitCause::LeaseExpired);
    supervisor.stop().await;
}

#[tokio::test]
async fn m30_a_hundred_workers_leave_nothing() {
    let (mut supervisor, digest, project) = alone().await;
    let pid = supervisor.pid();
    let before = alyx_tests::leftovers::tree_of(pid).len();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let open = descriptors();
    for _ in 0..100 {
        let (worker, _) = supervisor.spawn("python", &digest).await;
        supervisor.kill_worker(worker).await;
    }
    wait_until("the workers' processes to be gone", Duration::from_secs(10), || {
        alyx_tests::leftovers::tree_of(pid).len() <= before
    })
    .await;
    assert!(descriptors() <= open + 2, "{} descriptors, {open} before", descriptors());
    assert!(Process::of(pid).is_some());
    supervisor.stop().await;
    let left = alyx_tests::leftovers::of_folder(project.root());
    assert!(left.is_empty(), "{left:#?}");
}
