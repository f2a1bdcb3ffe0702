//! Changes of the schema with documents in them, through the real programs.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Cli, Client, Project, Said, TestServer, tree};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// A schema with one collection `c` of these fields, open to all.
fn schema(fields: &str) -> String {
    rules(fields, "{ create: 'true', read: 'true', update: 'true', delete: 'true' }")
}

fn rules(fields: &str, rules: &str) -> String {
    format!(
        "version: 1\ncollections:\n  c:\n    fields:\n      id: {{ type: string, primary: true }}\n{fields}    rules: {rules}\n"
    )
}

fn field(name: &str, options: &str) -> String {
    format!("      {name}: {{ {options} }}\n")
}

/// `alyxd` alone, as in production: nothing is watched.
struct Daemon {
    project: Project,
    child: Child,
}

impl Daemon {
    async fn start(project: Project) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(project.root().join("log")).unwrap();
        let child = Command::new(tree::program("alyxd"))
            .arg("serve")
            .arg("--project")
            .arg(project.folder())
            .arg("--data")
            .arg(project.data())
            .args(["--listen", "127.0.0.1:0", "--die-with-parent"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("start alyxd");
        let mut daemon = Self { project, child };
        let cli = daemon.cli();
        for _ in 0..600 {
            let ended = daemon.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "alyxd ended: {}", daemon.log());
            if cli.run(&["status", "--json"]).await.code == 0 {
                return daemon;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("alyxd does not answer: {}", daemon.log());
    }

    fn socket(&self) -> std::path::PathBuf {
        self.project.data().join("run/admin.sock")
    }

    fn cli(&self) -> Cli {
        Cli::in_folder(&self.project.folder()).with_socket(&self.socket())
    }

    fn admin(&self) -> Client {
        Client::over_socket(&self.socket())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.project.root().join("log")).unwrap_or_default()
    }

    async fn migrate(&self, arguments: &[&str]) -> Said {
        let all: Vec<&str> = ["migrate"].iter().chain(arguments).chain(&["--json"]).copied().collect();
        self.cli().run(&all).await
    }

    async fn docs(&self, collection: &str) -> Vec<Value> {
        self.admin().list(collection, "sort=id").await.expect_docs()
    }

    async fn stop(mut self) -> Project {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("alyxd stops").unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        self.project
    }

    async fn restart(self) -> Self {
        Self::start(self.stop().await).await
    }
}

fn classes(answer: &Value) -> Vec<(String, Option<u64>)> {
    let change = |change: &Value| {
        (change["class"].as_str().unwrap_or_default().to_owned(), change["documents"].as_u64())
    };
    answer["changes"].as_array().expect("changes").iter().map(change).collect()
}

#[tokio::test]
async fn m18_what_loses_data_waits_for_a_yes_and_a_backup_brings_it_back() {
    let before = schema(&(field("n", "type: int, default: 0") + &field("s", "type: string, nullable: true")));
    let daemon = Daemon::start(Project::schema(&before)).await;
    for id in ["a", "b", "d"] {
        daemon.admin().create("c", json!({ "id": id, "n": 1, "s": "kept" })).await.expect_created();
    }
    daemon.project.write("schema.yaml", &schema(&field("n", "type: int, default: 0")));
    let plan = daemon.migrate(&["plan"]).await.expect_ok().json();
    assert_eq!(classes(&plan), [("needs-confirmation".to_owned(), Some(3))], "{plan}");
    let refused = daemon.migrate(&["apply"]).await.expect_code(5);
    assert_eq!(refused.json()["code"], "needs_confirmation");
    assert_eq!(refused.json()["details"]["changes"], plan["changes"]);
    // Started anew it serves what there is and says what waits.
    let daemon = daemon.restart().await;
    assert_eq!(daemon.docs("c").await[0]["s"], "kept");
    let health = daemon.admin().get_path("/health").await.json();
    assert_eq!(health["components"]["schema"]["state"], "degraded", "{health}");
    assert!(daemon.log().contains("needs-confirmation: drop the field c.s"), "{}", daemon.log());

    let done = daemon.migrate(&["apply", "--yes"]).await.expect_ok().json();
    let copy = done["backup"].as_str().expect("a copy was made").to_owned();
    assert!(std::path::Path::new(&copy).starts_with(daemon.project.data().join("backups")), "{copy}");
    assert_eq!(daemon.docs("c").await[0], json!({ "id": "a", "n": 1 }));
    daemon.admin().create("c", json!({ "id": "later", "n": 2 })).await.expect_created();
    let health = daemon.admin().get_path("/health").await.json();
    assert_eq!(health["components"]["schema"]["state"], "ok", "{health}");

    let refused = daemon.migrate(&["rollback"]).await.expect_code(5).json();
    assert_eq!(refused["details"]["method"], "backup");
    assert_eq!(refused["details"]["writes_lost"], 1);
    assert_eq!(daemon.docs("c").await.len(), 4);
    daemon.project.write("schema.yaml", &before);
    let place = daemon.admin().get_path("/api/changes").await.expect_ok()["next"].clone();
    let place = place.as_str().unwrap();
    let back = daemon.migrate(&["rollback", "--yes"]).await.expect_ok().json();
    assert_eq!(back["from"].as_str(), Some(copy.as_str()));
    // It is another database for whoever follows the changes.
    daemon
        .admin()
        .get_path(&format!("/api/changes?since={place}"))
        .await
        .expect_error(410, "resync_required");
    let docs = daemon.docs("c").await;
    assert_eq!(docs.len(), 3);
    assert!(docs.iter().all(|doc| doc["s"] == "kept"), "{docs:?}");
    daemon.admin().create("c", json!({ "id": "after", "n": 2, "s": "x" })).await.expect_created();
    let daemon = daemon.restart().await;
    assert_eq!(daemon.docs("c").await.len(), 4);
    daemon.migrate(&["rollback", "--yes"]).await.expect_code(1);
    daemon.stop().await;
}

#[tokio::test]
async fn m18_files_are_applied_once_in_the_order_of_their_numbers() {
    let old = schema(&(field("name", "type: string") + &field("age", "type: string, nullable: true")));
    let daemon = Daemon::start(Project::schema(&old)).await;
    daemon.admin().create("c", json!({ "id": "a", "name": "Ada", "age": "36" })).await.expect_created();
    daemon.admin().create("c", json!({ "id": "b", "name": "Bob", "age": "old" })).await.expect_created();
    let new = schema(
        &(field("title", "type: string")
            + &field("age", "type: int, nullable: true")
            + &field("slug", "type: string, unique: true")
            + &field("n", "type: int, default: 1")),
    )
    .replace("  c:\n", "  people:\n");
    daemon.project.write("schema.yaml", &new);
    // As text 10 would come before 2.
    daemon.project.write(
        "migrations/0002_names.yaml",
        "steps:\n  - rename_field: { collection: c, from: name, to: title }\n  - rename_collection: { from: c, to: people }\n",
    );
    daemon.project.write(
        "migrations/0010_values.yaml",
        "steps:\n  - change_type: { collection: people, field: age, to: int, otherwise: set_null }\n  - backfill: { collection: people, field: slug, sql: \"lower(title)\" }\n  - sql: { up: \"UPDATE people SET title = title || '!'\", down: \"UPDATE people SET title = rtrim(title, '!')\" }\n",
    );
    let plan = daemon.migrate(&["plan"]).await.expect_ok().json();
    assert_eq!(plan["migrations"], json!(["0002_names", "0010_values"]));
    assert_eq!(plan["class"], "needs-confirmation", "{plan:#}");
    let status = daemon.migrate(&["status"]).await.expect_ok().json();
    assert_eq!(status["pending"], json!(["0002_names", "0010_values"]));
    daemon.migrate(&["apply", "--yes"]).await.expect_ok();
    let expected = json!([
        { "id": "a", "title": "Ada!", "age": 36, "slug": "ada", "n": 1 },
        { "id": "b", "title": "Bob!", "age": null, "slug": "bob", "n": 1 },
    ]);
    assert_eq!(json!(daemon.docs("people").await), expected);
    // Again, and after a restart: nothing.
    assert_eq!(daemon.migrate(&["apply", "--yes"]).await.expect_ok().json()["changes"], json!([]));
    let daemon = daemon.restart().await;
    assert_eq!(json!(daemon.docs("people").await), expected);
    let status = daemon.migrate(&["status"]).await.expect_ok().json();
    assert_eq!(status["pending"], json!([]));
    let states: Vec<&Value> =
        status["migrations"].as_array().unwrap().iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["applied", "applied"]);

