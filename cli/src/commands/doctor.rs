//! `alyx doctor`: what this host offers and what it lacks, one line a check, each with its fix.
//!
//! Where a daemon answers, the layers are those that its supervisor has in force; else the
//! supervisor tries them here and now with the configuration that `alyx dev` would write.

use std::path::Path;
use std::process::{Command, Stdio};

use alyx_protocol::control::RuntimeEntry;
use alyx_protocol::isolation::{LayerReport, LayerState};
use serde::{Deserialize, Serialize};

use super::{cell, inbound, layer_name, rows, state_name};
use crate::args::Target;
use crate::client::{self, Client};
use crate::dev::config::{self, Folders};
use crate::exit::{Exit, Failure};
use crate::host::{self, Language};
use crate::locate;
use crate::print::{self, Output};

/// The answer of the daemon, and the supervisor's own.
#[derive(Deserialize)]
struct Isolation {
    layers: Vec<LayerReport>,
    #[serde(default)]
    runtimes: Vec<RuntimeEntry>,
}

#[derive(Serialize)]
struct Report {
    /// No check failed; lowered layers do not count.
    ok: bool,
    /// Where the layers come from: `daemon` or `probe`.
    source: &'static str,
    checks: Vec<Check>,
    layers: Vec<LayerReport>,
}

#[derive(Serialize)]
struct Check {
    name: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Something does less than it could; the rest works.
    Warning,
    Failed,
}

pub async fn run(target: &Target, output: Output) -> Result<Exit, Failure> {
    let mut checks = Vec::new();
    for language in Language::ALL {
        checks.push(runtime(language));
    }
    for name in ["alyxd", "alyx-supervisor"] {
        checks.push(program(name));
    }
    checks.push(data_folder());
    let (daemon, isolation) = daemon(target).await;
    checks.push(daemon);
    if isolation.is_some() {
        checks.extend(degraded(target).await);
        checks.extend(project_problems(target).await);
    }
    let (source, isolation) = match isolation {
        Some(isolation) => ("daemon", Ok(isolation)),
        None => ("probe", probe()),
    };
    let layers = match isolation {
        Ok(isolation) => {
            checks.extend(isolation.runtimes.iter().filter_map(runtime_problem));
            isolation.layers
        }
        Err(failure) => {
            checks.push(Check {
                name: "sandbox".to_owned(),
                state: State::Failed,
                detail: failure.message,
                hint: failure.hint,
            });
            Vec::new()
        }
    };
    let broken = checks.iter().any(|check| check.state == State::Failed)
        || layers.iter().any(|layer| layer.state == LayerState::Missing);
    let report = Report { ok: !broken, source, checks, layers };
    match output {
        Output::Json => print::json(&report)?,
        Output::Text => text(&report)?,
    }
    if broken { Err(Failure::silent(Exit::Failed)) } else { Ok(Exit::Ok) }
}

fn check(name: &str, state: State, detail: impl Into<String>, hint: Option<String>) -> Check {
    Check { name: name.to_owned(), state, detail: detail.into(), hint }
}

fn runtime(language: Language) -> Check {
    match host::find(language) {
        Ok(found) => {
            let detail = format!("version {} at {}", found.version, found.executable.display());
            check(language.name(), State::Ok, detail, None)
        }
        Err(why) => check(language.name(), State::Warning, why, Some(language.hint())),
    }
}

fn runtime_problem(entry: &RuntimeEntry) -> Option<Check> {
    let detail = format!("cannot be spawned: {}", entry.problem.as_ref()?);
    Some(check(entry.name.as_str(), State::Warning, detail, None))
}

fn program(name: &str) -> Check {
    match locate::program(name) {
        Ok(path) => check(name, State::Ok, path.display().to_string(), None),
        Err(failure) => check(name, State::Failed, failure.message, failure.hint),
    }
}

/// Only in a project: whether its data folder, or the project if there is none yet, can be written.
fn data_folder() -> Check {
    let (data, project) = (Path::new(".alyx"), Path::new("."));
    if !data.exists() && !Path::new("schema.yaml").exists() {
        return check("data", State::Ok, "no project in this folder", None);
    }
    let folder = if data.exists() { data } else { project };
    match nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK) {
        Ok(()) => check("data", State::Ok, format!("{} can be written", folder.display()), None),
        Err(error) => {
            let hint = "run alyx as the owner of the folder".to_owned();
            check(
                "data",
                State::Failed,
                format!("{} cannot be written: {error}", folder.display()),
                Some(hint),
            )
        }
    }
}

