//! What this host offers: the interpreters on PATH, their versions, and the folders they need.
//!
//! It runs an interpreter only to ask where it lives. Paths in the results are absolute and free of
//! symbolic links, so that nobody after us has to resolve a name.

mod version;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use version::Version;

use crate::locate;

/// One language we host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Node,
    Python,
    Go,
}

/// An interpreter or compiler that can be used.
#[derive(Clone, Debug)]
pub struct Found {
    pub executable: PathBuf,
    pub version: Version,
    /// Folders that the interpreter reads at run time, besides its executable.
    pub folders: Vec<PathBuf>,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::Node, Self::Python, Self::Go];

    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python3",
            Self::Go => "go",
        }
    }

    /// The oldest version that the shims work with.
    pub fn oldest(self) -> Version {
        match self {
            Self::Node => Version { major: 18, minor: 0 },
            Self::Python => Version { major: 3, minor: 9 },
            Self::Go => Version { major: 1, minor: 19 },
        }
    }

    /// Debian's package of it.
    fn package(self) -> &'static str {
        match self {
            Self::Node => "nodejs",
            Self::Python => "python3",
            Self::Go => "golang-go",
        }
    }

    pub fn hint(self) -> String {
        format!(
            "apt-get install {}, or put {} {} or newer on PATH",
            self.package(),
            self.program(),
            self.oldest()
        )
    }
}

/// The first usable one on PATH, else why there is none.
pub fn find(language: Language) -> Result<Found, String> {
    let candidates = locate::path_candidates(language.program());
    if candidates.is_empty() {
        return Err(format!("{} is not on PATH", language.program()));
    }
    let mut problem = String::new();
    for candidate in candidates {
        let found = match language {
            Language::Node => node(&candidate),
            Language::Python => python(&candidate),
            Language::Go => go(&candidate),
        };
        match found {
            Ok(found) if found.version >= language.oldest() => return Ok(found),
            Ok(found) => {
                problem = format!(
                    "{} is version {}, older than {}",
                    candidate.display(),
                    found.version,
                    language.oldest()
                );
            }
            Err(why) if problem.is_empty() => problem = why,
            Err(_) => {}
        }
    }
    Err(problem)
}

fn node(program: &Path) -> Result<Found, String> {
    let answer = ask(program, &["-p", "process.execPath + '\\n' + process.versions.node"])?;
    let [executable, version] = lines(program, &answer)?;
    let mut folders = library_folders();
    // Debian's Node loads parts of its own library from here.
    folders.extend(existing("/usr/share/nodejs"));
    found(executable, version, folders)
}

/// Where Python lives, asked without reading site packages or the user's environment.
const PYTHON_QUESTION: &str = "import sys, sysconfig
executable = getattr(sys, '_base_executable', None) or sys.executable
print(executable)
print('%d.%d' % sys.version_info[:2])
print(sysconfig.get_path('stdlib', vars={'installed_base': sys.base_prefix, 'base': sys.base_prefix}))
print(sysconfig.get_path('platstdlib', vars={'installed_platbase': sys.base_exec_prefix, \
     'platbase': sys.base_exec_prefix}))
print(sysconfig.get_config_var('LIBDIR') if sysconfig.get_config_var('Py_ENABLE_SHARED') else '')";

fn python(program: &Path) -> Result<Found, String> {
    let answer = ask(program, &["-I", "-S", "-c", PYTHON_QUESTION])?;
    let [executable, version, stdlib, platform, library] = lines(program, &answer)?;
    let mut folders = library_folders();
    folders.extend([stdlib, platform].into_iter().filter_map(existing));
    folders.extend(existing("/usr/share/zoneinfo"));
    // A shared libpython outside the loader's own folders is found by the executable's run path.
    folders.extend(existing(library));
    found(executable, version, folders)
}

fn go(program: &Path) -> Result<Found, String> {
    let answer = ask(program, &["env", "GOROOT", "GOVERSION"])?;
    let [root, version] = lines(program, &answer)?;
    let executable = Path::new(root).join("bin/go");
    let version = version.trim_start_matches("go");
    // The compiler never enters a sandbox's root by a bind: a function is its own binary.
    found(&executable.to_string_lossy(), version, Vec::new())
}

fn found(executable: &str, version: &str, folders: Vec<PathBuf>) -> Result<Found, String> {
    let executable =
        fs::canonicalize(executable).map_err(|error| format!("failed to resolve {executable}: {error}"))?;
    let version = version.parse().map_err(|()| format!("{version:?} is not a version"))?;
    Ok(Found { executable, version, folders: outermost(folders) })
}

/// Folders of the loader and the system's shared libraries, in Debian's and Fedora's layout.
fn library_folders() -> Vec<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [multiarch.as_str(), "/usr/lib64", "/lib64"].into_iter().filter_map(existing).collect()
}

fn existing(path: &str) -> Option<PathBuf> {
    fs::canonicalize(path).ok().filter(|path| path.is_dir())
}

/// The folders without those that lie in another of them.
fn outermost(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for folder in folders.into_iter().collect::<BTreeSet<_>>() {
        if !kept.iter().any(|outer| folder.starts_with(outer)) {
            kept.push(folder);
        }
    }
    kept
}

fn ask(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .env_remove("NODE_OPTIONS")
        .output()
        .map_err(|error| format!("failed to run {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} does not run: {}", program.display(), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} answered no text", program.display()))
}

fn lines<'a, const N: usize>(program: &Path, answer: &'a str) -> Result<[&'a str; N], String> {
    let lines: Vec<&str> = answer.strip_suffix('\n').unwrap_or(answer).split('\n').collect();
    lines.try_into().map_err(|_| format!("{} gave an unexpected answer", program.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::outermost;

    #[test]
    fn folders_inside_others_are_left_out() {
        let check = |folders: &[&str], expected: &[&str]| {
            let kept = outermost(folders.iter().map(PathBuf::from).collect());
            assert_eq!(kept, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        };
        check(&["/a/b", "/a", "/a/b/c"], &["/a"]);
        check(&["/a/b", "/a/bc", "/a/b"], &["/a/b", "/a/bc"]);
        check(&[], &[]);
    }
}
