//! Building Go functions: a directory with `Handler` becomes a static binary `worker`.
//!
//! The result is kept by what it was made of (sources, shim, compiler), so equal sources build once.
//! The build reaches no network, reads no settings of the user who runs the daemon, and runs nothing
//! that the project brings: no cgo, no generators, no version control. It is not sandboxed; `build`
//! of [`crate::process`] bounds its memory, time and files, and ends it with the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use alyx_protocol::ids::Digest;
use alyx_protocol::worker::cut;
use aws_lc_rs::digest::{SHA256, digest as sha256};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::bundle::{self, BundleError};
use super::limits::{BUILD_OUTPUT_MAX_BYTES, BUILD_TIMEOUT};
use crate::clock::{hex, random_hex};
use crate::process;

/// Where Go is, if it is not in the path.
const USUAL_PLACES: &[&str] = &["/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/usr/bin/go"];

/// Why there is no binary.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No compiler on this host.
    #[error("the Go compiler was not found")]
    NoCompiler,
    /// We do not know where our own Go module is.
    #[error("the directory of the runtimes has no go module (looked in {path})", path = .0.display())]
    NoShim(PathBuf),
    /// The compiler said no.
    #[error("{0}")]
    Compiler(String),
    /// It took too long.
    #[error("the build took more than {seconds} s", seconds = BUILD_TIMEOUT.as_secs())]
    Timeout,
    /// The sources cannot be copied.
    #[error("{text}", text = crate::problem::error_chain(.0))]
    Source(BundleError),
    /// The file system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl BuildError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Compiler(text) => compiler_hint(text),
            Self::NoCompiler => Some("Install Go 1.19 or newer, or put `go` into the PATH of alyxd."),
            Self::NoShim(_) => Some("Set functions.runtimes to the directory with the runtimes' files."),
            _ => None,
        }
    }
}

/// What usually is behind a message of the compiler that speaks of our `main.go` or of no network.
fn compiler_hint(text: &str) -> Option<&'static str> {
    const HANDLER: &str = "Export `func Handler(ctx *alyx.Context) (any, error)`.";
    const HINTS: [(&str, &str); 6] = [
        ("is a program, not an importable package", "Give the package any name but `main`."),
        ("undefined: function.Handler", HANDLER),
        ("cannot use function.Handler", HANDLER),
        ("package alyx.local/worker/function:", "Put a .go file into the function's directory."),
        ("cannot find module providing package", NO_MODULES),
        ("no required module provides package", NO_MODULES),
    ];
    HINTS.iter().find(|(part, _)| text.contains(part)).map(|(_, hint)| *hint)
}

const NO_MODULES: &str = "Use the standard library and alyx.dev/alyx; other modules are not fetched.";

/// Builds a function and gives the directory that holds `worker` and nothing else.
pub async fn build(source: &Path, runtimes: &Path, cache: &Path) -> Result<PathBuf, BuildError> {
    let shim = runtimes.join("go");
    if !shim.join("go.mod").is_file() {
        return Err(BuildError::NoShim(shim));
    }
    let compiler = find_compiler().ok_or(BuildError::NoCompiler)?;
    let version = go(&compiler, cache, cache.parent().unwrap_or(cache), &["version"]).await?;
    let work = cache.join("go").join(format!(".new-{}", random_hex::<8>()));
    fs::create_dir_all(&work).map_err(io("create the build directory"))?;
    let finished = async {
        // What is built is what was digested: sources may change at any moment, the copy does not.
        let copied = copy_tree(source, &work.join("function")).await?;
        let shim_digest = {
            let shim = shim.clone();
            blocking(move || bundle::digest(&shim)).await?
        };
        let key = format!("{copied} {shim_digest} {version}");
        let built = cache.join("go").join(hex(sha256(&SHA256, key.as_bytes()).as_ref()));
        if built.join("worker").is_file() {
            return Ok(built);
        }
        let output = make(&compiler, cache, &shim, &work).await?;
        match fs::rename(&output, &built) {
            Err(_) if built.join("worker").is_file() => Ok(built),
            renamed => renamed.map(|()| built).map_err(io("keep the binary")),
        }
    }
    .await;
    if let Err(error) = fs::remove_dir_all(&work) {
        tracing::warn!("failed to remove {}: {error}", work.display());
    }
    finished
}

/// Removes what builds left that were killed with the daemon.
pub fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache.join("go")) else { return };
    let unfinished = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".new-");
    for entry in entries.flatten().filter(unfinished) {
        if let Err(error) = bundle::remove(&entry.path()) {
            tracing::warn!("{}", crate::problem::error_chain(&error));
        }
    }
}