async fn daemon(target: &Target) -> (Check, Option<Isolation>) {
    let socket = client::socket_of(target);
    if target.url.is_none() && !socket.exists() {
        let detail = format!("none is running at {}", socket.display());
        return (check("daemon", State::Ok, detail, None), None);
    }
    let answer = match Client::new(target) {
        Ok(client) => client.get("/api/admin/isolation").await,
        Err(failure) => Err(failure),
    };
    let isolation = answer.and_then(|value| {
        serde_json::from_value::<Isolation>(value)
            .map_err(|error| Failure::new(format!("the daemon's report is not understood: {error}")))
    });
    match isolation {
        Ok(isolation) => (check("daemon", State::Ok, "answers", None), Some(isolation)),
        Err(failure) => (check("daemon", State::Warning, failure.message, failure.hint), None),
    }
}

/// Components of the daemon that do not work as they should.
async fn degraded(target: &Target) -> Vec<Check> {
    let answer = match Client::new(target) {
        Ok(client) => client.get("/health").await,
        Err(failure) => Err(failure),
    };
    let health = match answer {
        Ok(health) => health,
        Err(failure) => return vec![check("health", State::Warning, failure.message, failure.hint)],
    };
    let components = health["components"].as_object().into_iter().flatten();
    let of_one = |(name, component): (&String, &serde_json::Value)| {
        let state = match component["state"].as_str()? {
            "ok" => return None,
            "down" => State::Failed,
            _ => State::Warning,
        };
        Some(check(name, state, cell(component, "reason"), None))
    };
    components.filter_map(of_one).collect()
}

/// Hooks, webhooks and inbound paths that cannot do their work.
async fn project_problems(target: &Target) -> Vec<Check> {
    let mut checks = Vec::new();
    for (kind, path, name) in
        [("hook", "/api/hooks", "id"), ("webhook", "/api/webhooks", "id"), ("inbound", inbound::PATH, "path")]
    {
        let answer = match Client::new(target) {
            Ok(client) => client.get(path).await,
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(answer) => checks.extend(rows(&answer).iter().filter_map(|row| {
                let problem = row["problem"].as_str()?;
                let detail = format!("{}: {problem}", cell(row, name));
                Some(check(kind, State::Warning, detail, hint_about(problem)))
            })),
            Err(failure) => checks.push(check(kind, State::Warning, failure.message, failure.hint)),
        }
    }
    checks
}

/// What to do about a secret that is missing or of the wrong form.
fn hint_about(problem: &str) -> Option<String> {
    let name = problem.strip_prefix("the secret ")?.split(' ').next()?;
    Some(format!("alyx secrets set {name}"))
}

/// Lets the supervisor try every layer here, in a folder that is removed again.
fn probe() -> Result<Isolation, Failure> {
    let root = std::env::temp_dir().join(format!("alyx-doctor-{}", std::process::id()));
    let failed = |error: std::io::Error| Failure::new(format!("failed to use {}: {error}", root.display()));
    std::fs::create_dir(&root).map_err(failed)?;
    let result = probe_in(&root);
    let removed = std::fs::remove_dir_all(&root).map_err(failed);
    result.and_then(|isolation| removed.map(|()| isolation))
}

fn probe_in(root: &Path) -> Result<Isolation, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("failed to use {}: {error}", root.display()));
    let bundles_dir = root.join("bundles");
    std::fs::create_dir(&bundles_dir).map_err(failed)?;
    let folders = Folders { socket: root.join("control.sock"), bundles_dir, work_dir: root.join("root") };
    let (config, _missing) = config::build(folders, &locate::runtimes_dir()?)?;
    let file = root.join("supervisor.json");
    let text = serde_json::to_vec(&config)
        .map_err(|error| Failure::new(format!("failed to write the configuration: {error}")))?;
    std::fs::write(&file, text).map_err(failed)?;
    let output = Command::new(locate::program("alyx-supervisor")?)
        .arg("probe")
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .map_err(failed)?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Failure::new(format!("alyx-supervisor probe failed: {last}"))
    })
}

fn text(report: &Report) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for check in &report.checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        };
        lines.push((state.to_owned(), check.name.clone(), check.detail.clone(), check.hint.clone()));
    }
    for layer in &report.layers {
        let state = match layer.state {
            LayerState::Active => "ok".to_owned(),
            other => state_name(other),
        };
        lines.push((state, layer_name(layer.layer), layer.detail.clone(), layer.hint.clone()));
    }
    for (state, name, detail, hint) in lines {
        let hint = hint.map(|hint| format!(" (fix: {hint})")).unwrap_or_default();
        print::line(&print::plain(&format!("{state:<8}  {name:<17}  {detail}{hint}")))?;
    }
    Ok(())
}
