//! `alyx dev` on a free port and a folder of its own, and proof that it left nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::cli::Cli;
use crate::client::Client;
use crate::leftovers::{self, Process};
use crate::project::Project;
use crate::tree;
use crate::wait::wait_until;

/// Start and stop take well under a second alone; two cores are shared by many.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every account of a test has this one.
pub const PASSWORD: &str = "correct horse battery staple";

/// A running `alyx dev`.
#[derive(Debug)]
pub struct TestServer {
    pub project: Project,
    child: Child,
    pid: i32,
    facts: Value,
}

impl TestServer {
    /// Starts the project and waits until it answers.
    pub async fn start(project: Project) -> Self {
        Self::start_with(project, &[]).await
    }

    /// The same with further arguments for `alyx dev`.
    pub async fn start_with(project: Project, arguments: &[&str]) -> Self {
        let (child, pid, facts) = launch(&project, arguments, None).await;
        Self { project, child, pid, facts }
    }

    /// The same on a host whose programs are those of a folder.
    pub async fn start_with_programs(project: Project, folder: &std::path::Path) -> Self {
        let (child, pid, facts) = launch(&project, &[], Some(folder)).await;
        Self { project, child, pid, facts }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        self.facts["url"].as_str().expect("dev.json names the URL")
    }

    #[must_use]
    pub fn anon(&self) -> Client {
        Client::new(self.url())
    }

    /// A new account `<name>@example.org`, signed in.
    pub async fn user(&self, name: &str) -> Client {
        self.anon().register(&format!("{name}@example.org"), PASSWORD).await
    }

    /// The first administrator, signed in.
    pub async fn admin(&self) -> Client {
        let text = |member: &str| self.facts[member].as_str().expect("dev.json names the admin").to_owned();
        self.anon().login(&text("admin_email"), &text("admin_password")).await
    }

    /// Over the admin socket, as the owner of the process.
    #[must_use]
    pub fn over_admin_socket(&self) -> Client {
        Client::over_socket(&self.admin_socket())
    }

    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        PathBuf::from(self.facts["admin_socket"].as_str().expect("dev.json names the socket"))
    }

    /// `alyx` as typed beside this project.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::in_folder(&self.project.folder()).with_socket(&self.admin_socket())
    }

    #[must_use]
    pub fn daemon(&self) -> Process {
        self.process("daemon_pid")
    }

    #[must_use]
    pub fn supervisor(&self) -> Process {
        self.process("supervisor_pid")
    }

    fn process(&self, member: &str) -> Process {
        let text = fs::read(self.project.data().join("run/dev.json")).expect("read dev.json");
        let facts: Value = serde_json::from_slice(&text).expect("dev.json is JSON");
        let pid = facts[member].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("dev.json names it");
        Process::of(pid).unwrap_or_else(|| panic!("{member} {pid} is not running"))
    }

    /// Everything it runs now, itself included.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<Process> {
        leftovers::tree_of(self.pid)
    }

    /// What it has written to its terminal.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.project.root().join("output")).unwrap_or_default()
    }

    /// Stops it as Ctrl-C does and proves that nothing is left. The project and its data stay.
    pub async fn stop(self) -> Project {
        self.end(Signal::SIGINT).await
    }

    /// Stops and starts it again on the same data.
    pub async fn restart(self) -> Self {
        Self::start(self.stop().await).await
    }

    /// `kill -9`, then proves that the children died, too.
    pub async fn kill(self) -> Project {
        self.end(Signal::SIGKILL).await
    }

    /// Waits until it has ended by itself, as it does when its daemon dies.
    pub async fn wait_for_end(mut self) -> Project {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.is_ok(), "alyx dev goes on without its daemon:\n{}", self.output());
        std::mem::take(&mut self.project)
    }

    async fn end(mut self, signal: Signal) -> Project {
        let processes = self.processes();
        assert!(processes.len() >= 3, "alyx, alyxd and alyx-supervisor run: {processes:?}");
        kill(Pid::from_raw(self.pid), signal).expect("signal alyx dev");
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("alyx dev did not stop:\n{}", self.output()))
            .expect("wait for alyx dev");
        if signal != Signal::SIGKILL {
            assert!(status.success(), "alyx dev ended with {status}:\n{}", self.output());
        }
        wait_until("every process to end", PATIENCE, || !processes.iter().any(Process::is_alive)).await;
        let project = std::mem::take(&mut self.project);
        let left = leftovers::of_folder(project.root());
        assert!(left.is_empty(), "left behind: {left:#?}");
        if signal != Signal::SIGKILL {
            assert_clean(&project);
        }
        project
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(60).collect();
            eprintln!("--- the last lines of alyx dev ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        // Its children die with it.
        drop(self.child.start_kill());
    }
}

fn assert_clean(project: &Project) {
    let run: Vec<String> = names(&project.data().join("run"));
    let forbidden: Vec<&String> =
        run.iter().filter(|name| name.ends_with(".sock") || *name == "dev.json").collect();
    assert!(forbidden.is_empty(), "left in run/: {forbidden:?}");
    let temporary = names(&project.temporary());
    assert!(temporary.is_empty(), "left in the temporary folder: {temporary:?}");
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("list a folder");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// `alyxd` alone, without a supervisor; it listens at the socket once it is ready.
#[must_use]
pub fn daemon_alone(project: &Project, socket: &std::path::Path) -> Command {
    let mut daemon = Command::new(tree::program("alyxd"));
    daemon
        .args(["serve", "--die-with-parent", "--listen", "127.0.0.1:0", "--project"])
        .arg(project.folder())
        .arg("--data")
        .arg(project.data())
        .arg("--admin-socket")
        .arg(socket)
        .arg("--supervisor-socket")
        .arg(project.root().join("none.sock"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    daemon
}

async fn launch(
    project: &Project,
    arguments: &[&str],
    programs: Option<&std::path::Path>,
) -> (Child, i32, Value) {
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(project.root().join("output"))
        .expect("open the output file");
    let mut command = Command::new(tree::program("alyx"));
    if let Some(folder) = programs {
        command.env("PATH", folder);
    }
    let mut child = command
        .arg("dev")
        .arg(project.folder())
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(project.data())
        .args(arguments)
        .env("TMPDIR", project.temporary())
        .env_remove("ALYX_RUNTIMES_DIR")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("share the output file"))
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .expect("start alyx dev");
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("alyx dev has an id");
    let file = project.data().join("run/dev.json");
    let mut facts = Value::Null;
    wait_until("alyx dev to be ready", PATIENCE, || {
        if let Ok(Some(status)) = child.try_wait() {
            let output = fs::read_to_string(project.root().join("output")).unwrap_or_default();
            panic!("alyx dev ended with {status}:\n{output}");
        }
        let text = fs::read(&file).unwrap_or_default();
        facts = serde_json::from_slice(&text).unwrap_or(Value::Null);
        // A killed instance may have left its file; the new one writes its own children's ids.
        let daemon = facts["daemon_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        daemon.is_some_and(|pid| Process::of(pid).is_some())
    })
    .await;
    (child, pid, facts)
}
