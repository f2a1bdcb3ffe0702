//! Nothing outlives the supervisor, and nothing piles up while it runs.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::{Setup, Start, Supervisor, eventually, is_root, say};

/// Leaves the session, forks twice and sleeps: what a daemon would do to survive.
const CLINGING: &str = r#"
import os, signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("up", flush=True)
        while True: time.sleep(60)
    os._exit(0)
while True: time.sleep(60)
"#;

#[test]
fn nothing_outlives_the_supervisor() {
    if !is_root() {
        return;
    }
    for start in [Start::Root, Start::Service, Start::Rootless] {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let mut supervisor = Supervisor::with(&Setup { start, ..Setup::new(CLINGING) });
            let mut daemon = supervisor.connect();
            let workers = [daemon.spawn(), daemon.spawn()];
            for worker in &workers {
                worker.wait_line("up");
            }
            assert!(supervisor.processes().len() >= 8, "supervisor, spawner, inits, runtimes, orphans");
            supervisor.signal(signal);
            let status = supervisor.wait();
            assert_eq!(status.code(), (signal == Signal::SIGTERM).then_some(0), "{start:?}");
            supervisor.expect_nothing_left();
        }
    }
}

#[test]
fn a_killed_spawner_takes_its_workers_and_the_supervisor_along() {
    if !is_root() {
        return;
    }
    let mut supervisor = Supervisor::start(CLINGING);
    let mut daemon = supervisor.connect();
    let worker = daemon.spawn();
    worker.wait_line("up");
    let is_spawner = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("alyx-spawner"))
    };
    let spawner = supervisor.processes().into_iter().find(is_spawner).expect("there is a spawner");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(spawner), Signal::SIGKILL).unwrap();
    // Whoever started it starts it again; going on without a spawner would only refuse everything.
    assert_eq!(supervisor.wait().code(), Some(1));
    supervisor.expect_nothing_left();
}

#[test]
fn many_workers_leave_nothing_behind() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start("print('up', flush=True)\nimport time\nwhile True: time.sleep(60)\n");
    let mut daemon = supervisor.connect();
    let cycle = |daemon: &mut crate::harness::Daemon| {
        let worker = daemon.spawn();
        daemon.kill(&worker);
        daemon.expect_exit(&worker);
        worker.setup_us
    };
    cycle(&mut daemon);
    eventually("only supervisor and spawner are left", || supervisor.processes().len() == 2);
    let open = || {
        let count = |pid: &i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        supervisor.processes().iter().map(count).collect::<Vec<_>>()
    };
    let before = open();
    let mut setups: Vec<u64> = (0..50).map(|_| cycle(&mut daemon)).collect();
    eventually("only supervisor and spawner are left", || supervisor.processes().len() == 2);
    // What the first worker left open may still have been counted; what every worker leaves would be fifty more.
    eventually("no more descriptors are open than before", || {
        let now = open();
        now.len() == before.len() && now.iter().zip(&before).all(|(now, before)| now <= before)
    });
    setups.sort_unstable();
    let (min, median, max) = (setups[0], setups[25], setups[49]);
    say(&format!("set-up until execve in microseconds: min {min} median {median} max {max}"));
}
