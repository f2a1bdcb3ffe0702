//! Hooks that run by themselves: every committed change runs them, what fails is tried again and at last
//! kept, and what was taken back runs nothing.

use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const NODE: &str = "export default async (ctx) => {
  const { action, doc, old, id, hook, job, attempt, collection } = ctx.input;
  const saw = { hook, job, attempt, action, doc_id: id, title: doc?.title ?? '', was: old?.title ?? '' };
  await ctx.db.create('seen', { ...saw, runtime: 'node', of: collection, who: ctx.input.identity });
};
";

const PYTHON: &str = "def handler(ctx):
    told = ctx.input
    ctx.db.create('seen', {
        'hook': told['hook'], 'job': told['job'], 'attempt': told['attempt'], 'action': told['action'],
        'doc_id': told['id'], 'title': (told['doc'] or {}).get('title', ''),
        'was': (told['old'] or {}).get('title', ''), 'runtime': 'python', 'of': told['collection'],
        'who': told['identity'],
    })
";

const GO: &str = "package told

import \"alyx.dev/alyx\"

func Handler(ctx *alyx.Context) (any, error) {
	told := ctx.Input
	title := func(of string) any {
		if doc, ok := told[of].(map[string]any); ok {
			return doc[\"title\"]
		}
		return \"\"
	}
	_, err := ctx.DB.Create(\"seen\", alyx.Document{
		\"hook\": told[\"hook\"], \"job\": told[\"job\"], \"attempt\": told[\"attempt\"], \"action\": told[\"action\"],
		\"doc_id\": told[\"id\"], \"title\": title(\"doc\"), \"was\": title(\"old\"), \"runtime\": \"go\",
		\"of\": told[\"collection\"], \"who\": told[\"identity\"],
	})
	return nil, err
}
";

const COLLECTIONS: &str = "version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true }
      title: { type: string, maxLength: 50 }
      notes: { type: string, internal: true, nullable: true }
    rules: { read: \"true\", create: \"auth.id != null\", update: \"true\", delete: \"true\" }
  seen:
    fields:
      id: { type: id, primary: true, default: auto }
      hook: { type: string }
      job: { type: string }
      attempt: { type: int }
      action: { type: string }
      doc_id: { type: string }
      title: { type: string }
      was: { type: string }
      runtime: { type: string }
      of: { type: string }
      who: { type: string }
      at: { type: timestamp, default: now }
";

fn schema(functions: &str, hooks: &str) -> String {
    format!("{COLLECTIONS}functions:\n{functions}hooks:\n{hooks}")
}

fn one(function: &str, code: &str, hook: &str) -> Project {
    let functions = format!("  {function}: {{ runtime: node }}\n");
    let path = format!("functions/{function}/index.js");
    Project::schema(&schema(&functions, &format!("  - {{ on: posts, function: {function}, {hook} }}\n")))
        .with(&path, code)
}

/// What the functions have seen, in the order in which they did.
async fn seen(server: &TestServer, count: usize) -> Vec<Value> {
    let admin = server.over_admin_socket();
    wait_for("the hooks to run", Duration::from_secs(60), async || {
        let docs =
            admin.list("seen", "sort=at&limit=500").await.expect_ok()["docs"].as_array().unwrap().clone();
        (docs.len() >= count).then_some(docs)
    })
    .await
}

async fn jobs(server: &TestServer, arguments: &[&str]) -> Vec<Value> {
    let all = [&["--json", "jobs", "list"], arguments].concat();
    server.cli().run(&all).await.expect_ok().json()["jobs"].as_array().unwrap().clone()
}

async fn wait_for_jobs(server: &TestServer, arguments: &[&str], count: usize) -> Vec<Value> {
    wait_for("the jobs", Duration::from_secs(60), async || {
        let found = jobs(server, arguments).await;
        (found.len() == count).then_some(found)
    })
    .await
}

async fn change(who: &Client, method: Method, path: &str, body: Value) -> alyx_tests::Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    who.send(method, &format!("/api/collections/{path}"), body).await
}

