//! Start of the daemon and its idle memory, with an empty project and without a supervisor.

use std::process::Stdio;
use std::time::{Duration, Instant};

use alyx_tests::leftovers::Process;
use alyx_tests::server::daemon_alone;
use alyx_tests::{Client, Project};

use crate::report::{Bar, Report, percentile};

const STARTS: usize = 10;

pub async fn measure(report: &mut Report) {
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..STARTS {
        let project = Project::schema("version: 1\n");
        let socket = project.root().join("admin.sock");
        let start = Instant::now();
        let mut daemon = daemon_alone(&project, &socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start alyxd");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "alyxd does not listen");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Client::over_socket(&socket).get_path("/health/live").await.expect_ok();
        times.push(start.elapsed());
        let pid = daemon.id().and_then(|pid| i32::try_from(pid).ok()).expect("alyxd runs");
        memory = Process::of(pid).expect("alyxd runs").memory_bytes();
        daemon.kill().await.expect("end alyxd");
    }
    report.add(
        "start of alyxd to first answer, p50",
        percentile(&mut times, 0.5),
        "ms",
        Bar::AtMost(100.0),
        None,
    );
    report.add("idle memory of alyxd", memory as f64 / 1_048_576.0, "MiB", Bar::AtMost(30.0), None);
}