    // A new database needs none of them.
    let project = daemon.stop().await;
    let fresh = Project::schema(&new);
    for file in ["0002_names.yaml", "0010_values.yaml"] {
        let path = format!("migrations/{file}");
        fresh.write(&path, &fs::read_to_string(project.folder().join(&path)).unwrap());
    }
    let daemon = Daemon::start(fresh).await;
    let status = daemon.migrate(&["status"]).await.expect_ok().json();
    assert_eq!(status["migrations"][1]["state"], "baseline");
    assert_eq!(daemon.migrate(&["plan"]).await.expect_ok().json()["changes"], json!([]));
    daemon.stop().await;
}

#[tokio::test]
async fn m18_an_applied_file_may_not_change_and_none_comes_before_it() {
    let one = schema(&field("name", "type: string"));
    let daemon = Daemon::start(Project::schema(&one)).await;
    daemon.project.write("schema.yaml", &schema(&field("title", "type: string")));
    let file = "steps: [{ rename_field: { collection: c, from: name, to: title } }]\n";
    daemon.project.write("migrations/0005_title.yaml", file);
    daemon.migrate(&["apply"]).await.expect_ok();
    let problem = async |name: &str, text: &str, expected: &str| {
        daemon.project.write(name, text);
        for verb in ["plan", "apply"] {
            let said = daemon.migrate(&[verb]).await.expect_code(1).json();
            assert_eq!(said["code"], "schema_invalid");
            assert!(said["details"]["problems"].to_string().contains(expected), "{said}");
        }
    };
    problem("migrations/0005_title.yaml", "steps: []\n", "was changed after it was applied").await;
    daemon.project.write("migrations/0005_title.yaml", file);
    problem("migrations/0004_late.yaml", "steps: []\n", "comes before 5").await;
    fs::remove_file(daemon.project.folder().join("migrations/0004_late.yaml")).unwrap();
    problem("migrations/05_again.yaml", "steps: []\n", "has the number of 0005_title").await;
    fs::remove_file(daemon.project.folder().join("migrations/05_again.yaml")).unwrap();
    problem("migrations/six.yaml", "steps: []\n", "the name of a migration file is not valid").await;
    fs::remove_file(daemon.project.folder().join("migrations/six.yaml")).unwrap();
    daemon.migrate(&["plan"]).await.expect_ok();
    // A changed file does not start in production.
    daemon.project.write("migrations/0005_title.yaml", "steps: []\n");
    let project = daemon.stop().await;
    let output = Command::new(tree::program("alyxd"))
        .args(["serve", "--listen", "127.0.0.1:0", "--project"])
        .arg(project.folder())
        .arg("--data")
        .arg(project.data())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("was changed after it was applied"), "{said}");
}

