//! Independent clients and servers from npm and PyPI, installed by `tests/peers/install.sh` from the
//! versions pinned beside it. A test that needs one asks here.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};

use crate::tree;

/// A server starts in well under a second alone; two cores are shared by many.
const PATIENCE: Duration = Duration::from_secs(60);

/// `node` with the pinned packages in reach of `import`; `None` if they are not installed, which is
/// said, and is a failure under CI.
#[must_use]
pub fn node() -> Option<Command> {
    let modules = installed("node_modules")?;
    let mut command = Command::new("node");
    // Modules are found from the folder of the script that imports them, or, for scripts given on the
    // command line, from the working directory.
    command.current_dir(modules.parent()?);
    Some(command)
}

/// A server of `tests/peers/servers`, running until it is dropped; `None` as for [`node`].
pub async fn server(name: &str, arguments: &[&str]) -> Option<Server> {
    let source = tree::root().join("tests/peers/servers").join(name);
    let mut command = if name.ends_with(".py") {
        let mut command = python()?;
        command.arg(&source);
        command
    } else {
        // Modules are found from where a script lies.
        let folder = installed("node_modules")?.parent()?.join("servers");
        std::fs::create_dir_all(&folder).expect("make a folder");
        let script = folder.join(format!("{}-{name}", std::process::id()));
        std::fs::copy(source, &script).expect("copy a server");
        let mut command = Command::new("node");
        command.arg(script);
        command
    };
    command.args(arguments);
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start a server");
    let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let said = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it starts in time");
    let url = said.expect("its output is text").expect("it says where it listens");
    Some(Server { url, _child: child, _lines: lines })
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// What it said first: where it listens.
    pub url: String,
    _child: tokio::process::Child,
    _lines: Lines<BufReader<tokio::process::ChildStdout>>,
}

/// The interpreter of the virtual environment with the pinned packages; `None` as for [`node`].
#[must_use]
pub fn python() -> Option<Command> {
    Some(Command::new(installed("venv")?.join("bin/python")))
}

/// A program that the pinned packages brought, such as `schemathesis`; `None` as for [`node`].
#[must_use]
pub fn program(name: &str) -> Option<Command> {
    let path = installed("venv")?.join("bin").join(name);
    let path = if path.exists() { path } else { installed("node_modules")?.join(".bin").join(name) };
    path.exists().then(|| Command::new(path)).or_else(|| missing(name))
}

/// Prometheus' own tool, unpacked from the host's package; `None` as for [`node`].
#[must_use]
pub fn promtool() -> Option<Command> {
    Some(Command::new(installed("prometheus")?.join("usr/bin/promtool")))
}

/// Whether a program of the host's package manager is there; if not, that is said, and is a failure
/// under CI.
#[must_use]
pub fn on_path(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(|folder| folder.join(name).is_file()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is missing; run packaging/prerequisites.sh tests");
    eprintln!("not run: {name} is missing; run packaging/prerequisites.sh tests");
    false
}

/// Chromium, of the host's package manager; `None` as for [`on_path`].
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    // Debian and Fedora name it differently.
    let names = ["chromium", "chromium-browser"];
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |name: &str| {
        std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
    };
    names.into_iter().find_map(in_path).or_else(|| {
        let _is_there = on_path("chromium");
        None
    })
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = tree::root().join("target/peers").join(name);
    if path.exists() { Some(path) } else { missing(name) }
}

fn missing<T>(name: &str) -> Option<T> {
    assert!(
        std::env::var_os("CI").is_none(),
        "the peers are not installed ({name}); run tests/peers/install.sh"
    );
    eprintln!("not run: {name} is missing; run tests/peers/install.sh");
    None
}
