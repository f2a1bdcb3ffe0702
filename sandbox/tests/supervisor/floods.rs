//! A daemon that was taken over and wants the supervisor down: it stays up and stays small.
//!
//! Number 94 of the abuse suite.

use alyx_protocol::control::{FromSupervisor, RefusalCode, ToSupervisor};
use alyx_protocol::ids::Digest;
use alyx_protocol::limits::CONTROL_PACKET_MAX_BYTES;

use crate::harness::{LIMITS, MIB, Supervisor, eventually, is_root};

const IDLE: &str = "import time\nwhile True: time.sleep(60)\n";

/// Memory that allocators and lazily mapped code may add.
const GROWTH_MAX_BYTES: u64 = 6 * MIB;

/// Runs an attack between two looks at the supervisor, which must not have grown and must still serve.
fn check(attack: impl FnOnce(&mut Supervisor)) {
    let mut supervisor = Supervisor::start(IDLE);
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    daemon.kill(&worker);
    daemon.expect_exit(&worker);
    drop(daemon);
    let (memory, descriptors) = supervisor.footprint();
    attack(&mut supervisor);
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    daemon.kill(&worker);
    daemon.expect_exit(&worker);
    drop(daemon);
    eventually("its descriptors are closed again", || supervisor.footprint().1 <= descriptors);
    let grown = supervisor.footprint().0.saturating_sub(memory);
    assert!(grown < GROWTH_MAX_BYTES, "the supervisor grew by {grown} bytes");
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    if !is_root() {
        return;
    }
    check(|supervisor| {
        let (before, _) = supervisor.footprint();
        let mut daemon = supervisor.connect();
        let ask = br#"{"type":"capabilities","id":1}"#;
        let mut sent = 0_u32;
        // Full for good once the supervisor has stopped reading: both buffers then hold all they can.
        let mut full = 0;
        while full < 200 && sent < 50_000 {
            if daemon.send_if_room(ask) {
                (sent, full) = (sent + 1, 0);
            } else {
                full += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        assert!(sent < 50_000, "the supervisor went on reading");
        let grown = supervisor.footprint().0.saturating_sub(before);
        assert!(grown < GROWTH_MAX_BYTES, "{sent} requests cost {grown} bytes");
        for _ in 0..sent {
            assert!(matches!(daemon.receive().0, FromSupervisor::Capabilities { .. }));
        }
    });
}

#[test]
fn a_hundred_thousand_requests_cost_nothing() {
    if !is_root() {
        return;
    }
    check(|supervisor| {
        let mut daemon = supervisor.connect();
        let mut unanswered = 0;
        for number in 0..100_000_u32 {
            daemon.send_bytes(format!(r#"{{"type":"list","id":{number}}}"#).as_bytes());
            unanswered += 1;
            if unanswered == 8 {
                (0..unanswered).for_each(|_| drop(daemon.receive()));
                unanswered = 0;
            }
        }
    });
}

#[test]
fn spawn_storms_are_refused() {
    if !is_root() {
        return;
    }
    check(|supervisor| {
        let bundle = supervisor.bundle();
        let mut daemon = supervisor.connect();
        let workers: Vec<_> = (0..4).map(|_| daemon.spawn()).collect();
        for _ in 0..2_000 {
            let refused = daemon.try_spawn("python", bundle, LIMITS, 60_000).map(|worker| worker.id);
            assert_eq!(refused.unwrap_err().0, RefusalCode::TooManyWorkers);
        }
        let first = workers[0].id;
        daemon.kill(&workers[0]);
        daemon.expect_exit(&workers[0]);
        // What is not there is refused fast, so that only the rate holds the requests back.
        let absent = Digest::from_bytes([9; 32]);
        let limited = (0..2_000).any(|_| {
            let refused = daemon.try_spawn("python", absent, LIMITS, 60_000).map(|worker| worker.id);
            refused.unwrap_err().0 == RefusalCode::RateLimited
        });
        assert!(limited, "nothing holds a storm of spawns back");
        for _ in 0..1_000 {
            let stale = daemon.ask(|id| ToSupervisor::Kill { id, worker: first }).0;
            assert!(matches!(stale, FromSupervisor::Refused { code: RefusalCode::WorkerGone, .. }));
        }
    });
}

#[test]
fn descriptors_and_oversized_packets_end_the_link() {
    if !is_root() {
        return;
    }
    let list = br#"{"type":"list","id":1}"#;
    check(|supervisor| {
        for count in [1, 4, 200] {
            let mut daemon = supervisor.connect();
            daemon.send_with_descriptors(list, count);
            assert!(daemon.try_receive().is_none(), "{count} descriptors");
            supervisor.wait_log("ended the control link");
        }
        for length in [CONTROL_PACKET_MAX_BYTES, CONTROL_PACKET_MAX_BYTES + 1, 2 * CONTROL_PACKET_MAX_BYTES] {
            let mut daemon = supervisor.connect();
            daemon.send_bytes(&vec![b' '; length]);
            assert!(daemon.try_receive().is_none(), "{length} bytes");
            supervisor.wait_log("ended the control link");
        }
    });
}

#[test]
fn links_that_come_and_go_leave_nothing() {
    if !is_root() {
        return;
    }
    check(|supervisor| {
        for number in 0..1_000 {
            let mut daemon = supervisor.connect_silently();
            if number % 3 == 0 {
                daemon.send_bytes(b"{");
            }
        }
        // The last of them may still be served; then a real daemon gets its turn.
        eventually("a daemon is heard again", || {
            let mut daemon = supervisor.connect_silently();
            matches!(daemon.try_receive(), Some((FromSupervisor::Hello { .. }, _)))
        });
    });
}
