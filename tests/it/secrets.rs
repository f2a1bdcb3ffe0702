//! Secrets of functions: set by the command, given to the functions that name them, seen nowhere else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

/// One that no other text contains, with what JSON would escape.
const CANARY: &str = "canary-\"s3cr3t\"-value";

const NODE: &str = "export default (ctx) => {
  const key = ctx.secrets.API_KEY;
  ctx.log(`logged ${key}`, { key });
  console.log(key);
  console.error(`${key} on stderr`);
  if (ctx.input.fail) throw new Error(`failed with ${key}`);
  return { key, names: Object.keys(ctx.secrets), env: Object.values(process.env).includes(key) };
};
";

const PYTHON: &str = "import os


def handler(ctx):
    key = ctx.secrets['API_KEY']
    ctx.log('logged ' + key)
    print(key)
    if ctx.input.get('fail'):
        raise RuntimeError('failed with ' + key)
    return {'key': key, 'names': list(ctx.secrets), 'env': key in os.environ.values()}
";

const GO: &str = "package secrets

import (
	\"errors\"
	\"fmt\"
	\"os\"
	\"strings\"

	\"alyx.dev/alyx\"
)

func Handler(ctx *alyx.Context) (any, error) {
	key := ctx.Secrets[\"API_KEY\"]
	ctx.Log.Info(\"logged \" + key)
	fmt.Println(key)
	if ctx.Input[\"fail\"] == true {
		return nil, errors.New(\"failed with \" + key)
	}
	names := []string{}
	for name := range ctx.Secrets {
		names = append(names, name)
	}
	env := strings.Contains(strings.Join(os.Environ(), \"\\n\"), key)
	return map[string]any{\"key\": key, \"names\": names, \"env\": env}, nil
}
";

fn project() -> Project {
    let function = |runtime: &str| {
        format!("{{ runtime: {runtime}, secrets: [API_KEY], rules: {{ invoke: \"true\" }} }}")
    };
    let schema = format!(
        "version: 1\nfunctions:\n  n: {}\n  p: {}\n  g: {}\n  none: {{ runtime: node, rules: {{ invoke: \"true\" }} }}\n",
        function("node"),
        function("python"),
        function("go"),
    );
    Project::schema(&schema)
        .with("functions/n/index.js", NODE)
        .with("functions/p/main.py", PYTHON)
        .with("functions/g/main.go", GO)
        .with("functions/none/index.js", "export default (ctx) => Object.keys(ctx.secrets);\n")
}

async fn set(server: &TestServer, value: &str) {
    server.cli().run_with_input(&["secrets", "set", "API_KEY"], value).await.expect_ok();
}

async fn key_of(who: &Client, function: &str) -> Value {
    who.invoke(function, json!({})).await.expect_ok()["key"].clone()
}

#[tokio::test]
async fn a_function_is_given_its_secrets_and_no_others() {
    let server = TestServer::start(project()).await;
    let anon = server.anon();
    for function in ["n", "p", "g"] {
        let problem = anon.invoke(function, json!({})).await.expect_error(500, "function_load_failed");
        assert!(problem.detail.contains("alyx secrets set API_KEY"), "{problem:?}");
        let logs = server.cli().run(&["functions", "logs", function]).await.expect_ok();
        assert!(logs.out.contains("The secret API_KEY is not set; `alyx secrets set API_KEY`"), "{logs:?}");
    }
    server.cli().run_with_input(&["secrets", "set", "OTHER"], "not for everybody").await.expect_ok();
    set(&server, &format!("{CANARY}\n")).await;
    for function in ["n", "p", "g"] {
        let answer = anon.invoke(function, json!({})).await.expect_ok();
        assert_eq!(answer, json!({ "key": CANARY, "names": ["API_KEY"], "env": false }), "{function}");
    }
    assert_eq!(anon.invoke("none", json!({})).await.expect_ok(), json!([]));
    // A new value arrives by the next call, and is there after a restart.
    set(&server, "second value").await;
    for function in ["n", "p", "g"] {
        assert_eq!(key_of(&anon, function).await, "second value", "{function}");
    }
    let server = server.restart().await;
    assert_eq!(key_of(&server.anon(), "n").await, "second value");
    server.cli().run(&["secrets", "delete", "API_KEY"]).await.expect_ok();
    server.anon().invoke("n", json!({})).await.expect_error(500, "function_load_failed");
    server.stop().await;
}

#[tokio::test]
async fn secrets_are_in_no_log_no_answer_and_no_file() {
    let server = TestServer::start(project()).await;
    set(&server, CANARY).await;
    for function in ["n", "p", "g"] {
        server.anon().invoke(function, json!({})).await.expect_ok();
        let failed = server.anon().invoke(function, json!({ "fail": true })).await;
        let execution = failed.header("x-alyx-execution").unwrap().to_owned();
        failed.expect_error(500, "function_error");
        let logs = server.cli().run(&["functions", "logs", function]).await.expect_ok().out;
        assert!(logs.contains("logged [secret API_KEY]"), "{function}: {logs}");
        assert!(logs.contains("failed with [secret API_KEY]"), "{function}: {logs}");
        let shown = wait_for("the execution's record", Duration::from_secs(30), async || {
            let said = server.cli().run(&["--json", "executions", "show", &execution]).await;
            (said.code == 0).then_some(said.out)
        })
        .await;
        assert!(shown.contains("failed with [secret API_KEY]"), "{function}: {shown}");
        for text in [logs, shown] {
            assert!(!text.contains("s3cr3t"), "{function}: {text}");
        }
    }
    let told = server.admin().await.get_path("/api/admin/secrets").await.expect_ok();
    let row = &told["secrets"][0];
    assert_eq!((&row["name"], &row["state"]), (&json!("API_KEY"), &json!("set")));
    assert_eq!(row["functions"], json!(["n", "p", "g"]));
    let audit = server.cli().run(&["audit", "export"]).await.expect_ok().out;
    assert!(audit.contains("secret.set") && audit.contains("secret:API_KEY"), "{audit}");
    let backup = server.cli().run(&["backup", "create"]).await.expect_ok();
    let said = format!("{told}{audit}{}{}{}", backup.out, backup.err, server.output());
    assert!(!said.contains("s3cr3t"));
    let project = server.stop().await;
    // The control: what is not secret is found in the same files.
    assert!(contains(&project.data(), b"API_KEY"));
    assert!(!contains(&project.data(), b"s3cr3t"));
}

#[tokio::test]
async fn bad_names_and_values_are_refused_and_nobody_else_may() {
    let server = TestServer::start(project()).await;
    let admin = server.admin().await;
    let put = async |who: &Client, name: &str, body: Value| {
        who.send("PUT".parse().unwrap(), &format!("/api/admin/secrets/{name}"), Some(body.to_string())).await
    };
    for name in ["1A", "A-B", "A%20B", &"A".repeat(64)] {
        put(&admin, name, json!({ "value": "long enough" })).await.expect_error(422, "validation_failed");
    }
    for value in [json!(""), json!("a\0b"), json!(1), json!("x".repeat(65_537))] {
        put(&admin, "A", json!({ "value": value })).await.expect_error(422, "validation_failed");
    }
    put(&admin, "A", json!({ "value": "a", "more": 1 })).await.expect_error(422, "validation_failed");
    put(&server.user("ada").await, "A", json!({ "value": "a" })).await.expect_error(403, "forbidden");
    put(&server.anon(), "A", json!({ "value": "a" })).await.expect_error(401, "unauthenticated");
    let delete = admin.send("DELETE".parse().unwrap(), "/api/admin/secrets/NONE", None).await;
    delete.expect_error(404, "secret_not_found");
    server.cli().run_with_input(&["secrets", "set", "A"], "").await.expect_code(2);
    let listed = server.cli().run(&["secrets", "list"]).await.expect_ok().out;
    assert!(listed.contains("API_KEY") && listed.contains("missing") && !listed.contains("\nA "), "{listed}");
    server.stop().await;
}

#[tokio::test]
async fn with_another_key_a_secret_is_unreadable_and_can_be_set_again() {
    let server = TestServer::start(project()).await;
    set(&server, CANARY).await;
    let project = server.stop().await;
    fs::write(project.data().join("secret.key"), [7_u8; 32]).unwrap();
    let server = TestServer::start(project).await;
    let listed = server.cli().run(&["secrets", "list"]).await.expect_ok().out;
    assert!(listed.contains("unreadable"), "{listed}");
    server.anon().invoke("n", json!({})).await.expect_error(500, "function_load_failed");
    set(&server, "set again").await;
    assert_eq!(key_of(&server.anon(), "n").await, "set again");
    server.stop().await;
}

/// Whether a file below the folder holds these bytes.
fn contains(folder: &Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return contains(&path, wanted);
        }
        // A socket is no file to read.
        path.is_file() && fs::read(&path).unwrap().windows(wanted.len()).any(|part| part == wanted)
    })
}
