//! The supervisor alone, asked directly: the time from a request to the `execve` of the runtime as it
//! reports it itself, and its memory.

use std::fs;
use std::time::Duration;

use alyx_tests::Project;
use alyx_tests::leftovers::{self, Process};
use alyx_tests::supervisor::Supervisor;

use crate::functions::ECHO_GO;
use crate::production::{prepare, supervisor_config};
use crate::report::{Bar, Report, percentile};

const SPAWNS: usize = 100;
/// The kernel takes namespaces apart in the background; the next spawn is not to wait for that.
const PAUSE: Duration = Duration::from_millis(20);

const SCHEMA: &str = "version: 1\nfunctions:\n  echo: { runtime: go, rules: { invoke: \"true\" } }\n";

pub async fn measure(report: &mut Report) {
    let project = prepare(Project::schema(SCHEMA).with("functions/echo/echo.go", ECHO_GO)).await;
    let bundle = fs::read_dir(project.data().join("bundles"))
        .expect("list bundles")
        .flatten()
        .find(|entry| entry.path().join("worker").is_file())
        .expect("a Go function was built");
    let digest = bundle.file_name().to_string_lossy().into_owned();
    let mut supervisor = Supervisor::start(project.root(), supervisor_config(&project)).await;
    let memory: u64 = leftovers::tree_of(supervisor.pid()).iter().map(Process::memory_bytes).sum();
    let mut times = Vec::new();
    for _ in 0..SPAWNS {
        let (worker, set_up) = supervisor.spawn("go", &digest).await;
        times.push(set_up);
        supervisor.kill_worker(worker).await;
        tokio::time::sleep(PAUSE).await;
    }
    supervisor.stop().await;
    report.add("sandbox set-up to execve, p50", percentile(&mut times, 0.5), "ms", Bar::AtMost(2.0), None);
    let memory = memory as f64 / 1_048_576.0;
    report.add("idle memory of the supervisor and its spawner", memory, "MiB", Bar::None, None);
}
