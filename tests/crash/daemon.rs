//! `alyxd` alone, on data that outlives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::{Client, tree, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &str = "version: 1
collections:
  entries:
    fields:
      id: { type: string, primary: true }
      v: { type: int }
      text: { type: text, nullable: true }
";

/// A project and its data, in a folder of their own or a given one.
pub struct Site {
    /// The folder goes with the value.
    root: Option<tempfile::TempDir>,
    folder: PathBuf,
    config: String,
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    pub client: Client,
}

impl Site {
    pub fn new() -> Self {
        let made = tempfile::Builder::new().prefix("alyx-crash-").tempdir().expect("make a folder");
        let folder = made.path().to_owned();
        let mut site = Self::at(&folder);
        site.root = Some(made);
        site
    }

    /// In a folder that somebody else removes.
    pub fn at(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("project")).expect("make the project's folder");
        fs::write(folder.join("project/schema.yaml"), SCHEMA).expect("write the schema");
        Self { root: None, folder: folder.to_owned(), config: String::new() }
    }

    #[must_use]
    pub fn with_config(mut self, config: &str) -> Self {
        config.clone_into(&mut self.config);
        self
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn database(&self) -> PathBuf {
        self.data().join("data.db")
    }

    pub async fn start(&self) -> Daemon {
        self.start_under(&[]).await
    }

    /// Starts it as the argument of another program.
    pub async fn start_under(&self, wrapper: &[&str]) -> Daemon {
        let config = self.folder.join("project/alyx.yaml");
        fs::write(&config, &self.config).expect("write the configuration");
        let socket = self.data().join("run/admin.sock");
        drop(fs::remove_file(&socket));
        let program = tree::program("alyxd");
        let mut command = match wrapper.split_first() {
            None => Command::new(&program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        command.arg("serve").arg("--config").arg(&config).arg("--project").arg(self.folder.join("project"));
        command.arg("--data").arg(self.data()).args(["--listen", "127.0.0.1:0"]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("open the log");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("start alyxd");
        let mut daemon = Daemon { child, client: Client::over_socket(&socket) };
        wait_until("alyxd to listen", PATIENCE, || {
            if let Ok(Some(status)) = daemon.child.try_wait() {
                panic!("alyxd ended with {status}:\n{}", self.said());
            }
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        daemon
    }

    fn log(&self) -> PathBuf {
        // Not beside the data, whose disk may be full.
        std::env::temp_dir().join(format!("alyx-crash-{}-{}.log", std::process::id(), self.name()))
    }

    fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the daemons of this site wrote to standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what alyxd said ---\n{}", self.said());
        }
        drop(fs::remove_file(self.log()));
    }
}

impl Daemon {
    pub async fn kill(mut self) {
        self.child.start_kill().expect("kill alyxd");
        drop(self.child.wait().await);
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("alyxd runs")
    }

    pub async fn stop(mut self) {
        let pid = i32::try_from(self.pid()).expect("an id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("signal alyxd");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.is_ok(), "alyxd did not stop");
    }
}
