//! What the host refuses: a worker that cannot be confined is not started, and later ones are.
//!
//! Number 105 of the abuse suite.

use alyx_protocol::control::RefusalCode;

use crate::harness::{LIMITS, Supervisor, eventually, is_root};

const IDLE: &str = "import time\nwhile True: time.sleep(60)\n";

#[test]
fn without_descriptors_a_spawn_is_refused_and_works_later() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start(IDLE);
    let mut daemon = supervisor.connect();
    let bundle = supervisor.bundle();
    let first = daemon.spawn();
    daemon.kill(&first);
    daemon.expect_exit(&first);
    eventually("only supervisor and spawner are left", || supervisor.processes().len() == 2);
    let open = supervisor.footprint().1;
    for room in 0..8 {
        supervisor.limit_descriptors(open + room);
        let tried = daemon.try_spawn("python", bundle, LIMITS, 60_000);
        supervisor.limit_descriptors(1024);
        match tried {
            Ok(worker) => {
                daemon.kill(&worker);
                daemon.expect_exit(&worker);
            }
            Err((code, detail)) => assert_eq!(code, RefusalCode::SetupFailed, "{detail}"),
        }
        eventually("what was begun is gone", || {
            supervisor.processes().len() == 2 && supervisor.footprint().1 <= open
        });
    }
    daemon.spawn();
}
