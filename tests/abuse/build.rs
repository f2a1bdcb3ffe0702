//! Sources, builds and declarations that mean harm: numbers 97 to 102.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alyx_tests::leftovers::Process;
use alyx_tests::{Cli, Project, TestServer, wait_until};
use serde_json::json;

use crate::{PATIENCE, call, code_of, inside, server, works_again};

/// A Go function that answers a text.
fn answers(import: &str, text: &str) -> String {
    format!(
        "package probe\n\nimport (\n\t\"alyx.dev/alyx\"\n{import})\n\nfunc Handler(ctx *alyx.Context) (any, error) {{ return {text}, nil }}\n"
    )
}

#[tokio::test]
async fn a098_a_go_build_reads_no_file_outside_of_its_function() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "package secret\n\nconst Text = \"leaked\"\n").unwrap();
    let outside = secret.path().parent().unwrap().display();
    let module = |rest: &str| format!("module example.org/probe\n\ngo 1.19\n{rest}");
    let embed = |path: &str| {
        format!(
            "package probe\n\nimport (\n\t_ \"embed\"\n\n\t\"alyx.dev/alyx\"\n)\n\n//go:embed {path}\nvar text string\n\nfunc Handler(ctx *alyx.Context) (any, error) {{ return text, nil }}\n"
        )
    };
    let plain = answers("", "\"built\"");
    let cases: [(&str, String, String); 8] = [
        ("embed upwards", module(""), embed("../../../../../../../../etc/passwd")),
        ("embed absolute", module(""), embed("/etc/passwd")),
        (
            "replace",
            module(&format!("require example.org/x v0.0.0\nreplace example.org/x => {outside}\n")),
            answers("\t\"example.org/x\"\n", "x.Text"),
        ),
        (
            "fetch",
            module("require github.com/pkg/errors v0.9.1\n"),
            answers("\t\"github.com/pkg/errors\"\n", "errors.New(\"x\")"),
        ),
        ("toolchain", module("").replace("go 1.19", "go 1.99\n\ntoolchain go1.99.9"), plain.clone()),
        ("cgo", module(""), answers("\t\"C\"\n", "1")),
        ("shim's name", "module alyx.dev/alyx\n\ngo 1.19\n".to_owned(), plain.clone()),
        ("path as name", "module ../../x\n\ngo 1.19\n".to_owned(), plain.clone()),
    ];
    let server = server().await;
    for (name, go_mod, code) in cases {
        server.project.write("functions/probe-go/go.mod", &go_mod);
        server.project.write("functions/probe-go/probe.go", &code);
        let answer = call(&server, "probe-go", "a001", &json!({})).await;
        assert_eq!(code_of(&answer), "function_build_failed", "{name}: {answer}");
        assert!(!answer.text().contains("root:") && !answer.text().contains("leaked"), "{name}: {answer}");
    }
    // The positive control: what the cases have in common builds.
    server.project.write("functions/probe-go/go.mod", &module(""));
    server.project.write("functions/probe-go/probe.go", &plain);
    assert_eq!(call(&server, "probe-go", "a001", &json!({})).await.expect_ok(), "built");
    server.stop().await;
}

#[tokio::test]
async fn a098_a_go_build_runs_nothing_of_the_project() {
    let project = Project::fixture("abuse");
    let folder = project.root().to_owned();
    let witness = tempfile::tempdir().unwrap();
    let script = folder.join("run-me");
    let touched = witness.path().join("touched");
    fs::write(&script, format!("#!/bin/sh\ntouch {}\nexit 1\n", touched.display())).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let ended = Command::new(program).args(arguments).current_dir(&folder).output().unwrap();
        assert!(ended.status.success(), "{program} {arguments:?}: {ended:?}");
    };
    run("chmod", &["+x", "run-me"]);
    run("git", &["init", "-q", "."]);
    let script = script.display().to_string();
    for (key, value) in
        [("core.fsmonitor", script.as_str()), ("user.email", "a@example.org"), ("user.name", "a")]
    {
        run("git", &["config", key, value]);
    }
    run("git", &["commit", "-q", "--allow-empty", "-m", "x"]);
    run("git", &["status"]);
    assert!(touched.exists(), "git itself runs what its configuration names");
    fs::remove_file(&touched).unwrap();
    let go_file = project.folder().join("functions/probe-go/probe.go");
    let code = fs::read_to_string(&go_file).unwrap();
    fs::write(go_file, format!("{code}\n//go:generate {script}\n")).unwrap();
    let server = TestServer::start(project).await;
    call(&server, "probe-go", "a001", &json!({})).await.expect_ok();
    assert!(!touched.exists(), "the build ran a program of the project");
    server.stop().await;
}

