//! The documentation does what it says.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

pub use alyx_tests::page::{Step, blocks, steps};
use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, page, peers, tree};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// For all commands of a page: some wait for what is to come.
const PATIENCE: Duration = Duration::from_secs(900);

/// Types the steps into one shell and checks that each succeeds and prints what is shown.
pub async fn follow(steps: &[Step], folder: &Path, server: Option<&TestServer>) {
    let script = page::script(steps, |command| match server {
        Some(server) => command.replace("http://127.0.0.1:8090", server.url()),
        None => command.to_owned(),
    });
    let programs = tree::program("alyx").parent().expect("a program lies in a folder").to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    shell.current_dir(folder).env("PATH", path).env_remove("ALYX_URL");
    match server {
        Some(server) => shell.env("ALYX_SOCKET", server.admin_socket()),
        None => shell.env_remove("ALYX_SOCKET"),
    };
    let mut shell =
        shell.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start bash");
    let mut stdin = shell.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).await.expect("type the commands");
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, shell.wait_with_output()).await;
    let output = output.expect("the commands come to an end").expect("wait for bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    page::check(steps, &text);
}

#[tokio::test]
async fn getting_started() {
    let text = fs::read_to_string(tree::root().join("docs/getting-started.md")).unwrap();
    let (before, after) = text.split_once("```sh\nalyx dev\n```").expect("the page starts the service");
    let steps_of =
        |text: &str| blocks(text, "console").iter().flat_map(|block| steps(block)).collect::<Vec<_>>();
    let project = Project::new();
    fs::remove_dir(project.folder()).unwrap();
    follow(&steps_of(before), project.root(), None).await;
    fs::rename(project.root().join("notes"), project.folder()).unwrap();
    let server = TestServer::start(project).await;
    follow(&steps_of(after), &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_changes_realtime_and_backups_work() {
    let read = |page: &str| fs::read_to_string(tree::root().join(page)).unwrap();
    let text = read("docs/changes.md") + &read("docs/realtime.md") + &read("docs/backup.md");
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 6);
    let server = TestServer::start(Project::example("basic")).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_example_of_a_bucket_for_backups_works() {
    let Some(bucket) = crate::backup_s3::Bucket::start().await else { return };
    let text = fs::read_to_string(tree::root().join("docs/backup.md")).unwrap();
    let config = blocks(&text, "yaml").into_iter().find(|block| block.contains("s3_bucket")).unwrap();
    let config = config
        .replace("https://s3.example.com", bucket.url())
        .replace("${S3_ACCESS_KEY}", crate::backup_s3::KEY)
        .replace("${S3_SECRET_KEY}", crate::backup_s3::SECRET);
    let server = TestServer::start(Project::example("basic").with("alyx.yaml", &config)).await;
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_reading_documents_work() {
    let text = fs::read_to_string(tree::root().join("docs/queries.md")).unwrap();
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 15);
    let server = TestServer::start(Project::schema(&blocks(&text, "yaml")[0])).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_writing_documents_work() {
    let text = fs::read_to_string(tree::root().join("docs/documents.md")).unwrap();
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 20);
    let server = TestServer::start(Project::schema(&blocks(&text, "yaml")[0])).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

/// Transfers, responses and errors as `docs/functions.md` writes them, in every language it shows.
#[tokio::test]
async fn the_functions_of_the_page_about_functions_work() {
    let text = fs::read_to_string(tree::root().join("docs/functions.md")).unwrap();
    let languages = [("js", "node", "index.js"), ("python", "python", "main.py"), ("go", "go", "main.go")];
    let mut schema = "version: 1\ncollections:\n  accounts:\n    fields:\n      \
        id: { type: id, primary: true, default: auto, client: true }\n      balance: { type: int }\n    \
        rules: { read: 'true', create: 'true', update: 'true' }\nfunctions:\n"
        .to_owned();
    let mut project = Project::new();
    let mut names = Vec::new();
    for (language, runtime, file) in languages {
        for (number, code) in blocks(&text, language).iter().enumerate() {
            let name = format!("{language}{number}");
            schema.push_str(&format!("  {name}: {{ runtime: {runtime}, rules: {{ invoke: 'true' }} }}\n"));
            project = project.with(&format!("functions/{name}/{file}"), code);
            names.push((name, code.clone()));
        }
    }
    let server = TestServer::start(project.with("schema.yaml", &schema)).await;
    let anon = server.anon();
    for id in ["a", "b"] {
        anon.create("accounts", json!({ "id": id, "balance": 100 })).await.expect_created();
    }
    let (mut moved, mut refused, mut greeted) = (0, 0, 0);
    for (name, code) in names {
        if code.contains("ransaction(") {
            let transfer = json!({ "from": "a", "to": "b", "amount": 5 });
            anon.invoke(&name, transfer).await.expect_status(204);
            moved += 5;
        } else if code.contains("card_declined") {
            let problem = anon.invoke(&name, json!({})).await.expect_error(402, "card_declined");
            assert_eq!(problem.details.unwrap()["attempt"], 2);
            refused += 1;
        } else if code.contains("hello") {
            assert_eq!(anon.invoke(&name, json!({})).await.expect_ok()["hello"], "world");
            greeted += 1;
        }
    }
    assert_eq!((moved, refused, greeted), (15, 3, 3));
    assert_eq!(anon.get("accounts", "b").await.expect_ok()["balance"], 100 + moved);
    assert_eq!(anon.get("accounts", "a").await.expect_ok()["balance"], 100 - moved);
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_hooks_and_events_work() {
    let text = fs::read_to_string(tree::root().join("docs/events.md")).unwrap();
    let mut project = Project::schema(&format!("version: 1\n{}", blocks(&text, "yaml")[0]));
    for file in text.lines().filter_map(|line| line.strip_prefix('`')?.strip_suffix("`:")) {
        let (_, after) = text.split_once(&format!("`{file}`:\n")).unwrap();
        if file.ends_with(".js") {
            project = project.with(file, &blocks(after, "js")[0]);
        }
    }
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 8);
    let server = TestServer::start(project).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.user("ada").await;
    let admin = server.over_admin_socket();
    let path = "/api/collections/orders/o1";
    admin.send(Method::PATCH, path, Some(json!({ "state": "paid" }).to_string())).await.expect_ok();
    for order in ["o1", "order.paid o1"] {
        wait_for("a receipt", Duration::from_secs(60), async || {
            let found = admin.list("receipts", "").await.expect_ok();
            found["docs"].as_array().unwrap().iter().any(|doc| doc["order"] == order).then_some(())
        })
        .await;
    }
    wait_for("the welcome", Duration::from_secs(60), async || {
        let said = server.cli().run(&["logs", "--function", "welcome"]).await;
        said.out.contains("register: ada@example.org").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_webhooks_work() {
    let text = fs::read_to_string(tree::root().join("docs/webhooks.md")).unwrap();
    let configs = blocks(&text, "yaml");
    let [schema, config] = configs.as_slice() else { panic!("{configs:#?}") };
    let project = Project::schema(&format!("version: 1\n{schema}")).with("alyx.yaml", config);
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 6);
    let server = TestServer::start(project).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_inbound_webhooks_work() {
    let text = fs::read_to_string(tree::root().join("docs/inbound.md")).unwrap();
    let mut project = Project::schema(&format!("version: 1\n{}", blocks(&text, "yaml")[0]));
    let code = ["functions/paid/index.js", "functions/command/index.js"].into_iter().zip(blocks(&text, "js"));
    for (file, block) in code.chain([("send.py", blocks(&text, "python")[0].clone())]) {
        assert!(text.contains(&format!("`{file}`:")), "{file}");
        project = project.with(file, &block);
    }
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 12);
    let server = TestServer::start(project).await;
    follow(&steps, &server.project.folder(), Some(&server)).await;
    wait_for("the payment", Duration::from_secs(60), async || {
        let found = server.over_admin_socket().list("payments", "").await.expect_docs();
        (found.len() == 1 && found[0]["order"] == "o1").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_serving_http_work() {
    let text = fs::read_to_string(tree::root().join("docs/http.md")).unwrap();
    let configs = blocks(&text, "yaml");
    let [tls, proxy, origins] = configs.as_slice() else { panic!("{configs:#?}") };
    // Files and ports of this test.
    let tls = tls
        .replace("/etc/alyx/tls/fullchain.pem", "tls.pem")
        .replace("/etc/alyx/tls/privkey.pem", "tls.key")
        .replace("0.0.0.0:443", "127.0.0.1:0")
        .replace("127.0.0.1:8090", "127.0.0.1:0");
    let project = Project::example("basic").with("alyx.yaml", &tls);
    crate::tls::certify(&project.folder(), "localhost").await;
    let server = TestServer::start(project).await;
    let status = server.over_admin_socket().get_path("/api/admin/status").await.expect_ok();
    assert!(status["tls_listen"].is_string(), "{status}");
    server.stop().await;
    let project = Project::example("basic").with("alyx.yaml", &format!("{proxy}\n{origins}\n"));
    let server = TestServer::start(project).await;
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 6);
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_of_accounts_work() {
    let Some(python) = peers::python() else { return };
    let text = fs::read_to_string(tree::root().join("docs/auth-flows.md")).unwrap();
    let project = Project::blog().with("alyx.yaml", &blocks(&text, "yaml")[0]);
    // What the terminal shows, under the name that the page keeps it by.
    std::os::unix::fs::symlink(project.root().join("output"), project.folder().join("blog.log")).unwrap();
    let programs = Path::new(python.get_program()).parent().unwrap().display().to_string();
    let mut all = steps(&format!("$ export PATH={programs}:$PATH"));
    all.extend(blocks(&text, "console").iter().flat_map(|block| steps(block)));
    assert!(all.len() >= 60, "{}", all.len());
    let server = TestServer::start(project).await;
    follow(&all, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

fn documents() -> Vec<(String, String)> {
    tree::files(".")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[tokio::test]
async fn m44_documented_commands_and_flags_exist() {
    let programs = tree::program("alyx").parent().expect("a program lies in a folder").to_owned();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (path, text) in documents() {
        let blocks = ["console", "sh"].map(|language| blocks(&text, language)).concat();
        for line in blocks.iter().flat_map(|block| block.lines()) {
            let line = line.trim_start_matches("$ ").trim();
            let ours =
                ["alyx ", "alyxd ", "alyx-supervisor "].iter().any(|program| line.starts_with(program));
            if !ours || line.contains(['|', '>', ';', '&']) {
                continue;
            }
            tried += 1;
            let script = format!("PATH={}:$PATH; {line} --help", programs.display());
            let output = Command::new("bash").args(["-c", &script]).output().await.expect("run bash");
            if !output.status.success() {
                wrong.push(format!("{path}: {line}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried >= 5, "only {tried} commands are documented");
}

#[tokio::test]
async fn m44_documented_endpoints_exist() {
    let mut known: Vec<Vec<String>> = Vec::new();
    for example in ["basic", "blog"] {
        let server = TestServer::start(Project::example(example)).await;
        let openapi = server.anon().get_path("/api/openapi.json").await.expect_ok();
        let paths = openapi["paths"].as_object().expect("paths").keys();
        known.extend(paths.map(|path| path.split('/').map(str::to_owned).collect()));
        server.stop().await;
    }
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        let code = ["console", "sh", "http"].map(|language| blocks(&text, language)).concat().join("\n");
        for (at, _) in code.match_indices("/api/") {
            let endpoint: String = code[at..]
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || "/-_.${}".contains(*letter))
                .collect();
            let segments: Vec<&str> = endpoint.trim_end_matches(['.', '/']).split('/').collect();
            let matches = |template: &&Vec<String>| {
                template.len() == segments.len()
                    && template
                        .iter()
                        .zip(&segments)
                        .all(|(part, segment)| part.starts_with('{') || part == segment)
            };
            // The call of an unknown function, and a collection of the page itself.
            let own = ["/api/functions/nothing", "/api/collections/orders"];
            if !known.iter().any(|template| matches(&template)) && !own.contains(&endpoint.as_str()) {
                wrong.push(format!("{path}: {endpoint}"));
            }
        }
    }
    assert!(wrong.is_empty(), "documented, but not in the OpenAPI document: {wrong:#?}");
}
