//! `examples/blog`, end to end: what its README shows, then a restart with everything still there.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use alyx_tests::server::PASSWORD;
use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer, peers, tree};
use serde_json::{Value, json};

use crate::docs::{blocks, follow, steps};
use crate::titles;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where the example tells of posts.
const URL: &str = "http://127.0.0.1:8099/posts";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

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

/// What other services are told of, what new users find, and what the night leaves.
#[tokio::test]
async fn m36_the_example_welcomes_tells_others_and_counts_at_night() {
    let Some(receiver) = peers::server("receiver.mjs", &[SECRET, &SECRET.replace('r', "s")]).await else {
        return;
    };
    let project = Project::blog();
    let schema = std::fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
    assert!(schema.contains(URL));
    project.write("schema.yaml", &schema.replace(URL, &format!("{}/ok", receiver.url)));
    let server = TestServer::start(project).await;
    let admin = server.over_admin_socket();
    let ada = server.user("ada").await;
    let notices = wait_for("the welcome", PATIENCE, async || {
        let notices = ada.list("notices", "").await.expect_docs();
        (!notices.is_empty()).then_some(notices)
    })
    .await;
    assert_eq!((notices.len(), &notices[0]["user"]), (1, &json!(ada.id())), "{notices:?}");
    let bob = server.user("bob").await;
    assert_eq!(server.anon().list("notices", "").await.expect_docs(), Vec::<Value>::new());

    // A blog whose secret is not set works, and what it owes is delivered once it is.
    let draft = write(&ada, "first", "draft").await;
    ada.invoke("publish", json!({ "id": draft.id() })).await.expect_ok();
    wait_for("the secret to be missed", PATIENCE, async || {
        let jobs = server.cli().run(&["--json", "jobs", "list", "--target", "published"]).await.expect_ok();
        jobs.out.contains("the secret BLOG_WEBHOOK is not set").then_some(())
    })
    .await;
    server.cli().run_with_input(&["secrets", "set", "BLOG_WEBHOOK"], SECRET).await.expect_ok();
    write(&bob, "second", "published").await;
    // Neither of these is published.
    write(&bob, "third", "draft").await;
    ada.patch("posts", draft.id(), json!({ "title": "First" })).await.expect_ok();
    let told = wait_for("both posts to be told", PATIENCE, async || {
        let seen = reqwest::get(format!("{}/seen", receiver.url)).await.expect("ask the receiver");
        let seen: Vec<Value> = serde_json::from_str(&seen.text().await.expect("its answer")).expect("JSON");
        (seen.len() >= 2).then_some(seen)
    })
    .await;
    assert!(told.iter().all(|one| one["verified"] == json!([true, false])), "{told:#?}");
    let body = |one: &Value| serde_json::from_str::<Value>(one["body"].as_str().unwrap()).unwrap();
    let mut posts: Vec<String> =
        told.iter().map(|one| body(one)["data"]["doc"]["slug"].as_str().unwrap().to_owned()).collect();
    posts.sort();
    assert_eq!(posts, ["first", "second"]);

    let job = server.cli().run(&["schedules", "trigger", "nightly"]).await.expect_ok();
    let digests = wait_for("the digest", PATIENCE, async || {
        let digests = admin.list("digests", "").await.expect_docs();
        (!digests.is_empty()).then_some(digests)
    })
    .await;
    assert_eq!(
        (digests.len(), &digests[0]["posts"], &digests[0]["comments"]),
        (1, &json!(1), &json!(0)),
        "only publish says when a post was published: {digests:?} {job:?}"
    );
    let nightly = admin.get_path("/api/schedules/nightly").await.expect_ok();
    assert_eq!(nightly["next_runs"].as_array().map(Vec::len), Some(5), "{nightly}");
    server.stop().await;
}

#[tokio::test]
async fn the_readme_can_be_followed() {
    let Some(python) = peers::python() else { return };
    let readme = std::fs::read_to_string(tree::root().join("examples/blog/README.md")).unwrap();
    // The port of the page may be somebody else's.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let readme = readme.replace("8099", &port);
    let project = Project::blog();
    let schema = std::fs::read_to_string(project.folder().join("schema.yaml")).unwrap();
    project.write("schema.yaml", &schema.replace("8099", &port));
    let server = TestServer::start(project).await;
    // A tree in which the example and its data lie where the page has them, and what the terminal shows
    // under the name that the page keeps it by.
    let (root, folder) = (server.project.root(), server.project.folder());
    std::fs::create_dir(root.join("examples")).unwrap();
    symlink(&folder, root.join("examples/blog")).unwrap();
    symlink(server.project.data(), folder.join(".alyx")).unwrap();
    symlink("output", root.join("blog.log")).unwrap();
    // `pip install pyotp standardwebhooks`
    let programs = Path::new(python.get_program()).parent().unwrap().display().to_string();
    let mut all = steps(&format!("$ export PATH={programs}:$PATH"));
    all.extend(blocks(&readme, "console").iter().flat_map(|block| steps(block)));
    assert!(all.len() >= 60, "{}", all.len());
    follow(&all, root, Some(&server)).await;
    server.stop().await;
}
