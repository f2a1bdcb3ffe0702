//! The schema: every type and option through the real programs, mistakes with their places, the format
//! for editors.

use std::fs;

use alyx_tests::{Cli, Project, TestServer, tree};
use serde_json::{Value, json};

use crate::docs::blocks;

const PAGE: &str = "docs/schema.md";

fn page() -> String {
    fs::read_to_string(tree::root().join(PAGE)).expect("read the page")
}

async fn check(schema: &str) -> Value {
    let project = Project::schema(schema);
    Cli::in_folder(&project.folder()).run(&["schema", "check", "--json"]).await.json()
}

#[tokio::test]
async fn examples_of_the_page_are_accepted_and_served() {
    let examples = blocks(&page(), "yaml");
    assert!(examples.len() >= 2, "the page has examples");
    for example in examples {
        let found = check(&example).await;
        assert_eq!(found["problems"], json!([]), "{example}");
    }
    let project = Project::schema(&blocks(&page(), "yaml")[0]);
    project.write("functions/hello/index.js", "exports.handler = async () => ({ ok: true });");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let body = json!({
        "title": "One", "slug": "one", "author": ada.id(), "body": "<p onclick=x()>hi</p><script>y</script>",
    });
    let post = ada.create("posts", body).await.expect_created();
    assert_eq!(post.0["body"], "<p>hi</p>");
    assert_eq!(post.0["tags"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn mistakes_of_the_page_are_found_all_at_once() {
    let wrong = &blocks(&page(), "yaml-wrong")[0];
    let expected = &blocks(&page(), "text")[0];
    let problems = check(wrong).await["problems"].as_array().expect("a list").clone();
    let shown: Vec<String> = problems
        .iter()
        .map(|problem| {
            assert!(problem["file"].as_str().is_some_and(|file| file.ends_with("schema.yaml")), "{problem}");
            assert!(problem["hint"].is_string(), "{problem}");
            let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
            format!(
                "schema.yaml:{}:{}: {}: {}",
                problem["line"],
                problem["column"],
                text("path"),
                text("message")
            )
        })
        .collect();
    assert_eq!(shown, expected.lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_in_words() {
    let schema = "version: 1\ncollections:\n  c:\n    fields:\n      id: { type: id, primary: true, default: auto }\n      f: { type: file }\n      v: { type: vector }\nbuckets: { covers: { backend: local } }\n";
    let found = check(schema).await.to_string();
    for part in ["\"line\":6", "does not store files yet", "\"line\":7", "unknown type", "\"line\":8"] {
        assert!(found.contains(part), "{part} is not in {found}");
    }
}

#[tokio::test]
async fn the_format_is_printed_for_editors() {
    let folder = Project::new();
    let said = Cli::in_folder(&folder.folder()).run(&["schema", "json-schema"]).await.expect_ok();
    let published = fs::read_to_string(tree::root().join("docs/schema.json")).expect("read the copy");
    assert_eq!(said.json(), serde_json::from_str::<Value>(&published).expect("the copy is JSON"));
}

/// One field of every type, through the API and back, and what each refuses.
#[tokio::test]
async fn every_type_keeps_its_values() {
    let options = [
        ("short", "type: id"),
        ("uid", "type: uuid"),
        ("line", "type: string, maxLength: 5"),
        ("prose", "type: text, validate: { pattern: \"^[a-z ]*$\" }"),
        ("page", "type: richtext, richtext: { preset: basic }"),
        ("count", "type: int, validate: { min: 0, max: 9007199254740992 }"),
        ("weight", "type: float"),
        ("flag", "type: bool"),
        ("at", "type: timestamp"),
        ("day", "type: date"),
        ("tree", "type: json"),
        ("bytes", "type: blob"),
        ("mail", "type: email"),
        ("link", "type: url"),
        ("one", "type: select, select: { values: [a, b] }"),
        ("many", "type: select, select: { values: [a, b, c], maxSelect: 2 }"),
        ("other", "type: relation, relation: { collection: users }"),
    ];
    let fields: String =
        options.iter().map(|(name, options)| format!("      {name}: {{ {options} }}\n")).collect();
    let server = TestServer::start(Project::schema(&format!(
        "version: 1\ncollections:\n  all:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n{fields}    rules: {{ create: \"true\", read: \"true\" }}\n"
    )))
    .await;
    let ada = server.user("ada").await;
    let sent = json!({
        "short": "aZ-_9", "uid": "0199A9C8-0000-7000-8000-000000000000", "line": "áéíóú", "prose": "a b",
        "page": "<p>a<em>b</em></p><h1>c</h1>", "count": 9_007_199_254_740_991_i64, "weight": 0.1, "flag": false,
        "at": "2026-01-02T03:04:05.000006+01:00", "day": "2024-02-29", "tree": { "a": [1, null, "x"] },
        "bytes": "aGk=", "mail": "Ada@Example.org", "link": "https://example.org/x?y#z", "one": "b",
        "many": ["c", "a"], "other": ada.id(),
    });
    let mut expected = sent.clone();
    expected["uid"] = json!("0199a9c8-0000-7000-8000-000000000000");
    expected["page"] = json!("<p>a<em>b</em></p>c");
    expected["at"] = json!("2026-01-02T02:04:05.000006Z");
    expected["mail"] = json!("ada@example.org");
    let document = server.anon().create("all", sent.clone()).await.expect_created();
    let mut stored = server.anon().get("all", document.id()).await.expect_ok();
    stored.as_object_mut().expect("an object").remove("id");
    assert_eq!(stored, expected);
    let wrong = json!({
        "short": "a b", "uid": "0", "line": "123456", "prose": "A", "page": 1, "count": -1, "weight": "1",
        "flag": 0, "at": "2026-01-02", "day": "2026-02-29", "bytes": "?", "mail": "ada", "link": "ftp://x",
        "one": "c", "many": ["a", "b", "c"], "other": "a b",
    });
    let problem = server.anon().create("all", wrong.clone()).await.expect_error(422, "validation_failed");
    let named: Vec<String> = problem.errors.iter().map(|error| error.field.clone()).collect();
    for field in wrong.as_object().expect("an object").keys() {
        assert!(named.contains(field), "{field} is not among {named:?}");
    }
    assert!(named.contains(&"tree".to_owned()), "absent and required: {named:?}");
    server.stop().await;
}