#[tokio::test]
async fn m35_every_committed_change_is_told_in_order_in_every_runtime() {
    let hooks =
        ["n", "p", "g"].map(|function| format!("  - {{ on: posts, function: {function} }}\n")).concat();
    let functions = "  n: { runtime: node }\n  p: { runtime: python }\n  g: { runtime: go }\n";
    let project = Project::schema(&schema(functions, &hooks))
        .with("functions/n/index.js", NODE)
        .with("functions/p/main.py", PYTHON)
        .with("functions/g/told.go", GO);
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    ada.create("posts", json!({ "id": "a", "title": "one" })).await.expect_created();
    // What is refused, is not there or is taken back is told to nobody.
    ada.create("posts", json!({ "id": "a", "title": "again" })).await.expect_error(409, "unique_violation");
    server
        .anon()
        .create("posts", json!({ "id": "b", "title": "x" }))
        .await
        .expect_error(401, "unauthenticated");
    let batch = json!({ "operations": [
        { "op": "create", "collection": "posts", "data": { "id": "c", "title": "taken back" } },
        { "op": "create", "collection": "posts", "data": { "id": "a", "title": "taken" } },
    ] });
    ada.send(Method::POST, "/api/batch", Some(batch.to_string())).await.expect_error(409, "unique_violation");
    change(&ada, Method::PATCH, "posts/a", json!({ "title": "two" })).await.expect_ok();
    assert_eq!(change(&ada, Method::DELETE, "posts/a", Value::Null).await.status, 204);
    let all = seen(&server, 9).await;
    assert_eq!(all.len(), 9);
    let who = format!("user:{}", ada.id());
    for (runtime, hook) in [("node", "n"), ("python", "p"), ("go", "g")] {
        let told: Vec<_> = all
            .iter()
            .filter(|row| row["runtime"] == runtime)
            .map(|row| (row["action"].clone(), row["title"].clone(), row["was"].clone()))
            .collect();
        let expected = [("create", "one", ""), ("update", "two", "one"), ("delete", "", "two")];
        assert_eq!(told, expected.map(|(a, b, c)| (json!(a), json!(b), json!(c))), "{runtime}");
        let first = all.iter().find(|row| row["runtime"] == runtime).unwrap();
        assert_eq!(
            (&first["hook"], &first["of"], &first["doc_id"]),
            (&json!(hook), &json!("posts"), &json!("a"))
        );
        assert_eq!((&first["who"], &first["attempt"]), (&json!(who), &json!(1)));
    }
    let done = wait_for_jobs(&server, &["--state", "done", "--kind", "hook"], 9).await;
    assert!(done.iter().all(|job| job["attempts"] == 1), "{done:?}");
    // What a job did is on record once the job is done.
    let job = done.iter().find(|job| job["target"] == "n").unwrap()["id"].as_str().unwrap();
    let list = ["--json", "executions", "list", "--request", job, "--trigger", "hook"];
    let said = server.cli().run(&list).await.expect_ok().json();
    assert_eq!(said["executions"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(said["executions"][0]["identity"], "hook:n");
    let list = server.cli().run(&["executions", "list", "--trigger", "schedule"]).await.expect_ok();
    assert!(list.err.contains("no executions"), "{list:?}");
    server.stop().await;
}

#[tokio::test]
async fn m35_a_hook_that_fails_is_tried_again_and_at_last_kept_and_replayed() {
    let code = "export default async (ctx) => {
  if (ctx.input.doc.title === 'bad') throw new Error('it is bad');
  if (ctx.input.attempt < 3) throw ctx.error('not_yet', 'not yet', { status: 503 });
};
";
    let retry = "actions: [create], retry: { attempts: 3, first: 10ms }";
    let server = TestServer::start(one("h", code, retry)).await;
    let admin = server.admin().await;
    admin.create("posts", json!({ "id": "a", "title": "fine" })).await.expect_created();
    admin.create("posts", json!({ "id": "b", "title": "bad" })).await.expect_created();
    let done = wait_for_jobs(&server, &["--state", "done"], 1).await;
    assert_eq!((&done[0]["attempts"], &done[0]["error"]), (&json!(3), &Value::Null));
    let dead = wait_for_jobs(&server, &["--state", "dead"], 1).await;
    assert_eq!(dead[0]["attempts"], 3);
    assert_eq!(dead[0]["error"], "function_error: it is bad");
    let id = dead[0]["id"].as_str().unwrap();
    let shown = server.cli().run(&["--json", "jobs", "show", id]).await.expect_ok().json();
    assert_eq!(
        (&shown["payload"]["doc"]["title"], &shown["payload"]["action"]),
        (&json!("bad"), &json!("create"))
    );
    // Another version of the function, and the job runs again under its id.
    server.project.write("functions/h/index.js", NODE);
    server.cli().run(&["jobs", "replay", id]).await.expect_ok();
    let told = seen(&server, 1).await;
    assert_eq!((&told[0]["job"], &told[0]["attempt"]), (&json!(id), &json!(1)));
    wait_for_jobs(&server, &["--state", "dead"], 0).await;
    server.cli().run(&["jobs", "replay", "none"]).await.expect_code(1);
    server.cli().run(&["jobs", "purge"]).await.expect_code(5);
    server.cli().run(&["jobs", "purge", "--done"]).await.expect_ok();
    wait_for_jobs(&server, &[], 0).await;
    server.stop().await;
}

#[tokio::test]
async fn m35_hooks_that_cause_themselves_come_to_an_end() {
    let code = "export default async (ctx) => {
  await ctx.db.update('posts', ctx.input.id, { title: `${ctx.input.doc.title}x` });
};
";
    let server = TestServer::start(one("loop", code, "actions: [create, update]")).await;
    server.over_admin_socket().create("posts", json!({ "id": "a", "title": "x" })).await.expect_created();
    let dead = wait_for_jobs(&server, &["--state", "dead"], 1).await;
    assert!(dead[0]["error"].as_str().unwrap().contains("loop"), "{dead:?}");
    wait_for_jobs(&server, &["--state", "done"], 9).await;
    let title = server.over_admin_socket().get("posts", "a").await.expect_ok()["title"].clone();
    assert_eq!(title, "x".repeat(10));
    server.stop().await;
}

#[tokio::test]
async fn m35_hooks_that_were_owed_run_after_a_kill_under_the_same_id() {
    let code = "export default async (ctx) => {
  if (ctx.input.attempt === 1) await new Promise(() => {});
  await ctx.db.create('seen', {
    hook: 'h', job: ctx.input.job, attempt: ctx.input.attempt, action: 'create', doc_id: ctx.input.id,
    title: '', was: '', runtime: 'node', of: 'posts', who: '',
  });
};
";
    let server = TestServer::start(one("h", code, "actions: [create]")).await;
    server.over_admin_socket().create("posts", json!({ "id": "a", "title": "x" })).await.expect_created();
    let running = wait_for_jobs(&server, &["--state", "running"], 1).await;
    let project = server.kill().await;
    let server = TestServer::start(project).await;
    let told = seen(&server, 1).await;
    assert_eq!((&told[0]["job"], &told[0]["attempt"]), (&running[0]["id"], &json!(2)));
    server.stop().await;
}