#[tokio::test]
async fn steps_are_taken_back_by_their_down() {
    let old = schema(&field("name", "type: string"));
    let daemon = Daemon::start(Project::schema(&old)).await;
    daemon.admin().create("c", json!({ "id": "a", "name": "Ada" })).await.expect_created();
    daemon.project.write(
        "schema.yaml",
        &schema(&(field("title", "type: string") + &field("n", "type: int, nullable: true"))),
    );
    let file = "steps:\n  - rename_field: { collection: c, from: name, to: title }\n  - sql: { up: \"UPDATE c SET title = upper(title)\", down: \"UPDATE c SET title = lower(title)\" }\n";
    daemon.project.write("migrations/0001_title.yaml", file);
    daemon.migrate(&["apply", "--yes"]).await.expect_ok();
    daemon.admin().create("c", json!({ "id": "b", "title": "BOB", "n": 5 })).await.expect_created();
    assert_eq!(daemon.docs("c").await[0], json!({ "id": "a", "title": "ADA", "n": null }));
    // Taking it back drops the new field with its value.
    let refused = daemon.migrate(&["rollback"]).await.expect_code(5).json();
    assert!(refused["details"]["changes"].to_string().contains("drop the field c.n"), "{refused}");
    let back = daemon.migrate(&["rollback", "--yes"]).await.expect_ok().json();
    assert_eq!(back["method"], "down");
    assert_eq!(
        json!(daemon.docs("c").await),
        json!([{ "id": "a", "name": "ada" }, { "id": "b", "name": "bob" }])
    );
    // It is not applied again by itself, neither now nor at the next start.
    let daemon = daemon.restart().await;
    assert_eq!(daemon.docs("c").await[0], json!({ "id": "a", "name": "ada" }));
    let status = daemon.migrate(&["status"]).await.expect_ok().json();
    assert_eq!(status["migrations"][0]["state"], "taken_back");
    assert_eq!(status["pending"], json!(["0001_title"]));
    daemon.migrate(&["apply", "--yes"]).await.expect_ok();
    assert_eq!(daemon.docs("c").await[0]["title"], "ADA");
    daemon.stop().await;
}

