//! The `alyx` command, as a person would type it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::tree;

/// How long a line may take on a loaded machine.
const FOLLOW_WITHIN: Duration = Duration::from_secs(60);

/// Runs `alyx` in a folder.
#[derive(Clone, Debug)]
pub struct Cli {
    folder: std::path::PathBuf,
    socket: Option<std::path::PathBuf>,
}

/// What it said and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Cli {
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), socket: None }
    }

    #[must_use]
    pub fn with_socket(self, socket: &Path) -> Self {
        Self { socket: Some(socket.to_owned()), ..self }
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with_input(arguments, "").await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tree::program("alyx"));
        command.args(arguments).current_dir(&self.folder).kill_on_drop(true);
        command.env_remove("ALYX_SOCKET").env_remove("ALYX_URL").env_remove("ALYX_TOKEN");
        if let Some(socket) = &self.socket {
            command.env("ALYX_SOCKET", socket);
        }
        command
    }

    /// Starts a command that goes on printing. It ends with what is returned.
    #[must_use]
    pub fn follow(&self, arguments: &[&str]) -> Following {
        let mut child =
            self.command(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start alyx");
        let lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
        Following { child, lines }
    }

    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start alyx");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A command that does not read its input may have ended already.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = child.wait_with_output().await.expect("wait for alyx");
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that goes on printing.
#[derive(Debug)]
pub struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    /// Reads up to a line with this text.
    pub async fn until(&mut self, text: &str) {
        let found = async {
            while let Some(line) = self.lines.next_line().await.expect("read lines") {
                if line.contains(text) {
                    return;
                }
            }
            panic!("the command ended before it printed {text:?}");
        };
        tokio::time::timeout(FOLLOW_WITHIN, found).await.unwrap_or_else(|_| panic!("no line has {text:?}"));
    }

    /// Waits until the command has ended by itself.
    pub async fn end(&mut self) {
        let ended = tokio::time::timeout(FOLLOW_WITHIN, self.child.wait()).await;
        ended.expect("the command goes on").expect("wait for alyx");
    }
}

impl Said {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit code {code}: {self:#?}");
        self
    }

    #[track_caller]
    pub fn expect_ok(self) -> Self {
        self.expect_code(0)
    }

    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {self:#?}"))
    }
}
