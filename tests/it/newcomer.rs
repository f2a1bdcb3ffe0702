//! What beginners get wrong, and whether they are told what is wrong, where, and what to do.

use std::time::Duration;

use alyx_tests::wait::wait_until;
use alyx_tests::{Cli, Project, TestServer};
use serde_json::json;

use crate::lab;

const SCHEMA: &str = "version: 1
collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      text: { type: string }
functions:
";

/// A project with functions, each of which anybody may call.
fn with_functions(functions: &[(&str, &str, &str, &str)]) -> Project {
    let mut schema = SCHEMA.to_owned();
    for (name, runtime, _, _) in functions {
        schema.push_str(&format!("  {name}: {{ runtime: {runtime}, rules: {{ invoke: \"true\" }} }}\n"));
    }
    functions.iter().fold(Project::schema(&schema), |project, (name, _, file, code)| {
        project.with(&format!("functions/{name}/{file}"), code)
    })
}

#[tokio::test]
async fn schema_mistakes_come_with_a_way_out() {
    let check = async |line: &str, expected: &str| {
        let project = Project::schema(&SCHEMA.replace("      text: { type: string }", line));
        let said = Cli::in_folder(&project.folder()).run(&["schema", "check"]).await;
        assert_eq!(said.code, i32::from(!expected.is_empty()), "{line}: {said:#?}");
        assert!(said.err.contains(expected), "{line}: {said:#?}");
        assert!(said.err.matches("is fine").count() <= 1, "{said:#?}");
    };
    check("      text: { type: string }", "").await;
    check("      n: { type: integer }", "did you mean \"int\"?").await;
    check("      n: { type: int, min: 3 }", "did you mean \"validate\"?").await;
    check("      n: { type: int, required: true }", "did you mean \"nullable\"?").await;
    check("      n: { type: relation, relation: { collection: note } }", "Accepted: notes, users\n").await;
    check("\tn: { type: int }", "indent with spaces").await;
    check("     n: { type: int }", "begin in the same column").await;
    check("    rules:\n      create: doc.text == 'a: b'", "into quotes").await;
}

#[tokio::test]
async fn code_that_does_not_load_is_shown_with_its_place_or_a_hint() {
    let project = with_functions(&[
        ("module", "node", "index.js", "import 'fs';\nexport default () => { return { a: 1 ; };\n"),
        ("common", "node", "index.js", "\nmodule.exports = () => { return { a: 1 ; };\n"),
        ("nothing", "node", "other.js", ""),
        ("python", "python", "main.py", "\ndef handler(ctx)\n    return 1\n"),
        ("program", "go", "a.go", "package main\n\nfunc main() {}\n"),
        ("private", "go", "a.go", "package a\n\nfunc handler() {}\n"),
        ("foreign", "go", "a.go", "package a\n\nimport _ \"example.org/b\"\n\nfunc Handler() {}\n"),
    ]);
    let server = TestServer::start(project).await;
    let check = async |name: &str, code: &str, expected: &str| {
        let problem = server.anon().invoke(name, json!({})).await.expect_error(500, code);
        let text = serde_json::to_string(&problem).unwrap();
        assert!(text.contains(expected), "{name}: {text}");
    };
    check("module", "function_load_failed", "/fn/index.js:2").await;
    check("common", "function_load_failed", "/fn/index.js:2").await;
    check("nothing", "function_load_failed", "functions/nothing/index.js is not there").await;
    check("python", "function_load_failed", "line 2").await;
    check("program", "function_build_failed", "any name but `main`").await;
    check("private", "function_build_failed", "Export `func Handler").await;
    check("foreign", "function_build_failed", "other modules are not fetched").await;
    let list = server.cli().run(&["functions", "list"]).await.expect_ok();
    let line = list.out.lines().find(|line| line.starts_with("foreign ")).unwrap();
    assert!(line.ends_with("function_build_failed"), "{list:#?}");
    server.stop().await;
}

#[tokio::test]
async fn wrong_names_and_parameters_are_repeated_to_the_caller() {
    let server = lab().await;
    let anon = server.anon();
    let check = async |path: &str, status: u16, code: &str, expected: &str| {
        let problem = anon.get_path(path).await.expect_error(status, code);
        assert!(problem.detail.contains(expected), "{path}: {problem:#?}");
    };
    check("/api/collections/nope", 404, "collection_not_found", "\"nope\"").await;
    check("/api/collections/posts?filtre=a", 400, "invalid_parameter", "\"filtre\"").await;
    check("/api/collections/posts?filter=title=x", 400, "invalid_parameter", "field:op:value").await;
    check("/api/collections/posts?filter=title:is:x", 400, "invalid_parameter", "operator \"is\"").await;
    let problem = anon.invoke("nope", json!({})).await.expect_error(404, "function_not_found");
    assert!(problem.detail.contains("\"nope\""), "{problem:#?}");
    let cli = server.cli();
    let said = cli.run(&["executions", "list", "--outcome", "bad"]).await.expect_code(1);
    assert!(said.err.contains("ok, error, timeout, oom"), "{said:#?}");
    let said = cli.run(&["status"]).await.expect_ok();
    assert!(!said.out.contains(".limits."), "{said:#?}");
    server.stop().await;
}

#[tokio::test]
async fn a_command_without_a_daemon_says_how_to_start_one() {
    let project = Project::schema(SCHEMA);
    let cli = Cli::in_folder(&project.folder());
    let said = cli.run(&["status"]).await.expect_code(4);
    assert!(said.err.contains(&format!("alyx dev {}", project.folder().display())), "{said:#?}");
    let said = cli.run(&["--url", "localhost:8090", "status"]).await.expect_code(2);
    assert!(said.err.contains("http://127.0.0.1:8090"), "{said:#?}");
    let said = cli.run(&["dev", "--listen", "8090"]).await.expect_code(2);
    assert!(said.err.contains("127.0.0.1:8090"), "{said:#?}");
}

#[tokio::test]
async fn data_that_is_removed_under_a_running_project_stops_it() {
    let server = lab().await;
    let daemon = server.daemon();
    let output = server.project.root().join("output");
    // The daemon writes while the folder is being emptied.
    wait_until("the folder to be gone", Duration::from_secs(10), || {
        std::fs::remove_dir_all(server.project.data()).is_ok() || !server.project.data().exists()
    })
    .await;
    let project = server.wait_for_end().await;
    wait_until("the daemon to end", Duration::from_secs(10), || !daemon.is_alive()).await;
    let said = std::fs::read_to_string(output).unwrap();
    assert!(said.contains("was removed while it was in use"), "{said}");
    drop(project);
}
