//! The daemon under a service manager: sockets that are passed, orders by signal.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Cli, Client, Project, TestServer, peers, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &str = "version: 1\ncollections:\n  notes:\n    fields:\n      id: { type: id, primary: true, default: auto }\n      text: { type: string }\n    rules: { create: \"true\", read: \"true\", update: \"true\", delete: \"true\" }\n";

/// A daemon that gets its sockets from `systemd-socket-activate`, the one that systemd ships.
struct Activated {
    project: Project,
    child: Child,
}

/// Of a loopback address that no other test has, so that the port stays free until it is taken.
fn free_address() -> SocketAddr {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high | 1, low, NUMBER.fetch_add(1, Ordering::Relaxed));
    let listener = TcpListener::bind((address, 0)).expect("find a port");
    listener.local_addr().expect("its address")
}

impl Activated {
    /// `None` where that program is missing.
    fn start(names: &str) -> Option<Self> {
        let mut command =
            peers::on_path("systemd-socket-activate").then(|| Command::new("systemd-socket-activate"))?;
        let project = Project::schema(SCHEMA);
        let socket = project.root().join("admin.sock");
        let output = File::create(project.root().join("output")).expect("make the output file");
        let child = command
            .arg(format!("--fdname={names}"))
            .arg(format!("--listen={}", free_address()))
            .arg("--listen")
            .arg(&socket)
            .arg(tree::program("alyxd"))
            .args(["serve", "--project"])
            .arg(project.folder())
            .arg("--data")
            .arg(project.data())
            // Bound to by nobody: the socket that is passed is taken instead.
            .args(["--listen", "192.0.2.1:9", "--admin-socket"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("share the output file"))
            .stderr(output)
            .spawn()
            .expect("start systemd-socket-activate");
        Some(Self { project, child })
    }

    fn socket(&self) -> PathBuf {
        self.project.root().join("admin.sock")
    }

    fn output(&self) -> String {
        fs::read_to_string(self.project.root().join("output")).unwrap_or_default()
    }

    /// Waits for the socket; the first connection starts the daemon.
    async fn listening(&self) {
        wait_for("the admin socket", PATIENCE, async || self.socket().exists().then_some(())).await;
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("signal the daemon");
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the end of the daemon", PATIENCE, || std::future::ready(child.try_wait().expect("wait")))
            .await
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon ---\n{}", self.output());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn passed_sockets_are_served_and_stay() {
    let Some(mut daemon) = Activated::start("http:admin") else { return };
    daemon.listening().await;
    // The command starts the daemon.
    let cli = Cli::in_folder(&daemon.project.folder()).with_socket(&daemon.socket());
    let _ = cli.run(&["status"]).await.expect_ok();
    // It answers before it says where.
    let find =
        |said: &str| said.split_whitespace().find(|word| word.starts_with("http://127.")).map(str::to_owned);
    let url = wait_for("the address in the log", PATIENCE, async || find(&daemon.output())).await;
    Client::new(&url).get_path("/health").await.expect_ok();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().await.success());
    assert!(daemon.socket().exists(), "a socket of the service manager is its own to remove");
}

#[tokio::test]
async fn sockets_with_other_names_are_refused() {
    for (names, wanted) in
        [("web:admin", "FileDescriptorName"), ("https:admin", "certificate"), ("admin:http", "admin")]
    {
        let Some(mut daemon) = Activated::start(names) else { return };
        daemon.listening().await;
        // A socket is a file a moment before somebody listens on it.
        let door = daemon.socket();
        wait_for("a connection", PATIENCE, async || std::os::unix::net::UnixStream::connect(&door).ok())
            .await;
        assert_eq!(daemon.ended().await.code(), Some(1), "{names}");
        assert!(daemon.output().contains(wanted), "{names}: {}", daemon.output());
    }
}

#[tokio::test]
async fn a_stranger_at_the_admin_socket_is_told_why_not() {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: becoming somebody else needs root");
        return;
    }
    let Some(daemon) = Activated::start("http:admin") else { return };
    daemon.listening().await;
    fs::set_permissions(daemon.project.root(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o666)).unwrap();
    let ask = |method: &str, path: &str, uid: u32| {
        let output = Command::new("setpriv")
            .args(["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups"])
            .args(["curl", "-sS", "--max-time", "60", "-X", method, "-d", "{}", "--unix-socket"])
            .arg(daemon.socket())
            .arg(format!("http://alyx{path}"))
            .output()
            .expect("run setpriv");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(ask("GET", "/api/admin/status", 0).contains("\"version\""));
    for (method, path) in
        [("GET", "/api/admin/status"), ("POST", "/api/collections/notes"), ("GET", "/health")]
    {
        let said = ask(method, path, 54_321);
        assert!(said.contains("\"forbidden\"") && said.contains("54321"), "{method} {path}: {said}");
        assert!(said.contains("server.admin_group"), "{said}");
    }
    assert!(ask("GET", "/api/admin/status", 0).contains("\"version\""));
}

#[tokio::test]
async fn a_hangup_reads_schema_and_functions_again() {
    let server = TestServer::start_with(Project::fixture("lab"), &["--no-watch"]).await;
    let anon = server.anon();
    assert_eq!(anon.invoke("cold", serde_json::json!({ "n": 1 })).await.expect_ok()["n"], 1);
    server.project.write("functions/cold/main.py", "def handler(ctx):\n    return {'version': 'two'}\n");
    let schema = fs::read_to_string(server.project.folder().join("schema.yaml")).unwrap();
    let more = "collections:\n  later:\n    fields:\n      id: { type: id, primary: true, default: auto }\n    rules: { read: \"true\" }\n";
    server.project.write("schema.yaml", &schema.replacen("collections:\n", more, 1));
    assert_eq!(anon.invoke("cold", serde_json::json!({ "n": 1 })).await.expect_ok()["n"], 1);
    kill(Pid::from_raw(server.daemon().pid), Signal::SIGHUP).unwrap();
    wait_for("the new code", PATIENCE, async || {
        let answer = anon.invoke("cold", serde_json::json!({})).await;
        (answer.status == 200 && answer.json()["version"] == "two").then_some(())
    })
    .await;
    anon.list("later", "").await.expect_ok();
    // What cannot be read changes nothing.
    server.project.write("schema.yaml", "version: 1\ncollections: nonsense\n");
    kill(Pid::from_raw(server.daemon().pid), Signal::SIGHUP).unwrap();
    wait_for("the complaint", PATIENCE, async || server.output().contains("stays").then_some(())).await;
    anon.list("later", "").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_reload_is_over_when_it_says_so_and_tells_what_is_wrong() {
    let server = TestServer::start_with(Project::fixture("lab"), &["--no-watch"]).await;
    let (anon, cli) = (server.anon(), server.cli());
    let call =
        async || anon.invoke("cold", serde_json::json!({ "n": 1 })).await.expect_ok()["version"].clone();
    let code = |version: &str| format!("def handler(ctx):\n    return {{'version': '{version}'}}\n");
    let schema = fs::read_to_string(server.project.folder().join("schema.yaml")).unwrap();
    for version in ["two", "three"] {
        server.project.write("functions/cold/main.py", &code(version));
        assert_ne!(call().await, version, "nobody watches");
        let said = cli.run(&["reload"]).await.expect_ok();
        assert!(said.out.contains("the schema is the same"), "{said:?}");
        assert_eq!(call().await, version);
    }
    let more = "collections:\n  later:\n    fields:\n      id: { type: id, primary: true, default: auto }\n      a: { type: int, default: 1 }\n    rules: { read: \"true\" }\n";
    let with = schema.replacen("collections:\n", more, 1);
    server.project.write("schema.yaml", &with);
    let said = cli.run(&["reload"]).await.expect_ok();
    assert!(said.out.contains("the schema is another one"), "{said:?}");
    server.over_admin_socket().create("later", serde_json::json!({})).await.expect_created();

    // What may lose data waits, and is named.
    server.project.write("schema.yaml", &with.replacen("      a: { type: int, default: 1 }\n", "", 1));
    let said = cli.run(&["reload"]).await.expect_ok();
    assert!(said.out.contains("needs-confirmation: "), "{said:?}");
    assert!(said.err.contains("alyx migrate apply --yes"), "{said:?}");

    // What cannot be read changes nothing, functions included: their code is read at the first call.
    assert_eq!(call().await, "three");
    server.project.write("schema.yaml", "version: 1\ncollections: nonsense\n");
    server.project.write("functions/cold/main.py", &code("four"));
    let said = cli.run(&["reload"]).await.expect_code(1);
    assert!(said.err.contains("schema.yaml:2"), "{said:?}");
    assert_eq!(call().await, "three");
    anon.list("later", "").await.expect_ok();
    server.stop().await;
}