#[tokio::test]
async fn a098_a_build_ends_with_its_daemon() {
    // Takes the compiler long: many large functions of their own.
    let mut code = answers("", "1");
    for number in 0..1_500 {
        code.push_str(&format!("func f{number}(m map[string]any) {{\n"));
        (0..150)
            .for_each(|line| code.push_str(&format!("\tm[\"{line}\"] = []any{{m, {line}, \"{number}\"}}\n")));
        code.push_str("}\n");
    }
    let project = Project::fixture("abuse").with("functions/probe-go/probe.go", &code);
    let server = TestServer::start(project).await;
    let cache = server.project.data().join("cache/go");
    let unfinished = || {
        let entries = fs::read_dir(&cache).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".new-")).count()
    };
    // The compiler is a program of its own that `go` starts, and has to go with it.
    let mut build = Vec::new();
    wait_until("the build to be under way", PATIENCE, || {
        build = server.processes().into_iter().collect::<Vec<_>>();
        build.retain(|process| ["go", "compile"].contains(&process.command.as_str()));
        unfinished() > 0 && build.iter().any(|process| process.command == "compile")
    })
    .await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.daemon().pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    wait_until("the build to end", PATIENCE, || !build.iter().any(Process::is_alive)).await;
    let project = server.wait_for_end().await;
    fs::write(project.folder().join("functions/probe-go/probe.go"), answers("", "1")).unwrap();
    let server = TestServer::start(project).await;
    call(&server, "probe-go", "a001", &json!({})).await.expect_ok();
    wait_until("the next start to have removed what was left", PATIENCE, || unfinished() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a098_code_that_changes_while_it_is_sealed_leads_nowhere() {
    let server = server().await;
    let folder = server.project.folder().join("functions/probe");
    fs::create_dir_all(folder.join("data")).unwrap();
    for number in 0..200 {
        fs::write(folder.join(format!("data/passwd{number}")), "own").unwrap();
    }
    fs::write(folder.join("data/passwd"), "own").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // A directory that is by turns itself and a link to the host's.
    let swapping = {
        let (stop, real, away) = (Arc::clone(&stop), folder.join("data"), folder.join("away"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&real, &away).unwrap();
                std::os::unix::fs::symlink("/etc", &real).unwrap();
                std::thread::yield_now();
                fs::remove_file(&real).unwrap();
                fs::rename(&away, &real).unwrap();
            }
        })
    };
    for _ in 0..40 {
        call(&server, "probe", "a001", &json!({})).await;
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    works_again(&server, "probe").await;
    for bundle in fs::read_dir(server.project.data().join("bundles")).unwrap().flatten() {
        for place in ["data/passwd", "away/passwd"] {
            let text = fs::read_to_string(bundle.path().join(place)).unwrap_or_default();
            assert!(text.is_empty() || text == "own", "a bundle holds {text:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a101_declarations_that_mean_harm_are_refused() {
    let project = Project::fixture("abuse");
    let schema = fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
    let anchors = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        text
    };
    let function = |name: &str, more: &str| {
        format!("{schema}  {name}:\n    runtime: python\n{more}    rules: {{ invoke: \"true\" }}\n")
    };
    let cases = [
        ("entrypoint upwards", function("x", "    entrypoint: ../../../etc/passwd\n")),
        ("entrypoint absolute", function("x", "    entrypoint: /etc/passwd\n")),
        ("name with a path", function("../x", "")),
        ("name with a newline", function("\"x\\ny\"", "")),
        ("name of dots", function("\"..\"", "")),
        ("timeout without end", function("x", "    timeout: 999999h\n")),
        ("memory of minus one", function("x", "    limits: { memory: -1 }\n")),
        ("no limit of processes", function("x", "    limits: { processes: 0 }\n")),
        ("newline in a variable", function("x", "    env: { \"A\\nLD_PRELOAD\": \"/x\" }\n")),
        ("anchors without end", format!("{anchors}{schema}")),
        ("ten megabytes", format!("{schema}# {}\n", "x".repeat(10 << 20))),
        ("depth", format!("{schema}x: {}\n", "[".repeat(100_000))),
    ];
    for (name, text) in cases {
        project.write("schema.yaml", &text);
        let begun = Instant::now();
        let said = Cli::in_folder(&project.folder()).run(&["schema", "check"]).await;
        assert_eq!(said.code, 1, "{name} is accepted or crashes: {said:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{name} takes {:?}", begun.elapsed());
    }
    project.write("schema.yaml", &schema);
    Cli::in_folder(&project.folder()).run(&["schema", "check"]).await.expect_ok();
}

#[tokio::test]
async fn a102_new_code_arrives_between_invocations_and_never_within_one() {
    let server = server().await;
    let code = |version: u32| {
        format!(
            "A = {version}\nimport time\ndef handler(ctx):\n    time.sleep(0.02)\n    return [A, {version}]\n"
        )
    };
    server.project.write("functions/probe/main.py", &code(0));
    let nothing = json!({});
    for version in 1..15 {
        let calls = (0..6).map(|_| call(&server, "probe", "", &nothing));
        let running = futures_util::future::join_all(calls);
        server.project.write("functions/probe/main.py", &code(version));
        for answer in running.await {
            let pair = answer.expect_ok();
            assert_eq!(pair[0], pair[1], "two versions in one answer");
        }
        assert_eq!(inside(&server, "probe", "", &json!({})).await, json!([version, version]));
    }
    let bundles = || fs::read_dir(server.project.data().join("bundles")).unwrap().flatten().count();
    assert!(bundles() <= 20, "{} bundles", bundles());
    server.stop().await;
}