#[tokio::test]
async fn m31_who_follows_the_changes_starts_anew_after_a_migration_of_documents() {
    let first = schema(&field("n", "type: int, default: 0"));
    let daemon = Daemon::start(Project::schema(&first)).await;
    let admin = daemon.admin();
    admin.create("c", json!({ "id": "a", "n": 1 })).await.expect_created();
    let place = async || {
        let next = daemon.admin().get_path("/api/changes").await.expect_ok()["next"].clone();
        next.as_str().unwrap().to_owned()
    };
    let follow = async |place: &str| daemon.admin().get_path(&format!("/api/changes?since={place}")).await;
    let apply = async |text: &str| {
        daemon.project.write("schema.yaml", text);
        daemon.migrate(&["apply", "--yes"]).await.expect_ok();
    };
    let beginning = place().await;

    // What alters no document leaves the feed whole, and so does a plan.
    let indexed = first.replace("    rules:", "    indexes: [{ name: by_n, fields: [n] }]\n    rules:");
    apply(&format!("{indexed}  d:\n    fields: {{ id: {{ type: string, primary: true }} }}\n")).await;
    daemon.project.write("schema.yaml", &schema(&field("m", "type: int, default: 7")));
    daemon.migrate(&["plan"]).await.expect_ok();
    admin.create("c", json!({ "id": "b", "n": 2 })).await.expect_created();
    assert_eq!(follow(&beginning).await.expect_ok()["changes"].as_array().unwrap().len(), 1);

    // Who waits at the end is told, too.
    let (end, waiting) = (place().await, daemon.admin());
    let url = format!("/api/changes?since={end}&wait=50");
    let waiting = tokio::spawn(async move { waiting.get_path(&url).await });
    apply(&schema(&(field("n", "type: int, default: 0") + &field("m", "type: int, default: 7")))).await;
    waiting.await.unwrap().expect_error(410, "resync_required");
    for old in [&beginning, &end] {
        follow(old).await.expect_error(410, "resync_required");
    }
    let anew = follow("start").await.expect_ok();
    assert_eq!(anew["changes"], json!([]), "what was before the migration is not told as if it were valid");
    assert_eq!(daemon.docs("c").await[0]["m"], 7);

    // From there on it goes on, over restarts.
    let after = place().await;
    assert_eq!(anew["next"].as_str().unwrap(), after);
    admin.create("c", json!({ "id": "e", "n": 3 })).await.expect_created();
    let daemon = daemon.restart().await;
    let told = daemon.admin().get_path(&format!("/api/changes?since={after}")).await.expect_ok();
    assert_eq!(told["changes"][0]["id"], "e", "{told}");

    // Taking it back alters documents again.
    let now = told["next"].as_str().unwrap().to_owned();
    daemon.migrate(&["rollback", "--yes"]).await.expect_ok();
    let old = daemon.admin().get_path(&format!("/api/changes?since={now}")).await;
    old.expect_error(410, "resync_required");
    daemon.stop().await;
}

#[tokio::test]
async fn m04_rules_change_at_once_while_tables_wait() {
    let fields = field("n", "type: int, default: 0") + &field("s", "type: string, default: x");
    let daemon = Daemon::start(Project::schema(&schema(&fields))).await;
    let address = daemon.cli().run(&["status", "--json"]).await.json()["listen"].as_str().unwrap().to_owned();
    let anon = Client::new(&format!("http://{address}"));
    anon.create("c", json!({ "id": "a" })).await.expect_created();
    anon.get("c", "a").await.expect_ok();
    // The read rule goes, the create rule needs what is not there yet, a field is hidden, another dropped.
    let narrowed = rules(
        &(field("n", "type: int, default: 0, hidden: true") + &field("new", "type: int, default: 0")),
        "{ create: 'doc.new == 0', update: 'true' }",
    );
    daemon.project.write("schema.yaml", &narrowed);
    let daemon = daemon.restart().await;
    let address = daemon.cli().run(&["status", "--json"]).await.json()["listen"].as_str().unwrap().to_owned();
    let anon = Client::new(&format!("http://{address}"));
    anon.get("c", "a").await.expect_error(404, "document_not_found");
    assert!(!anon.list("c", "").await.json().to_string().contains("\"a\""));
    let denied = anon.create("c", json!({ "id": "b" })).await;
    assert!(denied.status == 403 || denied.status == 401, "{denied:?}");
    let updated = anon.patch("c", "a", json!({ "s": "y" })).await.expect_ok();
    assert!(updated.get("n").is_none(), "hidden at once: {updated}");
    assert_eq!(daemon.docs("c").await[0]["s"], "y", "nothing was dropped");
    let status = daemon.cli().run(&["status", "--json"]).await.json();
    assert!(status["schema"]["waiting"].as_u64() > Some(0), "{status}");
    daemon.migrate(&["apply", "--yes"]).await.expect_ok();
    anon.create("c", json!({ "id": "b" })).await.expect_created();
    daemon.stop().await;
}

