//! Files of one `alyx dev`: where they lie, the lock that makes it the only one, and their removal.
//!
//! Everything that only a running instance needs is in `<data>/run`; what must survive is beside it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use crate::args::Dev;
use crate::exit::Failure;

/// A unix socket's path has room for 107 bytes and a terminator; this leaves some for a suffix.
/// Source: unix(7).
const SOCKET_PATH_MAX_BYTES: usize = 100;

/// Files in `run/` that a finished or killed instance may have left.
const TRANSIENT: [&str; 4] = ["control.sock", "admin.sock", "dev.json", "supervisor.json"];

/// Held while an instance runs; never removed by us.
const LOCK: &str = "dev.lock";

/// How often we look whether the data is still there.
const REMOVED_CHECK: Duration = Duration::from_secs(1);

/// The folders, and the lock that is held as long as this value lives.
pub struct Layout {
    pub project: PathBuf,
    pub data: PathBuf,
    _lock: Flock<fs::File>,
}

impl Layout {
    /// Makes the folders, takes the lock, removes what a killed instance left.
    pub fn prepare(args: &Dev) -> Result<Self, Failure> {
        let project = fs::canonicalize(&args.dir)
            .map_err(|error| Failure::new(format!("failed to open {}: {error}", args.dir.display())))?;
        if !project.join("schema.yaml").is_file() {
            return Err(Failure::new(format!("{} holds no schema.yaml", project.display()))
                .hint("write a new project with `alyx init DIR`, or name the project's folder"));
        }
        let data = args.data.clone().unwrap_or_else(|| project.join(".alyx"));
        make_dir(&data, 0o755)?;
        let data = fs::canonicalize(&data)
            .map_err(|error| Failure::new(format!("failed to open {}: {error}", data.display())))?;
        for (name, mode) in [("run", 0o755), ("bundles", 0o755), ("cache", 0o700)] {
            make_dir(&data.join(name), mode)?;
        }
        let lock = lock(&data)?;
        let layout = Self { project, data, _lock: lock };
        layout.check_socket_paths()?;
        layout.clean();
        Ok(layout)
    }

    pub fn run_file(&self, name: &str) -> PathBuf {
        self.data.join("run").join(name)
    }

    pub fn control_socket(&self) -> PathBuf {
        self.run_file("control.sock")
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.run_file("admin.sock")
    }

    pub fn supervisor_config(&self) -> PathBuf {
        self.run_file("supervisor.json")
    }

    /// Writes a file in `run/` that only its owner reads, in one step.
    pub fn write_private(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let path = self.run_file(name);
        let fresh = self.run_file(&format!("{name}.new"));
        let write = || -> io::Result<()> {
            let text = serde_json::to_vec_pretty(value)?;
            remove(&fresh)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(&text)?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|error| Failure::new(format!("failed to write {}: {error}", path.display())))
    }

    pub fn remove_control_socket(&self) {
        // A socket that cannot be removed makes the supervisor's bind fail, which says why.
        drop(remove(&self.control_socket()));
    }

    /// Waits until somebody removes the data from under us.
    pub async fn removed(&self) {
        let lock = self.run_file(LOCK);
        while lock.exists() {
            tokio::time::sleep(REMOVED_CHECK).await;
        }
    }

    /// Removes what only a running instance needs.
    pub fn clean(&self) {
        for name in TRANSIENT {
            // The next start finds and removes what is left; the lock decides, not these files.
            drop(remove(&self.run_file(name)));
        }
        // An empty folder goes; the supervisor's mount point is never removed with content.
        drop(fs::remove_dir(self.run_file("root")));
    }

    fn check_socket_paths(&self) -> Result<(), Failure> {
        for socket in [self.control_socket(), self.admin_socket()] {
            if socket.as_os_str().len() > SOCKET_PATH_MAX_BYTES {
                return Err(Failure::new(format!(
                    "the socket path {} is longer than {SOCKET_PATH_MAX_BYTES} bytes",
                    socket.display()
                ))
                .hint("choose a shorter folder with --data, such as /tmp/alyx"));
            }
        }
        Ok(())
    }
}

fn lock(data: &Path) -> Result<Flock<fs::File>, Failure> {
    let path = data.join("run").join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Failure::new(format!("failed to open {}: {error}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
        if error == nix::errno::Errno::EWOULDBLOCK {
            Failure::new(format!("another `alyx dev` is using {}", data.display()))
                .hint("stop it, or choose another folder with --data")
        } else {
            Failure::new(format!("failed to lock {}: {error}", path.display()))
        }
    })
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| Failure::new(format!("failed to create {}: {error}", path.display())))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::Layout;
    use crate::args::Dev;

    fn prepare(dir: &Path) -> Result<Layout, String> {
        let listen = "127.0.0.1:0".parse().unwrap();
        let args = Dev { dir: dir.to_owned(), listen, data: None, no_watch: false };
        Layout::prepare(&args).map_err(|failure| failure.message)
    }

    #[test]
    fn only_one_instance_uses_a_folder() {
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join("schema.yaml"), "").unwrap();
        let first = prepare(project.path()).unwrap();
        let refused = prepare(project.path()).err().unwrap();
        assert!(refused.contains("another `alyx dev`"), "{refused}");
        drop(first);
        prepare(project.path()).unwrap();
    }

    #[test]
    fn files_of_a_killed_instance_are_removed() {
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join("schema.yaml"), "").unwrap();
        let run = project.path().join(".alyx/run");
        fs::create_dir_all(&run).unwrap();
        for name in ["dev.json", "admin.sock", "control.sock"] {
            fs::write(run.join(name), "stale").unwrap();
        }
        let layout = prepare(project.path()).unwrap();
        assert!(!layout.admin_socket().exists() && !layout.run_file("dev.json").exists());
    }

    #[test]
    fn a_folder_without_a_schema_is_refused() {
        let project = tempfile::tempdir().unwrap();
        assert!(prepare(project.path()).err().unwrap().contains("schema.yaml"));
        assert!(!project.path().join(".alyx").exists());
    }
}
