//! Full-text search through the real binaries.

use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

const SCHEMA: &str = r#"version: 1
collections:
  articles:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      title: { type: string, search: true }
      body: { type: text, search: true, nullable: true }
      fee: { type: text, search: true, nullable: true, rules: { read: "auth.role == 'clerk'" } }
      draft: { type: text, nullable: true }
      owner: { type: string, default: all }
    rules: { read: "doc.owner == 'all'", create: "true", update: "true", delete: "true" }
  plain:
    fields:
      id: { type: id, primary: true, default: auto }
      title: { type: string }
    rules: { read: "true" }
"#;

async fn start() -> (TestServer, Client) {
    let server = TestServer::start(Project::schema(SCHEMA)).await;
    let admin = server.admin().await;
    for article in [
        json!({ "id": "a1", "title": "The quick brown fox", "body": "jumps over the lazy dog", "fee": "zebra" }),
        json!({ "id": "a2", "title": "A dog's life", "body": "The dog sleeps. The dog eats. <b>Dog</b> & co." }),
        json!({ "id": "a3", "title": "Café au lait", "body": "quick to make", "draft": "walrus" }),
        json!({ "id": "a4", "title": "Hidden dog", "body": "dog dog dog", "owner": "nobody" }),
    ] {
        admin.create("articles", article).await.expect_created();
    }
    (server, admin)
}

async fn search(who: &Client, text: &str, more: &str) -> Value {
    let url = encode(text);
    who.list("articles", &format!("search={url}{more}")).await.expect_ok()
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn ids(page: &Value) -> String {
    let docs = page["docs"].as_array().expect("docs");
    docs.iter().map(|doc| doc["id"].as_str().expect("id")).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn m01_search_ranks_what_the_caller_may_see() {
    let (server, admin) = start().await;
    let anon = server.anon();
    for (text, expected) in [
        ("dog", "a2 a1"),
        ("DOG", "a2 a1"),
        ("quick", "a3 a1"),
        ("quick dog", "a1"),
        ("\"lazy dog\"", "a1"),
        ("\"dog lazy\"", ""),
        ("qui*", "a3 a1"),
        ("qui", ""),
        ("cafe", "a3"),
        ("café", "a3"),
        ("dog's", "a2"),
        ("walrus", ""),
        ("zebra", ""),
        ("a1", ""),
        ("nobody", ""),
    ] {
        assert_eq!(ids(&search(&anon, text, "").await), expected, "{text}");
    }
    assert_eq!(ids(&search(&admin, "zebra", "").await), "a1");
    assert!(ids(&search(&admin, "dog", "").await).starts_with("a4"), "the best match comes first");
    let page = search(&anon, "dog", "&count=true&limit=1").await;
    assert_eq!((ids(&page), &page["total"]), ("a2".to_owned(), &json!(2)));
    let next =
        search(&anon, "dog", &format!("&limit=1&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&next), next.get("next_cursor")), ("a1".to_owned(), None));
    let sorted = search(&anon, "dog", "&sort=id&filter=title:contains:fox&fields=id").await;
    assert_eq!(sorted["docs"], json!([{ "id": "a1" }]));
    assert_eq!(sorted["snippets"], json!([{ "body": "jumps over the lazy <mark>dog</mark>" }]));
    let page = search(&anon, "dog", "").await;
    let body = page["snippets"][0]["body"].as_str().unwrap();
    assert!(body.contains("&lt;b&gt;<mark>Dog</mark>&lt;/b&gt; &amp; co."), "{body}");
    let count = anon.get_path("/api/collections/articles/aggregate?search=dog").await.expect_ok();
    assert_eq!(count["groups"][0]["count"], 2);
    anon.list("plain", "search=x").await.expect_error(400, "invalid_parameter");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_search_is_a_syntax_error_or_reaches_further() {
    let (server, _) = start().await;
    let anon = server.anon();
    for text in [
        "\"",
        "\"\"",
        "dog\"",
        "\"dog",
        "dog AND",
        "OR",
        "NOT dog",
        "NEAR(dog lazy)",
        "NEAR(",
        "dog)",
        "((",
        "fee:zebra",
        "fee : zebra",
        "{fee} : zebra",
        "-title",
        "^dog",
        "dog + lazy",
        "*",
        "dog**",
        "'; DROP TABLE articles; --",
        "\\",
        "a\u{1}b",
        "😀",
        "😀 dog",
        "{",
        "}",
        "[",
        "col:",
        ":",
        "% _",
        "dog\n\tlazy",
        "ﷺ",
        "\u{301}",
        "x\u{301}\u{301}*",
    ] {
        let answer = anon.list("articles", &format!("search={}", encode(text))).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{text}: {answer}");
        if answer.status.as_u16() == 200 {
            assert!(!answer.text().contains("\"id\":\"a4\""), "{text}: {answer}");
        } else {
            answer.expect_error(400, "invalid_parameter");
        }
    }
    for text in ["fee:zebra", "{fee} : zebra", "zebra OR lazy"] {
        assert_eq!(ids(&search(&anon, text, "").await), "", "{text}");
    }
    for text in ["", " ", "!!!", &"x".repeat(513), &"x ".repeat(33), "a\0b"] {
        let answer = anon.list("articles", &format!("search={}", encode(text))).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{text}: {answer}");
    }
    assert_eq!(ids(&search(&anon, "quick", "").await), "a3 a1", "nothing was changed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_writes_and_schemas() {
    let (server, admin) = start().await;
    admin.patch("articles", "a1", json!({ "body": "sits on a fence" })).await.expect_status(200);
    assert_eq!(ids(&search(&admin, "fence", "").await), "a1");
    assert_eq!(ids(&search(&admin, "lazy", "").await), "");
    admin.patch("articles", "a1", json!({ "owner": "other" })).await.expect_status(200);
    assert_eq!(ids(&search(&server.anon(), "fence", "").await), "");
    admin.delete("articles", "a1").await.expect_status(204);
    assert_eq!(ids(&search(&admin, "fence", "").await), "");
    // Another field is searched from the next start on, with the documents there are.
    let project = server.stop().await;
    project.write(
        "schema.yaml",
        &SCHEMA.replace(
            "draft: { type: text, nullable: true }",
            "draft: { type: text, nullable: true, search: true }",
        ),
    );
    let server = TestServer::start(project).await;
    let admin = server.admin().await;
    assert_eq!(ids(&search(&server.anon(), "walrus", "").await), "a3");
    assert!(search(&admin, "dog", "").await["docs"].as_array().unwrap().len() == 2);
    admin.create("articles", json!({ "title": "new", "draft": "walrus again" })).await.expect_created();
    assert_eq!(search(&admin, "walrus", "").await["docs"].as_array().unwrap().len(), 2);
    server.stop().await;
}
