//! The `alyx` command: data on stdout, words on stderr, exit codes as documented.

use alyx_tests::{Cli, Project};
use serde_json::json;

use crate::lab;

#[tokio::test]
async fn users_are_created_and_listed() {
    let server = lab().await;
    let cli = server.cli();
    let made =
        cli.run(&["users", "create", "ada@example.org", "--generate-password", "--json"]).await.expect_ok();
    let password = made.json()["password"].as_str().unwrap().to_owned();
    server.anon().login("ada@example.org", &password).await;
    let given = cli.run_with_input(
        &["users", "create", "eve@example.org", "--role", "admin", "--password-stdin"],
        "a long enough password\n",
    );
    let given = given.await.expect_ok();
    assert!(!given.out.contains("password") && !given.err.contains("a long enough"), "{given:#?}");
    let eve = server.anon().login("eve@example.org", "a long enough password").await;
    eve.get_path("/api/admin/users").await.expect_ok();
    let twice = cli.run(&["users", "create", "ada@example.org", "--generate-password"]).await.expect_code(1);
    assert!(twice.err.starts_with("error: ") && twice.out.is_empty(), "{twice:#?}");
    let weak = cli.run_with_input(&["users", "create", "bob@example.org", "--password-stdin"], "x\n").await;
    weak.expect_code(1);
    let list = cli.run(&["users", "list"]).await.expect_ok();
    for email in ["ada@example.org", "eve@example.org", "admin@localhost"] {
        assert!(list.out.contains(email), "{list:#?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn functions_are_listed_called_and_explained() {
    let server = lab().await;
    let cli = server.cli();
    let list = cli.run(&["functions", "list"]).await.expect_ok();
    assert!(list.out.contains("hostile-node") && list.out.contains("python"), "{list:#?}");
    let call = cli.run(&["functions", "invoke", "cold", "-d", r#"{"n":7}"#]).await.expect_ok();
    assert_eq!(call.json(), json!({ "n": 7 }));
    let piped =
        cli.run_with_input(&["functions", "invoke", "cold", "-d", "-"], r#"{"n":8}"#).await.expect_ok();
    assert_eq!(piped.json()["n"], 8);
    let logs = cli.run(&["functions", "invoke", "hostile-node", "-d", r#"{"mode":"logs"}"#]).await;
    logs.expect_ok();
    alyx_tests::wait::wait_for("the function's log", std::time::Duration::from_secs(10), async || {
        let said = cli.run(&["functions", "logs", "hostile-node"]).await.expect_ok();
        said.out.contains("a line on stdout").then_some(())
    })
    .await;
    cli.run(&["functions", "invoke", "cold", "-d", "{n:7}"]).await.expect_code(2);
    let unknown = cli.run(&["functions", "invoke", "nothing"]).await.expect_code(1);
    assert!(unknown.err.contains("function_not_found"), "{unknown:#?}");
    let list = ["executions", "list", "--function", "cold", "--json"];
    let rows = alyx_tests::wait::wait_for("both records", std::time::Duration::from_secs(10), async || {
        let answer = cli.run(&list).await.expect_ok().json();
        let rows = answer["executions"].as_array().expect("a list of executions").clone();
        (rows.len() == 2).then_some(rows)
    })
    .await;
    let id = rows[0]["id"].as_str().unwrap();
    let shown = cli.run(&["executions", "show", id]).await.expect_ok();
    assert!(shown.out.contains("cold"), "{shown:#?}");
    cli.run(&["executions", "show", "nothing"]).await.expect_code(1);
    server.stop().await;
}

#[tokio::test]
async fn status_and_doctor_answer() {
    let server = lab().await;
    let status = server.cli().run(&["status", "--json"]).await.expect_ok();
    assert!(status.json().is_object(), "{status:#?}");
    let doctor = server.cli().run(&["doctor", "--json"]).await;
    let report = doctor.json();
    assert_eq!(report["source"], "daemon", "{doctor:#?}");
    assert_eq!(report["layers"].as_array().unwrap().len(), 14, "{doctor:#?}");
    assert_eq!(doctor.code == 0, report["ok"] == true, "{doctor:#?}");
    server.stop().await;
}

#[tokio::test]
async fn doctor_probes_without_a_daemon() {
    let project = Project::new();
    let cli = Cli::in_folder(&project.folder()).with_socket(&project.folder().join("none.sock"));
    let doctor = cli.run(&["doctor", "--json"]).await;
    let report = doctor.json();
    assert_eq!(report["source"], "probe", "{doctor:#?}");
    assert_eq!(report["layers"].as_array().unwrap().len(), 14, "{doctor:#?}");
    let text = cli.run(&["doctor"]).await;
    assert!(text.out.lines().any(|line| line.contains("seccomp")), "{text:#?}");
}

#[tokio::test]
async fn no_daemon_is_said_with_a_way_out() {
    let project = Project::new();
    let cli = Cli::in_folder(&project.folder()).with_socket(&project.folder().join("none.sock"));
    for arguments in [&["status"][..], &["functions", "list"], &["users", "list"], &["executions", "list"]] {
        let said = cli.run(arguments).await.expect_code(4);
        assert!(said.out.is_empty() && said.err.contains("\n\nhint: "), "{said:#?}");
    }
    cli.run(&["nonsense"]).await.expect_code(2);
}

#[tokio::test]
async fn every_template_is_valid_and_runs() {
    for (template, function) in [("basic", "hello-python"), ("blog", "hello-python")] {
        let project = Project::new();
        let cli = Cli::in_folder(project.root());
        std::fs::remove_dir(project.folder()).unwrap();
        cli.run(&["init", "project", "--template", template]).await.expect_ok();
        cli.run(&["init", "project", "--template", template]).await.expect_code(1);
        cli.run(&["schema", "check", "project/schema.yaml"]).await.expect_ok();
        let server = alyx_tests::TestServer::start(project).await;
        let hello = server.anon().invoke(function, json!({ "name": "Ada" })).await;
        assert!(hello.expect_ok().to_string().contains("Ada"));
        server.stop().await;
    }
}

#[tokio::test]
async fn schema_check_passes_on_and_names_places() {
    let project = Project::schema("version: 1\ncollections:\n  a: { fieldz: {} }\n");
    let cli = Cli::in_folder(&project.folder());
    let said = cli.run(&["schema", "check"]).await.expect_code(1);
    assert!(said.err.contains("schema.yaml:3:"), "{said:#?}");
    let json = cli.run(&["schema", "check", "--json"]).await.expect_code(1);
    assert!(json.json().to_string().contains("fieldz"), "{json:#?}");
    cli.run(&["schema", "check", "nothing.yaml"]).await.expect_code(1);
}

#[tokio::test]
async fn logs_and_executions_are_followed_as_they_come() {
    let server = lab().await;
    let cli = server.cli();
    let call = r#"{"mode":"logs"}"#;
    cli.run(&["functions", "invoke", "hostile-node", "-d", call]).await.expect_ok();
    let mut logs = cli.follow(&["logs", "-f", "--function", "hostile-node"]);
    // The line from before, and then one for each call that follows.
    logs.until("a line on stdout").await;
    let mut records = cli.follow(&["executions", "tail", "--function", "hostile-node"]);
    let mut others = cli.follow(&["logs", "-f", "--function", "cold", "--json"]);
    for _ in 0..2 {
        cli.run(&["functions", "invoke", "hostile-node", "-d", call]).await.expect_ok();
        logs.until("a line on stdout").await;
    }
    // It may begin to follow after the first calls, so it is given more of them.
    let answered = async {
        loop {
            cli.run(&["functions", "invoke", "hostile-node", "-d", call]).await.expect_ok();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = records.until("  ok  ") => {}
        () = answered => {}
    }
    let streams = [&mut logs, &mut records, &mut others];
    let anon = server.anon().get_path("/api/admin/functions/cold/logs?follow=true").await;
    anon.expect_error(401, "unauthenticated");
    let admin = server.over_admin_socket();
    let wrong = admin.get_path("/api/admin/functions/cold/logs?follow=maybe").await;
    wrong.expect_error(400, "invalid_parameter");
    let unknown = admin.get_path("/api/admin/functions/nothing/logs?follow=true").await;
    unknown.expect_error(404, "function_not_found");
    cli.run(&["logs", "-f", "--function", "nothing"]).await.expect_code(1);
    let once = cli.run(&["logs", "-n", "1", "--function", "hostile-node"]).await.expect_ok();
    assert_eq!(once.out.lines().count(), 1, "{once:#?}");
    server.stop().await;
    // The daemon stopped, which is the end of every stream.
    for stream in streams {
        stream.end().await;
    }
}
