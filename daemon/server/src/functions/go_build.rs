//! Building Go functions: a directory with `Handler` becomes a static binary `worker`.
//!
//! The result is kept by what it was made of (sources, shim, compiler), so equal sources build once.
//! The build reaches no network and reads no settings of the user who runs the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use alyx_protocol::worker::cut;
use aws_lc_rs::digest::{SHA256, digest as sha256};
use tokio::process::Command;

use super::bundle::{self, BundleError};
use super::limits::{BUILD_OUTPUT_MAX_BYTES, BUILD_TIMEOUT};
use crate::clock::{hex, random_hex};

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
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCompiler => Some("Install Go 1.19 or newer, or put `go` into the PATH of alyxd."),
            Self::NoShim(_) => Some("Set functions.runtimes to the directory with the runtimes' files."),
            _ => None,
        }
    }
}

/// Builds a function and gives the directory that holds `worker` and nothing else.
pub async fn build(source: &Path, runtimes: &Path, cache: &Path) -> Result<PathBuf, BuildError> {
    let shim = runtimes.join("go");
    if !shim.join("go.mod").is_file() {
        return Err(BuildError::NoShim(shim));
    }
    let compiler = find_compiler().ok_or(BuildError::NoCompiler)?;
    let version = go(&compiler, cache, cache.parent().unwrap_or(cache), &["version"]).await?;
    let (source, shim) = (source.to_owned(), shim);
    let key = {
        let (source, shim) = (source.clone(), shim.clone());
        blocking(move || Ok((bundle::digest(&source)?, bundle::digest(&shim)?))).await?
    };
    let name = hex(sha256(&SHA256, format!("{} {} {version}", key.0, key.1).as_bytes()).as_ref());
    let built = cache.join("go").join(name);
    if built.join("worker").is_file() {
        return Ok(built);
    }
    let work = cache.join("go").join(format!(".new-{}", random_hex::<8>()));
    let made = make(&compiler, cache, &source, &shim, &work).await;
    let finished = made.and_then(|output| match fs::rename(&output, &built) {
        Err(_) if built.join("worker").is_file() => Ok(built),
        renamed => renamed.map(|()| built).map_err(io("keep the binary")),
    });
    if let Err(error) = fs::remove_dir_all(&work) {
        tracing::warn!("failed to remove {}: {error}", work.display());
    }
    finished
}

async fn make(
    compiler: &Path,
    cache: &Path,
    source: &Path,
    shim: &Path,
    work: &Path,
) -> Result<PathBuf, BuildError> {
    let function = work.join("function");
    fs::create_dir_all(work).map_err(io("create the build directory"))?;
    copy_tree(source, &function).await?;
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
    let arguments = ["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", &binary, "."];
    go(compiler, cache, work, &arguments).await?;
    Ok(output)
}

/// Runs the compiler with an environment of its own.
async fn go(compiler: &Path, cache: &Path, at: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    fs::create_dir_all(cache).map_err(io("create the cache"))?;
    let mut command = Command::new(compiler);
    command.args(arguments).current_dir(at).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", cache).env("GOPATH", cache.join("go-path"));
    command.env("GOCACHE", cache.join("go-build")).env("GOENV", "off").env("GOPROXY", "off");
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
    command.env("GOTELEMETRY", "off").env("GONOSUMDB", "*").env("GOFLAGS", "-mod=mod");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let running = command.output();
    let output = match tokio::time::timeout(BUILD_TIMEOUT, running).await {
        Ok(output) => output.map_err(io("run the Go compiler"))?,
        Err(_) => return Err(BuildError::Timeout),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(BuildError::Compiler(cut(text.trim(), BUILD_OUTPUT_MAX_BYTES).into_owned()))
}

fn find_compiler() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|directory| directory.join("go"));
    candidates.chain(USUAL_PLACES.iter().map(PathBuf::from)).find(|candidate| candidate.is_file())
}

/// Copies by way of a bundle, which refuses what must not be there.
async fn copy_tree(source: &Path, target: &Path) -> Result<(), BuildError> {
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