/// Builds the copy of the sources in `work`.
async fn make(compiler: &Path, cache: &Path, shim: &Path, work: &Path) -> Result<PathBuf, BuildError> {
    let function = work.join("function");
    let output = work.join("out");
    fs::create_dir(&output).map_err(io("create the build directory"))?;
    let module = fs::read_to_string(function.join("go.mod")).ok().and_then(|text| module_of(&text));
    let (package, extra) = match module {
        Some(module) => {
            let extra = format!("require {module} v0.0.0\nreplace {module} => ./function\n");
            (module, extra)
        }
        None => ("alyx.local/worker/function".to_owned(), String::new()),
    };
    let manifest = format!(
        "module alyx.local/worker\n\ngo 1.19\n\nrequire alyx.dev/alyx v0.0.0\nreplace alyx.dev/alyx => {}\n{extra}",
        quoted(&shim.display().to_string()),
    );
    let main = format!(
        "package main\n\nimport (\n\t\"alyx.dev/alyx\"\n\n\tfunction {package:?}\n)\n\nfunc main() {{ alyx.Serve(function.Handler) }}\n"
    );
    fs::write(work.join("go.mod"), manifest).map_err(io("write go.mod"))?;
    fs::write(work.join("main.go"), main).map_err(io("write main.go"))?;
    let binary = output.join("worker").display().to_string();
    // The programs that `go` starts are to end with it, as it does with us.
    let ourselves = std::env::current_exe().map_err(io("find this program"))?;
    let tools = format!("-toolexec={} build", quoted(&ourselves.display().to_string()));
    let arguments =
        ["build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", &tools, "-o", &binary, "."];
    go(compiler, cache, work, &arguments).await?;
    Ok(output)
}

/// Runs the compiler with an environment of its own.
async fn go(compiler: &Path, cache: &Path, at: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    fs::create_dir_all(cache).map_err(io("create the cache"))?;
    let mut command = process::build_command(compiler).map_err(io("find this program"))?;
    command.args(arguments).current_dir(at).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", cache).env("GOPATH", cache.join("go-path"));
    command.env("GOCACHE", cache.join("go-build")).env("GOENV", "off").env("GOPROXY", "off");
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.env("GOTELEMETRY", "off").env("GONOSUMDB", "*").env("GOFLAGS", "-mod=mod");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(io("run the Go compiler"))?;
    let _group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let running = async { tokio::try_join!(child.wait(), keep_some(stdout), keep_some(stderr)) };
    let (status, stdout, stderr) = match tokio::time::timeout(BUILD_TIMEOUT, running).await {
        Ok(ended) => ended.map_err(io("run the Go compiler"))?,
        Err(_) => return Err(BuildError::Timeout),
    };
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&stderr);
    let text = if text.trim().is_empty() { format!("the build ended with {status}").into() } else { text };
    Err(BuildError::Compiler(cut(text.trim(), BUILD_OUTPUT_MAX_BYTES).into_owned()))
}

/// The process group of a build. When this goes, what is left of the group does, too: the compiler
/// starts programs of its own.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0.and_then(|id| i32::try_from(id).ok()) else { return };
        match killpg(Pid::from_raw(leader), Signal::SIGKILL) {
            // Usually nothing is left.
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(error) => tracing::warn!("failed to end what is left of a build: {error}"),
        }
    }
}

/// The beginning of what a program writes; the rest is read and dropped.
async fn keep_some(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let Some(pipe) = pipe else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    let mut start = pipe.take(BUILD_OUTPUT_MAX_BYTES as u64);
    start.read_to_end(&mut kept).await?;
    tokio::io::copy(&mut start.into_inner(), &mut tokio::io::sink()).await?;
    Ok(kept)
}

fn find_compiler() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|directory| directory.join("go"));
    candidates.chain(USUAL_PLACES.iter().map(PathBuf::from)).find(|candidate| candidate.is_file())
}

/// Copies by way of a bundle, which refuses what must not be there.
async fn copy_tree(source: &Path, target: &Path) -> Result<Digest, BuildError> {
    let (source, target) = (source.to_owned(), target.to_owned());
    blocking(move || bundle::copy_writable(&source, &target)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BundleError> + Send + 'static,
) -> Result<T, BuildError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| BuildError::Io { doing: "copy the sources", source: error.into() })?;
    done.map_err(BuildError::Source)
}

/// The path in the `module` line of a `go.mod`.
fn module_of(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("module "))?;
    let path = line.split("//").next()?.trim().trim_matches('"');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    (!path.is_empty() && path.bytes().all(legal)).then(|| path.to_owned())
}

fn quoted(path: &str) -> String {
    format!("{path:?}")
}

fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> BuildError {
    move |source| BuildError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use super::module_of;

    #[test]
    fn module_lines() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(module_of(text).as_deref(), expected);
        check("module example.com/hello\n\ngo 1.19\n", Some("example.com/hello"));
        check("// top\nmodule \"example.com/hello\" // note\n", Some("example.com/hello"));
        check("module a\"; import \"os\n", None);
        check("go 1.19\n", None);
    }
}
