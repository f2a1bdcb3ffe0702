//! Where things are: the admin socket, the programs that ship beside this one, the runtimes' folder.
//!
//! It only looks; nothing is created or started here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// Where the packaged daemon listens for administrators.
pub const SYSTEM_ADMIN_SOCKET: &str = "/run/alyx/admin.sock";

/// What a running `alyx dev` writes beside its sockets once everything is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DevFile {
    pub url: String,
    pub admin_socket: PathBuf,
    pub admin_email: Option<String>,
    pub admin_password: Option<String>,
    pub daemon_pid: u32,
    pub supervisor_pid: u32,
}

/// The admin socket of the project around the working directory, else the system's.
pub fn admin_socket() -> PathBuf {
    let project = env::current_dir().ok().and_then(|here| project_socket(&here));
    project.unwrap_or_else(|| PathBuf::from(SYSTEM_ADMIN_SOCKET))
}

/// The socket named by the nearest `.alyx/run/dev.json` at or above `start`.
pub fn project_socket(start: &Path) -> Option<PathBuf> {
    start.ancestors().find_map(|folder| {
        let text = fs::read(folder.join(".alyx/run/dev.json")).ok()?;
        let file: DevFile = serde_json::from_slice(&text).ok()?;
        Some(file.admin_socket)
    })
}

/// The project around the working directory, if no `alyx dev` runs it.
pub fn stopped_project() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    let folder = here.ancestors().find(|folder| folder.join("schema.yaml").is_file())?;
    (!folder.join(".alyx/run/dev.json").exists()).then(|| folder.to_owned())
}

/// A program of ours: beside this executable, else on PATH, else where packages put it.
pub fn program(name: &str) -> Result<PathBuf, Failure> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
    let on_path = path_candidates(name).into_iter().next();
    let packaged = ["/usr/lib/alyx", "/usr/sbin"].map(|folder| Path::new(folder).join(name));
    beside.into_iter().chain(on_path).chain(packaged).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(format!("{name} is not installed")).hint(format!(
            "build it with `cargo build --workspace --bins`, or put {name} beside alyx or on PATH"
        ))
    })
}

/// Every file of that name on PATH, in order.
pub fn path_candidates(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// The folder that holds `node/`, `python/` and `go/`.
pub fn runtimes_dir() -> Result<PathBuf, Failure> {
    let valid = |folder: &Path| folder.join("node/main.js").is_file();
    if let Some(folder) = env::var_os("ALYX_RUNTIMES_DIR").map(PathBuf::from) {
        return match fs::canonicalize(&folder) {
            Ok(folder) if valid(&folder) => Ok(folder),
            _ => Err(Failure::new(format!("ALYX_RUNTIMES_DIR {} holds no node/main.js", folder.display()))),
        };
    }
    let exe = env::current_exe()
        .and_then(fs::canonicalize)
        .map_err(|error| Failure::new(format!("failed to find this program's own file: {error}")))?;
    let installed = exe.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/alyx/runtimes"));
    let checkout = exe.ancestors().map(|folder| folder.join("runtimes"));
    installed.into_iter().chain(checkout).find(|folder| valid(folder)).ok_or_else(|| {
        Failure::new("the runtimes' folder is not installed")
            .hint("set ALYX_RUNTIMES_DIR to the folder that holds node/main.js")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::project_socket;

    #[test]
    fn the_nearest_project_wins() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str| {
            let run = root.path().join(folder).join(".alyx/run");
            fs::create_dir_all(&run).unwrap();
            let text = format!(
                r#"{{"url":"http://x","admin_socket":"/{folder}.sock","admin_email":null,
                    "admin_password":null,"daemon_pid":1,"supervisor_pid":2}}"#
            );
            fs::write(run.join("dev.json"), text).unwrap();
        };
        write("outer");
        write("outer/inner");
        fs::create_dir_all(root.path().join("outer/inner/functions/hello")).unwrap();
        let check = |folder: &str, expected: Option<&str>| {
            let found = project_socket(&root.path().join(folder));
            assert_eq!(found.as_deref().and_then(|path| path.to_str()), expected);
        };
        check("outer/inner/functions/hello", Some("/outer/inner.sock"));
        check("outer", Some("/outer.sock"));
        check("", None);
    }
}
