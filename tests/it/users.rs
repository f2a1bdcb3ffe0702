//! `alyx users …`, `alyx keys …`, the first administrator, and accounts of other systems.

use std::process::Stdio;
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Cli, Client, PASSWORD, Project, TestServer, tree};
use serde_json::{Value, json};

use crate::lab;

/// Of "correct horse", made by PyPI's `bcrypt`.
const BCRYPT: &str = "$2b$04$KmjIGIAq2wvRA/q9TaGHSuNavFyqMnsHHJ239dJAYUMV3uf3dX25q";

async fn login(server: &TestServer, email: &str, password: &str) -> alyx_tests::Answer {
    server.anon().post("/api/auth/login", json!({ "email": email, "password": password })).await
}

async fn emails(cli: &Cli, search: &str) -> Vec<String> {
    let found = cli.run(&["users", "list", "--search", search, "--json"]).await.expect_ok().json();
    let users = found["users"].as_array().expect("a list of users");
    users.iter().filter_map(|user| user["email"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_verb_of_users_does_what_it_says() {
    let server = lab().await;
    let cli = server.cli();
    let ada = server.user("ada").await;
    let bob = server.user("bob").await;
    // Searching finds parts of an address in any case, and ids; a number bounds the answer.
    assert_eq!(emails(&cli, "ADA@").await, ["ada@example.org"]);
    assert_eq!(emails(&cli, ada.id()).await, ["ada@example.org"]);
    assert_eq!(emails(&cli, "nobody").await, Vec::<String>::new());
    assert_eq!(emails(&cli, "%").await, Vec::<String>::new());
    let one = cli.run(&["users", "list", "--limit", "1", "--json"]).await.expect_ok().json();
    assert_eq!(one["users"].as_array().map(Vec::len), Some(1));
    let none = cli.run(&["users", "list", "--search", "nobody"]).await.expect_ok();
    assert!(none.out.is_empty() && none.err.contains("no users"), "{none:#?}");

    // By address, in any case, and by id.
    for name in ["Ada@Example.org", ada.id()] {
        let shown = cli.run(&["users", "show", name, "--json"]).await.expect_ok().json();
        assert_eq!((&shown["id"], &shown["role"]), (&json!(ada.id()), &json!("user")), "{name}");
    }
    let update = ["users", "update", "ada@example.org", "--role", "editor", "--verified", "true", "--json"];
    let changed = cli.run(&update).await.expect_ok().json();
    assert_eq!((&changed["role"], &changed["verified"]), (&json!("editor"), &json!(true)));
    cli.run(&["users", "update", "ada@example.org"]).await.expect_code(2);

    // Sessions are listed and ended; those of others go on.
    let sessions = cli.run(&["users", "sessions", "ada@example.org", "--json"]).await.expect_ok().json();
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1), "{sessions}");
    assert!(!sessions.to_string().contains(ada.token()));
    cli.run(&["users", "revoke", "ada@example.org"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    bob.get_path("/api/auth/me").await.expect_ok();

    let ada = server.anon().login("ada@example.org", PASSWORD).await;
    cli.run(&["users", "disable", "ada@example.org"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    login(&server, "ada@example.org", PASSWORD).await.expect_error(401, "invalid_credentials");
    let table = cli.run(&["users", "list", "--search", "ada@"]).await.expect_ok();
    assert!(table.out.contains("DISABLED") && table.out.contains("true"), "{table:#?}");
    cli.run(&["users", "enable", "ada@example.org"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let ada = server.anon().login("ada@example.org", PASSWORD).await;

    // A password that was given is not shown, one that was made is, on standard output alone.
    let set = ["users", "set-password", "ada@example.org", "--password-stdin"];
    let given = cli.run_with_input(&set, "another long password\n").await.expect_ok();
    assert!(!format!("{given:?}").contains("another long"), "{given:#?}");
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    login(&server, "ada@example.org", PASSWORD).await.expect_error(401, "invalid_credentials");
    let weak = cli.run_with_input(&set, "password\n").await.expect_code(1);
    assert!(weak.err.contains("password"), "{weak:#?}");
    let made = ["users", "set-password", "ada@example.org", "--generate-password"];
    let made = cli.run(&made).await.expect_ok();
    let password = made.out.trim().to_owned();
    assert!(!made.err.contains(&password), "{made:#?}");
    let ada = server.anon().login("ada@example.org", &password).await;

    cli.run(&["users", "delete", "ada@example.org"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    assert_eq!(emails(&cli, "ada@").await, Vec::<String>::new());
    for verb in ["show", "disable", "enable", "revoke", "sessions", "delete", "remove-mfa"] {
        let unknown = cli.run(&["users", verb, "ada@example.org"]).await.expect_code(1);
        assert!(unknown.err.contains("there is no user"), "{verb}: {unknown:#?}");
        let unknown = cli.run(&["users", verb, "nothing"]).await.expect_code(1);
        assert!(unknown.err.contains("document_not_found"), "{verb}: {unknown:#?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_are_listed_and_rotated_by_the_command() {
    let server = lab().await;
    let cli = server.cli();
    let list = async || {
        let answer = cli.run(&["keys", "list", "--json"]).await.expect_ok().json();
        let keys = answer["keys"].as_array().expect("a list of keys").clone();
        let of = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        keys.iter().map(|key| (of(key, "kid"), of(key, "state"))).collect::<Vec<_>>()
    };
    let first = list().await;
    assert_eq!(first.len(), 1);
    let ada = server.user("ada").await;
    let next = cli.run(&["keys", "rotate"]).await.expect_ok().out.trim().to_owned();
    let both = list().await;
    assert_eq!(both.len(), 2);
    assert!(both.iter().any(|(kid, _)| *kid == next) && both.iter().any(|(kid, _)| *kid == first[0].0));
    ada.get_path("/api/auth/me").await.expect_ok();
    cli.run(&["keys", "rotate", "--drop-previous"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    assert_eq!(list().await.len(), 1);
    let table = cli.run(&["keys", "list"]).await.expect_ok();
    assert!(table.out.contains("ALGORITHM") && !table.out.contains(&next), "{table:#?}");
    server.stop().await;
}

#[tokio::test]
async fn accounts_of_other_systems_keep_their_passwords() {
    let server = lab().await;
    let cli = server.cli();
    let user = |name: &str, hash: &str| {
        json!({ "email": format!("{name}@example.org"), "password_hash": hash }).to_string()
    };
    let foreign = [
        user("ada", BCRYPT),
        user("eve", "$1$md5crypt$not.a.hash.that.is.known"),
        "not JSON".to_owned(),
        user("ada", BCRYPT),
        user("bob", BCRYPT),
    ];
    let said = cli.run_with_input(&["users", "import", "-"], &foreign.join("\n")).await.expect_code(1);
    for expected in ["line 2", "line 3", "line 4", "made 2 users", "3 lines were not accepted"] {
        assert!(said.err.contains(expected), "{expected}: {said:#?}");
    }
    assert!(!said.err.contains(&BCRYPT[7..]), "{said:#?}");
    login(&server, "ada@example.org", "wrong horse").await.expect_error(401, "invalid_credentials");
    login(&server, "ada@example.org", "correct horse").await.expect_ok();
    login(&server, "bob@example.org", "wrong horse").await.expect_error(401, "invalid_credentials");
    let hashes = |project: &Project| {
        let database = rusqlite::Connection::open(project.data().join("data.db")).expect("open the database");
        let hash = |email: &str| {
            let sql =
                "SELECT password_hash FROM _alyx_credentials JOIN users ON id = user_id WHERE email = ?";
            database.query_row(sql, [email], |row| row.get::<_, String>(0)).expect("an account")
        };
        (hash("ada@example.org"), hash("bob@example.org"))
    };
    let project = server.stop().await;
    let (signed_in, waiting) = hashes(&project);
    assert!(signed_in.starts_with("$argon2id$"), "{signed_in}");
    assert_eq!(waiting, BCRYPT);
    let server = TestServer::start(project).await;
    for email in ["ada@example.org", "bob@example.org"] {
        login(&server, email, "correct horse").await.expect_ok();
    }
    let project = server.stop().await;
    assert!(hashes(&project).1.starts_with("$argon2id$"));
}

/// `alyxd` alone, with what it printed.
struct Daemon {
    project: Project,
    child: tokio::process::Child,
    url: String,
}

impl Daemon {
    async fn start(project: Project) -> Self {
        let path = project.root().join("log");
        let log = std::fs::File::create(&path).expect("make a file");
        let child = tokio::process::Command::new(tree::program("alyxd"))
            .args(["serve", "--listen", "127.0.0.1:0", "--die-with-parent", "--project"])
            .arg(project.folder())
            .arg("--data")
            .arg(project.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("start alyxd");
        let url = wait_for("alyxd to serve", Duration::from_secs(60), async || {
            let log = std::fs::read_to_string(&path).expect("read the log");
            let (_, rest) = log.split_once(" at http://")?;
            rest.contains('\n').then(|| format!("http://{}", rest.split_whitespace().next().unwrap()))
        });
        Self { url: url.await, project, child }
    }

    /// The token that was printed.
    fn token(&self) -> Option<String> {
        let log = std::fs::read_to_string(self.project.root().join("log")).expect("read the log");
        let (_, rest) = log.split_once("/api/auth/setup with this token:\n")?;
        rest.lines().next().map(str::to_owned)
    }

    async fn stop(mut self) -> Project {
        self.child.kill().await.expect("stop alyxd");
        self.project
    }
}

#[tokio::test]
async fn the_first_administrator_is_made_by_the_printed_token_once() {
    let server = Daemon::start(Project::schema("version: 1\ncollections: {}\n")).await;
    let anon = Client::new(&server.url);
    assert_eq!(anon.get_path("/api/auth/status").await.expect_ok()["needs_setup"], true);
    // Registering first makes nobody an administrator.
    let first = anon.register("first@example.org", PASSWORD).await;
    first.get_path("/api/admin/users").await.expect_error(403, "forbidden");
    assert_eq!(anon.get_path("/api/auth/status").await.expect_ok()["needs_setup"], true);
    let server = Daemon::start(server.stop().await).await;
    let (anon, token) = (Client::new(&server.url), server.token().expect("a token was printed"));
    let setup = async |token: &str, password: &str| {
        let body = json!({ "email": "root@example.org", "password": password, "token": token });
        anon.post("/api/auth/setup", body).await
    };
    setup("made-up", PASSWORD).await.expect_error(403, "setup_refused");
    // What is wrong with the rest does not use it up.
    setup(&token, "short").await.expect_error(422, "validation_failed");
    let session = setup(&token, PASSWORD).await.expect_status(201).json();
    let root = anon.with_token(session["access_token"].as_str().expect("a token"));
    root.get_path("/api/admin/users").await.expect_ok();
    assert_eq!(anon.get_path("/api/auth/status").await.expect_ok()["needs_setup"], false);
    // Nothing of it is left for the next start.
    let server = Daemon::start(server.stop().await).await;
    assert_eq!(server.token(), None);
    let anon = Client::new(&server.url);
    let again = json!({ "email": "eve@example.org", "password": PASSWORD, "token": token });
    anon.post("/api/auth/setup", again).await.expect_error(403, "setup_refused");
    let rows = crate::audit_rows(&server.stop().await);
    assert!(rows.iter().any(|row| row["action"] == "account.setup"), "{rows:#?}");
    assert!(!json!(rows).to_string().contains(&token));
}