#[tokio::test]
async fn in_development_rules_change_live_and_tables_wait_with_a_plan() {
    let server = TestServer::start(Project::schema(&schema(&field("n", "type: int, default: 0")))).await;
    let anon = server.anon();
    anon.create("c", json!({ "id": "a", "n": 7 })).await.expect_created();
    server.project.write("schema.yaml", &rules("", "{ create: 'true' }"));
    wait_for("the read rule to be gone", PATIENCE, async || {
        (anon.get("c", "a").await.status == 404).then_some(())
    })
    .await;
    alyx_tests::wait_until("the plan", PATIENCE, || {
        server.output().contains("needs-confirmation: drop the field c.n with all its values (1 documents)")
    })
    .await;
    assert_eq!(server.over_admin_socket().list("c", "").await.expect_docs()[0]["n"], 7);
    server.cli().run(&["migrate", "apply", "--yes"]).await.expect_ok();
    assert_eq!(server.over_admin_socket().list("c", "").await.expect_docs(), [json!({ "id": "a" })]);
    // A migration file alone is noticed as well.
    server.project.write("schema.yaml", &schema(&field("must", "type: string")));
    alyx_tests::wait_until("it to be impossible", PATIENCE, || {
        server.output().contains("impossible: add the field c.must")
    })
    .await;
    server.cli().run(&["migrate", "apply", "--yes"]).await.expect_code(1);
    server.cli().run(&["migrate", "create", "fill"]).await.expect_ok();
    server.project.write(
        "migrations/0001_fill.yaml",
        "steps: [{ backfill: { collection: c, field: must, value: filled } }]\n",
    );
    wait_for("the field to be filled", PATIENCE, async || {
        let docs = anon.list("c", "").await;
        (docs.status == 200 && docs.json()["docs"][0]["must"] == "filled").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn drift_is_told_and_left_alone() {
    let daemon = Daemon::start(Project::schema(&schema(&field("n", "type: int, default: 0")))).await;
    daemon.admin().create("c", json!({ "id": "a" })).await.expect_created();
    let project = daemon.stop().await;
    let script = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('ALTER TABLE c ADD COLUMN mine TEXT'); d.execute(\"UPDATE c SET mine = 'x'\"); d.commit()";
    let database = project.data().join("data.db");
    let status = Command::new("python3").args(["-c", script]).arg(&database).status().await.unwrap();
    assert!(status.success());
    let daemon = Daemon::start(project).await;
    assert!(daemon.log().contains("c: unknown column mine"), "{}", daemon.log());
    let status = daemon.cli().run(&["status", "--json"]).await.json();
    assert!(status["schema"]["drift"].to_string().contains("mine"), "{status}");
    assert_eq!(status["health"]["components"]["schema"]["state"], "degraded");
    daemon.admin().create("c", json!({ "id": "b" })).await.expect_created();
    daemon.project.write("schema.yaml", &schema(&field("n", "type: int, nullable: true")));
    let said = daemon.migrate(&["apply", "--yes"]).await.expect_code(1).json();
    assert_eq!(said["code"], "migration_impossible");
    assert!(said["details"].to_string().contains("changed by others"), "{said}");
    let project = daemon.stop().await;
    let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT mine FROM c').fetchone()[0])";
    let output = Command::new("python3").args(["-c", script]).arg(&database).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "x");
    drop(project);
}

/// The names of our own tables, functions and interim tables are out of reach for a project.
#[tokio::test]
async fn m23_no_migration_reaches_internal_tables() {
    let daemon = Daemon::start(Project::schema(&schema(&field("n", "type: int, default: 0")))).await;
    for (step, expected) in [
        ("rename_collection: { from: c, to: _alyx_changes }", "is reserved"),
        ("rename_collection: { from: _alyx_changes, to: d }", "there is no collection _alyx_changes"),
        ("rename_field: { collection: c, from: n, to: _alyx_rev }", "is reserved"),
        ("rename_field: { collection: c, from: _alyx_rev, to: m }", "c has no field _alyx_rev"),
        ("rename_collection: { from: users, to: d }", "users is a built-in collection"),
        ("rename_collection: { from: c, to: users }", "there is a collection users already"),
        ("sql: { up: \"DELETE FROM _alyx_changes\" }", "touch _alyx_changes"),
        ("sql: { up: \"UPDATE _alyx_rebuild SET n = 1\" }", "no such table"),
    ] {
        daemon.project.write("migrations/0001_x.yaml", &format!("steps: [{{ {step} }}]\n"));
        let said = daemon.migrate(&["apply", "--yes"]).await.expect_code(1);
        assert!(said.out.contains(expected), "{step}: {said:?}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn only_administrators_migrate() {
    let server = TestServer::start(Project::schema(&schema(""))).await;
    let ada = server.user("ada").await;
    for (path, post) in [("", false), ("/plan", false), ("/apply", true), ("/rollback", true)] {
        let path = format!("/api/admin/migrations{path}");
        for (who, status) in [(server.anon(), 401), (ada.clone(), 403)] {
            let answer = if post { who.post(&path, json!({})).await } else { who.get_path(&path).await };
            assert_eq!(answer.status, status, "{path}: {answer:?}");
        }
    }
    let admin = server.admin().await;
    admin.post("/api/admin/migrations/apply", json!({ "force": true })).await.expect_status(422);
    admin.post("/api/admin/migrations/rollback", json!({})).await.expect_error(409, "nothing_to_roll_back");
    server.stop().await;
}

#[tokio::test]
async fn a_file_without_steps_waits_until_it_has_some() {
    let schema = |name: &str| {
        format!(
            "version: 1\ncollections:\n  c:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n      {name}: {{ type: string }}\n"
        )
    };
    let server = TestServer::start(Project::schema(&schema("a"))).await;
    let cli = server.cli();
    cli.run(&["migrate", "create", "name"]).await.expect_ok();
    let status = async || server.over_admin_socket().get_path("/api/admin/migrations").await.expect_ok();
    // Whatever else is brought in meanwhile.
    cli.run(&["migrate", "apply", "--yes"]).await.expect_ok();
    assert!(!status().await.to_string().contains("0001_name"), "{}", status().await);
    let file = "steps:\n  - rename_field: { collection: c, from: a, to: b }\n";
    server.project.write("migrations/0001_name.yaml", file);
    server.project.write("schema.yaml", &schema("b"));
    wait_for("the file to be applied", PATIENCE, async || {
        cli.run(&["migrate", "apply", "--yes"]).await;
        status().await.to_string().contains("0001_name").then_some(())
    })
    .await;
    let plan = cli.run(&["migrate", "plan"]).await.expect_ok();
    assert!(plan.err.contains("nothing to do") || plan.out.contains("nothing to do"), "{plan:?}");
    server.stop().await;
}

/// What `docs/migrations.md` shows, done as it says.
#[tokio::test]
async fn the_page_does_what_it_says() {
    let page = fs::read_to_string(tree::root().join("docs/migrations.md")).unwrap();
    let block = |name: &str| crate::docs::blocks(&page, name).into_iter().next().expect(name);
    let daemon = Daemon::start(Project::schema(&block("yaml before"))).await;
    daemon.admin().create("people", json!({ "id": "a", "name": "Ada", "age": "36" })).await.expect_created();
    daemon.admin().create("people", json!({ "id": "b", "name": "Bob", "age": "old" })).await.expect_created();
    let created = daemon.cli().run(&["migrate", "create", "people"]).await.expect_ok();
    assert!(block("console").contains(created.out.trim()), "{created:?}");
    daemon.project.write("schema.yaml", &block("yaml after"));
    daemon.project.write("migrations/0001_people.yaml", &block("yaml migration"));
    let shown = block("console plan");
    let mut said = String::new();
    for line in shown.lines() {
        if let Some(command) = line.strip_prefix("$ alyx ") {
            let words: Vec<&str> = command.split(' ').collect();
            said = daemon.cli().run(&words).await.expect_ok().out;
        } else {
            assert!(said.lines().any(|other| other.contains(line)), "{line} is not in {said}");
        }
    }
    let expected = json!([
        { "id": "a", "title": "Ada", "age": 36, "slug": "ada" },
        { "id": "b", "title": "Bob", "age": null, "slug": "bob" },
    ]);
    assert_eq!(json!(daemon.docs("people").await), expected);
    daemon.stop().await;
}
