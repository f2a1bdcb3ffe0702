//! The service as a package runs it: `alyx-supervisor` and `alyxd serve`, not in development mode.
//!
//! `alyx dev` runs once before, to find the runtimes, write the supervisor's configuration, seal the
//! bundles and build the Go functions.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::leftovers::Process;
use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running service.
pub struct Production {
    pub project: Project,
    /// Where it listens.
    pub url: String,
    supervisor: Child,
    daemon: Child,
}

/// Runs the project once in development mode, which leaves everything that a start needs.
pub async fn prepare(project: Project) -> Project {
    let server = TestServer::start_with(project, &["--no-watch"]).await;
    versions_are_made(&server.over_admin_socket()).await;
    // It goes with `alyx dev`.
    let config = server.project.data().join("run/supervisor.json");
    let text = std::fs::read(&config).expect("read the configuration");
    let project = server.stop().await;
    std::fs::write(&config, text).expect("keep the configuration");
    project
}

/// What `alyx dev` wrote for the supervisor of a prepared project.
pub fn supervisor_config(project: &Project) -> Value {
    let text = std::fs::read(project.data().join("run/supervisor.json")).expect("read the configuration");
    serde_json::from_slice(&text).expect("the configuration is JSON")
}

impl Production {
    /// Starts a prepared project.
    pub async fn start(project: Project) -> Self {
        Self::start_with(project, &[]).await
    }

    /// Starts a prepared project with more of its configuration in the environment.
    pub async fn start_with(project: Project, settings: &[(&str, &str)]) -> Self {
        let run = project.data().join("run");
        let supervisor = command("alyx-supervisor", &project)
            .arg("--config")
            .arg(run.join("supervisor.json"))
            .arg("--die-with-parent")
            .spawn()
            .expect("start alyx-supervisor");
        let control = run.join("control.sock");
        wait_for("the supervisor to listen", PATIENCE, async || control.exists().then_some(())).await;
        let daemon = command("alyxd", &project)
            .args(["serve", "--die-with-parent", "--listen", "127.0.0.1:0", "--project"])
            .arg(project.folder())
            .arg("--data")
            .arg(project.data())
            .arg("--admin-socket")
            .arg(run.join("admin.sock"))
            .arg("--supervisor-socket")
            .arg(&control)
            // What is measured comes from one address and one identity.
            .envs(
                ["READS", "WRITES", "FUNCTIONS"]
                    .map(|what| (format!("ALYX_LIMITS_{what}_PER_MINUTE"), "off")),
            )
            .envs(settings.iter().copied())
            .spawn()
            .expect("start alyxd");
        let socket = run.join("admin.sock");
        let listens = async || tokio::net::UnixStream::connect(&socket).await.ok();
        wait_for("alyxd to listen", PATIENCE, listens).await;
        let admin = Client::over_socket(&socket);
        let status = admin.get_path("/api/admin/status").await.expect_ok();
        let url = format!("http://{}", status["listen"].as_str().expect("the status names the address"));
        versions_are_made(&admin).await;
        Self { project, url, supervisor, daemon }
    }

    /// As the administrator of the host.
    pub fn over_admin_socket(&self) -> Client {
        Client::over_socket(&self.project.data().join("run/admin.sock"))
    }

    /// Resident memory of the daemon.
    pub fn memory_bytes(&self) -> u64 {
        let pid = self.daemon.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
        Process::of(pid).expect("it runs").memory_bytes()
    }

    pub async fn stop(mut self) -> Project {
        for child in [&mut self.daemon, &mut self.supervisor] {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
            kill(Pid::from_raw(pid), Signal::SIGTERM).expect("signal it");
            let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it stops in time");
            assert!(ended.is_ok_and(|status| status.success()), "it stops without an error");
        }
        self.project
    }
}

fn command(program: &str, project: &Project) -> Command {
    let log: PathBuf = project.root().join("output");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("open the output file");
    let mut command = Command::new(tree::program(program));
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share the output file"))
        .stderr(log)
        .kill_on_drop(true);
    command
}

/// Waits until every function is sealed and built and the supervisor is there.
async fn versions_are_made(admin: &Client) {
    wait_for("the functions to be built", PATIENCE, async || {
        let status = admin.get_path("/api/admin/functions").await.expect_ok();
        let functions = status["functions"].as_array().cloned().unwrap_or_default();
        let connected = status["supervisor_connected"] == Value::Bool(true);
        let made = functions.iter().all(|function| function["version"].is_string());
        (connected && made).then_some(())
    })
    .await;
}
