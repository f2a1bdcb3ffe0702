//! Hooks that a write waits for: asked before it, they change or refuse it; told after it, they are awaited.

use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const NODE: &str = "export default (ctx) => {
  const { doc, old, auth, action, hook } = ctx.input;
  if (doc?.title === 'refuse') throw ctx.error('bad_word', 'not this word', { status: 422, details: { hook } });
  if (doc?.title === 'respond') return ctx.respond({ status: 403 });
  if (doc?.title === 'fail') throw new Error('canary of the function');
  if (doc?.title === 'garbage') return { document: {} };
  if (doc?.title === 'invalid') return { doc: { title: 'x'.repeat(60) } };
  if (action === 'delete') {
    if (old.title === 'keep') throw ctx.error('kept', 'it stays', { status: 409 });
    return;
  }
  return { doc: { note: `${action} node ${auth?.email ?? 'nobody'} ${old?.title ?? '-'}` } };
};
";

const PYTHON: &str = "import alyx

def handler(ctx):
    told = ctx.input
    doc, old = told['doc'] or {}, told['old'] or {}
    if doc.get('title') == 'refuse':
        raise alyx.Error('bad_word', 'not this word', status=422, details={'hook': told['hook']})
    if doc.get('title') == 'respond':
        return ctx.respond(status=403)
    if doc.get('title') == 'fail':
        raise ValueError('canary of the function')
    if doc.get('title') == 'garbage':
        return {'document': {}}
    if doc.get('title') == 'invalid':
        return {'doc': {'title': 'x' * 60}}
    if told['action'] == 'delete':
        if old['title'] == 'keep':
            raise alyx.Error('kept', 'it stays', status=409)
        return None
    who = (told['auth'] or {}).get('email', 'nobody')
    return {'doc': {'note': f\"{told['action']} python {who} {old.get('title', '-')}\"}}
";

const GO: &str = "package check

import (
	\"errors\"
	\"fmt\"
	\"strings\"

	\"alyx.dev/alyx\"
)

type doc struct{ Title string }

type told struct {
	Hook, Action string
	Doc, Old     *doc
	Auth         *struct{ Email string }
}

func Handler(ctx *alyx.Context) (any, error) {
	in, err := alyx.Bind[told](ctx)
	if err != nil {
		return nil, err
	}
	title, was, who := \"\", \"-\", \"nobody\"
	if in.Doc != nil {
		title = in.Doc.Title
	}
	if in.Old != nil {
		was = in.Old.Title
	}
	if in.Auth != nil {
		who = in.Auth.Email
	}
	switch title {
	case \"refuse\":
		return nil, &alyx.Error{Code: \"bad_word\", Status: 422, Message: \"not this word\", Details: map[string]any{\"hook\": in.Hook}}
	case \"respond\":
		return ctx.Respond(403, nil, nil), nil
	case \"fail\":
		return nil, errors.New(\"canary of the function\")
	case \"garbage\":
		return map[string]any{\"document\": map[string]any{}}, nil
	case \"invalid\":
		return map[string]any{\"doc\": map[string]any{\"title\": strings.Repeat(\"x\", 60)}}, nil
	}
	if in.Action == \"delete\" {
		if was == \"keep\" {
			return nil, alyx.Errorf(\"kept\", 409, \"it stays\")
		}
		return nil, nil
	}
	note := fmt.Sprintf(\"%s go %s %s\", in.Action, who, was)
	return map[string]any{\"doc\": map[string]any{\"note\": note}}, nil
}
";

const POSTS: &str = "version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      title: { type: string, maxLength: 50 }
      note: { type: string, default: '', rules: { write: \"false\" } }
      count: { type: int, default: 0 }
    rules: { read: \"true\", create: \"true\", update: \"true\", delete: \"true\" }
  seen:
    fields:
      id: { type: id, primary: true, default: auto }
      what: { type: string }
      at: { type: timestamp, default: now }
    rules: { read: \"true\" }
functions:
";

fn before(runtime: &str, file: &str, code: &str) -> Project {
    let schema = format!(
        "{POSTS}  check: {{ runtime: {runtime} }}\nhooks:\n  - {{ on: posts, when: before, function: check }}\n"
    );
    Project::schema(&schema).with(&format!("functions/check/{file}"), code)
}

fn project(functions: &[(&str, &str)], hooks: &str) -> Project {
    let declared: String =
        functions.iter().map(|(name, _)| format!("  {name}: {{ runtime: node }}\n")).collect();
    let project = Project::schema(&format!("{POSTS}{declared}hooks:\n{hooks}"));
    functions
        .iter()
        .fold(project, |project, (name, code)| project.with(&format!("functions/{name}/index.js"), code))
}

/// What the client of every runtime sees.
async fn changes_and_refuses(runtime: &str, project: Project) {
    let server = TestServer::start(project).await;
    let (anon, ada) = (server.anon(), server.user("ada").await);
    let made = ada.create("posts", json!({ "id": "a", "title": "one" })).await.expect_status(201).json();
    assert_eq!(made["note"], format!("create {runtime} ada@example.org -"));
    let changed = anon.patch("posts", "a", json!({ "title": "two" })).await.expect_ok();
    assert_eq!(changed["note"], format!("update {runtime} nobody one"));
    assert_eq!(anon.get("posts", "a").await.expect_ok()["note"], changed["note"]);

    let refused =
        anon.create("posts", json!({ "id": "b", "title": "refuse" })).await.expect_error(422, "bad_word");
    assert_eq!(refused.detail, "not this word");
    assert_eq!(refused.details.unwrap()["hook"], "check");
    anon.create("posts", json!({ "id": "b", "title": "respond" })).await.expect_error(403, "refused");
    for title in ["fail", "garbage", "invalid"] {
        let answer = anon.create("posts", json!({ "id": "b", "title": title })).await;
        assert!(!answer.text().contains("canary"), "{answer}");
        answer.expect_error(502, "hook_failed");
    }
    // Also what no call of the function knows is in its log.
    let log = server.cli().run(&["functions", "logs", "check"]).await.expect_ok().out;
    assert!(log.contains("the hook check failed: it must return nothing or { doc: "), "{log}");
    anon.get("posts", "b").await.expect_error(404, "document_not_found");

    anon.create("posts", json!({ "id": "k", "title": "keep" })).await.expect_created();
    anon.delete("posts", "k").await.expect_error(409, "kept");
    anon.get("posts", "k").await.expect_ok();
    anon.delete("posts", "a").await.expect_status(204);

    // All or none, in a batch and in bulk.
    let create = |id: &str, title: &str| json!({ "op": "create", "collection": "posts", "data": { "id": id, "title": title } });
    let batch = json!({ "operations": [create("x", "fine"), create("y", "refuse")] });
    anon.post("/api/batch", batch).await.expect_error(422, "bad_word");
    anon.get("posts", "x").await.expect_error(404, "document_not_found");
    let batch = json!({ "operations": [create("x", "fine"), create("y", "fine")] });
    anon.post("/api/batch", batch).await.expect_ok();
    assert_eq!(anon.get("posts", "y").await.expect_ok()["note"], format!("create {runtime} nobody -"));
    let all = "/api/collections/posts?filter=title:eq:fine&limit=10";
    let done = ada.send(Method::PATCH, all, Some(json!({ "title": "finer" }).to_string())).await.expect_ok();
    assert_eq!(done["count"], 2);
    let note = format!("update {runtime} ada@example.org fine");
    assert_eq!(anon.get("posts", "x").await.expect_ok()["note"], note);
    server.stop().await;
}

#[tokio::test]
async fn before_hooks_in_node_change_and_refuse() {
    changes_and_refuses("node", before("node", "index.js", NODE)).await;
}

#[tokio::test]
async fn before_hooks_in_python_change_and_refuse() {
    changes_and_refuses("python", before("python", "main.py", PYTHON)).await;
}

#[tokio::test]
async fn before_hooks_in_go_change_and_refuse() {
    changes_and_refuses("go", before("go", "check.go", GO)).await;
}

#[tokio::test]
async fn before_hooks_run_one_after_the_other_and_while_others_write() {
    let add = "export default async (ctx) => {
  await ctx.db.create('seen', { what: 'asked' });
  return { doc: { note: ctx.input.doc.note + ctx.input.hook } };
};";
    let hooks = "  - { id: one, on: posts, when: before, actions: [create, update], function: add }
  - { id: two, on: posts, when: before, actions: [create], function: add }\n";
    let server = TestServer::start(project(&[("add", add)], hooks)).await;
    let anon = server.anon();
    let made = anon.create("posts", json!({ "id": "a", "title": "x" })).await.expect_status(201).json();
    assert_eq!(made["note"], "onetwo");
    // Each is asked once about one write.
    assert_eq!(anon.list("seen", "").await.expect_ok()["docs"].as_array().unwrap().len(), 2);
    // Nothing is lost where many change the same document at once.
    let count = async || anon.patch("posts", "a", json!({ "count": { "$inc": 1 } })).await;
    let answers = futures_util::future::join_all((0..12).map(|_| count())).await;
    let done = answers.iter().filter(|answer| answer.status.is_success()).count();
    for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
        assert_eq!(answer.status, 409, "{answer}");
    }
    assert!(done > 0);
    assert_eq!(anon.get("posts", "a").await.expect_ok()["count"], done);
    // What does not concern them asks nobody, and what the rules refuse neither.
    let asked = anon.list("seen", "limit=500").await.expect_ok()["docs"].as_array().unwrap().len();
    anon.delete("posts", "a").await.expect_status(204);
    anon.create("posts", json!({ "title": "x", "note": "mine" }))
        .await
        .expect_error(422, "validation_failed");
    let after = anon.list("seen", "limit=500").await.expect_ok()["docs"].as_array().unwrap().len();
    assert_eq!(after, asked);
    server.stop().await;
}

#[tokio::test]
async fn hooks_are_asked_about_writes_in_transactions_of_functions() {
    let check = "export default (ctx) => {
  if (ctx.input.doc.title === 'bad') throw ctx.error('bad_word', 'not this', { status: 422 });
  return { doc: { note: 'seen' } };
};";
    let two = "export default (ctx) => ctx.db.transaction(async (tx) => {
  const first = await tx.create('posts', { id: 'a', title: 'good' });
  await tx.create('posts', { id: 'b', title: ctx.input.title });
  return first.note;
});";
    let told = "export default (ctx) => ctx.db.create('seen', { what: ctx.input.id });";
    let hooks = "  - { on: posts, when: before, actions: [create], function: check }
  - { on: posts, mode: sync, actions: [create], function: told }\n";
    let server = TestServer::start(project(&[("check", check), ("two", two), ("told", told)], hooks)).await;
    let admin = server.over_admin_socket();
    admin.invoke("two", json!({ "title": "bad" })).await.expect_error(422, "bad_word");
    admin.get("posts", "a").await.expect_error(404, "document_not_found");
    let seen = async || admin.list("seen", "sort=what").await.expect_ok()["docs"].as_array().unwrap().len();
    assert_eq!(seen().await, 0, "what was undone is told to nobody");
    assert_eq!(admin.invoke("two", json!({ "title": "fine" })).await.expect_ok(), "seen");
    assert_eq!(seen().await, 2);
    server.stop().await;
}

#[tokio::test]
async fn sync_hooks_are_awaited_and_their_failure_is_told_without_undoing() {
    let told = "export default async (ctx) => {
  await new Promise((done) => setTimeout(done, 200));
  if (ctx.input.doc?.title === 'fail') throw ctx.error('no_luck', 'no luck', { status: 409 });
  if (ctx.input.doc?.title === 'crash') process.exit(1);
  await ctx.db.create('seen', { what: `${ctx.input.action} ${ctx.input.doc?.title} ${ctx.input.old?.title}` });
};";
    let hooks = "  - { on: posts, when: after, mode: sync, function: told }\n";
    let server = TestServer::start(project(&[("told", told)], hooks)).await;
    let anon = server.anon();
    let seen = async || {
        let docs = anon.list("seen", "sort=at").await.expect_ok()["docs"].as_array().unwrap().clone();
        docs.iter().map(|doc| doc["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answer = anon.create("posts", json!({ "id": "a", "title": "one" })).await;
    assert_eq!(answer.header("x-alyx-hook-failed"), None);
    answer.expect_created();
    assert_eq!(seen().await, ["create one undefined"], "it has run when the answer comes");
    anon.patch("posts", "a", json!({ "title": "two" })).await.expect_ok();
    anon.delete("posts", "a").await.expect_status(204);
    assert_eq!(seen().await[1..], ["update two one", "delete undefined two"]);
    let answer = anon.create("posts", json!({ "id": "b", "title": "fail" })).await;
    assert_eq!(answer.header("x-alyx-hook-failed"), Some("told: no_luck"), "{answer}");
    answer.expect_created();
    let answer = anon.create("posts", json!({ "id": "c", "title": "crash" })).await;
    assert_eq!(answer.header("x-alyx-hook-failed"), Some("told: hook_failed"), "{answer}");
    anon.get("posts", "b").await.expect_ok();
    anon.create("posts", json!({ "id": "b", "title": "again" })).await.expect_error(409, "unique_violation");
    assert_eq!(seen().await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn m35_hooks_that_wait_for_each_other_come_to_an_end() {
    let again = "export default async (ctx) => {
  await ctx.db.update('posts', 'a', { count: { $inc: 1 } });
};";
    let hooks = "  - { on: posts, when: before, actions: [update], function: again }\n";
    let server = TestServer::start(project(&[("again", again)], hooks)).await;
    let anon = server.anon();
    anon.create("posts", json!({ "id": "a", "title": "x" })).await.expect_created();
    anon.patch("posts", "a", json!({ "title": "y" })).await.expect_error(508, "hook_loop");
    let doc = anon.get("posts", "a").await.expect_ok();
    assert_eq!((&doc["title"], &doc["count"]), (&json!("x"), &json!(0)));
    server.stop().await;
}

#[tokio::test]
async fn executions_of_waited_hooks_name_the_hook() {
    let hooks = "  - { id: guard, on: posts, when: before, function: f }\n";
    let server = TestServer::start(project(&[("f", "export default () => null;")], hooks)).await;
    server.anon().create("posts", json!({ "id": "a", "title": "x" })).await.expect_created();
    let first: Value = wait_for("the record", Duration::from_secs(60), async || {
        let said = server.cli().run(&["--json", "executions", "list", "--function", "f"]).await.expect_ok();
        said.json()["executions"].get(0).cloned()
    })
    .await;
    assert_eq!((&first["trigger"], &first["identity"]), (&json!("hook"), &json!("hook:guard")));
    server.stop().await;
}
