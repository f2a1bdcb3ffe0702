//! `examples/blog`, end to end: what its README shows, then a restart with everything still there.

use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer, peers, tree};
use serde_json::json;

use crate::docs::{blocks, follow, steps};
use crate::titles;

async fn write(author: &Client, slug: &str, status: &str) -> alyx_tests::Document {
    let post =
        json!({ "title": slug, "slug": slug, "body": "text", "author": author.id(), "status": status });
    author.create("posts", post).await.expect_created()
}

#[tokio::test]
async fn the_whole_story() {
    let server = TestServer::start(Project::blog()).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let again = server.anon().login("ada@example.org", PASSWORD).await;
    assert_eq!(again.get_path("/api/auth/me").await.expect_ok()["email"], "ada@example.org");

    let draft = write(&ada, "a-draft", "draft").await;
    write(&bob, "bobs-draft", "draft").await;
    write(&bob, "bobs-post", "published").await;
    let list = ada.list("posts", "sort=title&count=true").await.expect_ok();
    assert_eq!(titles(list["docs"].as_array().unwrap()), ["a-draft", "bobs-post"]);
    assert_eq!(list["total"], 2);
    bob.patch("posts", draft.id(), json!({ "title": "mine now" }))
        .await
        .expect_error(404, "document_not_found");
    let patched = ada.patch("posts", draft.id(), json!({ "title": "A draft" })).await.expect_document();
    assert_eq!(patched.0["title"], "A draft");

    for runtime in ["node", "python", "go"] {
        let hello = ada.invoke(&format!("hello-{runtime}"), json!({ "name": "Ada" })).await;
        assert_eq!(hello.expect_ok(), json!({ "hello": "Ada", "from": runtime }));
    }

    let published =
        ada.invoke("publish", json!({ "title": "Hello, world", "body": "first" })).await.expect_created();
    assert_eq!(published.0["slug"], "hello-world");
    bob.invoke("publish", json!({ "id": draft.id() })).await.expect_error(404, "post_not_found");
    server.anon().invoke("publish", json!({ "id": draft.id() })).await.expect_error(401, "unauthenticated");
    assert_eq!(ada.invoke("publish", json!({ "id": draft.id() })).await.expect_ok()["status"], "published");
    ada.invoke("publish", json!({ "id": draft.id() })).await.expect_error(409, "already_published");

    let stats = bob.invoke("stats", json!({})).await.expect_ok();
    assert_eq!((&stats["posts"], &stats["by_status"]), (&json!(4), &json!({ "draft": 1, "published": 3 })));
    assert_eq!(server.anon().invoke("stats", json!({})).await.expect_ok()["posts"], 3);
    let feed = server.anon().invoke("feed", json!({})).await.expect_status(200);
    assert!(
        feed.header("content-type").is_some_and(|kind| kind.starts_with("application/rss+xml")),
        "{feed:?}"
    );
    assert!(feed.text().contains("<title>A draft</title>") && !feed.text().contains("bobs-draft"), "{feed}");

    let comment = json!({ "post": published.id(), "author": bob.id(), "text": "well said" });
    bob.create("comments", comment.clone()).await.expect_error(403, "forbidden");
    let admin = server.admin().await;
    admin.patch("users", bob.id(), json!({ "verified": true })).await.expect_ok();
    bob.create("comments", comment).await.expect_created();

    let server = server.restart().await;
    let ada = server.anon().login("ada@example.org", PASSWORD).await;
    assert_eq!(ada.get("posts", draft.id()).await.expect_document().0["title"], "A draft");
    assert_eq!(server.anon().invoke("stats", json!({})).await.expect_ok()["posts"], 3);
    assert_eq!(server.anon().list("comments", "count=true").await.expect_ok()["total"], 1);
    ada.delete("posts", published.id()).await.expect_status(204);
    assert_eq!(server.anon().list("comments", "count=true").await.expect_ok()["total"], 0);
    server.stop().await;
}

#[tokio::test]
async fn the_readme_can_be_followed() {
    let Some(python) = peers::python() else { return };
    let readme = std::fs::read_to_string(tree::root().join("examples/blog/README.md")).unwrap();
    let server = TestServer::start(Project::blog()).await;
    // What the terminal shows, under the name that the page keeps it by.
    let shown = server.project.root().join("output");
    std::os::unix::fs::symlink(shown, server.project.folder().join("blog.log")).unwrap();
    // `pip install pyotp`
    let programs = std::path::Path::new(python.get_program()).parent().unwrap().display().to_string();
    let mut all = steps(&format!("$ export PATH={programs}:$PATH"));
    all.extend(blocks(&readme, "console").iter().flat_map(|block| steps(block)));
    assert!(all.len() >= 50, "{}", all.len());
    follow(&all, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}
