//! Another user of the same host, and people who read logs: numbers 50, 95 and 96.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use alyx_tests::TestServer;
use alyx_tests::leftovers::Process;
use alyx_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{PATIENCE, call, server, works_again};

/// Tries every door as a user; prints what came of it as JSON.
const DOORS: &str = r#"
import json, os, socket, sys
run, outcomes = sys.argv[1], {}
for name, kind in [("control.sock", socket.SOCK_SEQPACKET), ("admin.sock", socket.SOCK_STREAM)]:
    try:
        with socket.socket(socket.AF_UNIX, kind) as door:
            door.settimeout(10)
            door.connect(run + "/" + name)
            greeting = b'{"type":"hello","protocol":1}' if kind == socket.SOCK_SEQPACKET else b"GET /api/admin/users HTTP/1.1\r\nHost: x\r\n\r\n"
            door.send(greeting)
            answer = door.recv(4096)
            told_off = answer.startswith(b"HTTP/1.1 403 ") and b"may not use the admin socket" in answer
            outcomes[name] = "told off" if told_off else "heard" if answer else "closed"
    except OSError as error:
        outcomes[name] = "closed" if isinstance(error, (ConnectionResetError, BrokenPipeError)) else "refused"
for path in ["dev.json", "dev-admin.json", "supervisor.json", "../data.db", "../data.db-wal", "root"]:
    try:
        os.close(os.open(run + "/" + path, os.O_RDONLY))
        outcomes[path] = "open"
    except OSError as error:
        outcomes[path] = "refused"
for name, path in [("new file", "x"), ("new bundle", "../bundles/x")]:
    try:
        os.mkdir(run + "/" + path)
        outcomes[name] = "made"
    except OSError:
        outcomes[name] = "refused"
for pid in sys.argv[2:]:
    try:
        os.kill(int(pid), 0)
        outcomes["signal"] = "sent"
    except OSError:
        outcomes.setdefault("signal", "refused")
    for file in ["environ", "mem", "root", "maps"]:
        try:
            os.listdir(f"/proc/{pid}/root") if file == "root" else os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY))
            outcomes["look at " + file] = "open"
        except OSError:
            outcomes.setdefault("look at " + file, "refused")
print(json.dumps(outcomes))
"#;

fn doors(server: &TestServer, uid: u32, pids: &[i32]) -> Value {
    let id = |word: &str| format!("--{word}={uid}");
    let run = server.project.data().join("run");
    let mut command = Command::new("setpriv");
    command.args([&id("reuid"), &id("regid"), "--clear-groups", "/usr/bin/python3", "-c", DOORS]);
    command.arg(run).args(pids.iter().map(i32::to_string)).current_dir("/");
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The folders above a test's data are its owner's alone; here they must not be what protects it.
fn open_the_way(server: &TestServer) {
    for folder in server.project.data().join("run").ancestors().take_while(|path| path.parent().is_some()) {
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        if mode & 0o011 != 0o011 {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011)).unwrap();
        }
    }
}

fn own(server: &TestServer) -> Vec<i32> {
    let spawner = server.processes().into_iter().find(|process| process.command.contains("spawner"));
    [Some(server.daemon()), Some(server.supervisor()), spawner]
        .into_iter()
        .flatten()
        .map(|one: Process| one.pid)
        .collect()
}

#[tokio::test]
async fn a095_another_user_of_the_host_finds_every_door_closed() {
    let server = server().await;
    works_again(&server, "probe").await;
    open_the_way(&server);
    let seen = doors(&server, 65_534, &own(&server));
    for (door, outcome) in seen.as_object().unwrap() {
        assert_eq!(outcome, "refused", "{door}: {seen}");
    }
    // As if somebody had opened the sockets to all: who it is decides, not that it connects.
    for name in ["control.sock", "admin.sock"] {
        let path = server.project.data().join("run").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let seen = doors(&server, 65_534, &[]);
    assert_eq!((&seen["control.sock"], &seen["admin.sock"]), (&json!("closed"), &json!("told off")));
    let owner = doors(&server, nix::unistd::geteuid().as_raw(), &own(&server));
    assert_eq!((&owner["admin.sock"], &owner["dev.json"]), (&json!("heard"), &json!("open")), "{owner}");
    works_again(&server, "probe").await;
    server.stop().await;
}

#[tokio::test]
async fn a096_a_workers_id_opens_neither_socket() {
    let server = server().await;
    open_the_way(&server);
    for name in ["control.sock", "admin.sock"] {
        let path = server.project.data().join("run").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    // The supervisor's own id, and what the first worker is to the host.
    for uid in [0x7000_0000, 0x7000_0000 + 65_536 + 1_000] {
        let seen = doors(&server, uid, &[]);
        assert_eq!((&seen["control.sock"], &seen["admin.sock"]), (&json!("closed"), &json!("told off")));
    }
    works_again(&server, "probe").await;
    server.stop().await;
}

#[tokio::test]
async fn a050_logs_cannot_steer_a_terminal() {
    let server = server().await;
    let code = r#"
def handler(ctx):
    text = "\x1b[31mred \x1b]52;c;aGVsbG8=\x07 \u009b31m \u202egnp \u2066x\u2069 \x08\x08 \r over"
    print(text)
    ctx.log.warn(text) if hasattr(ctx.log, "warn") else ctx.log.info(text)
    raise RuntimeError(text)
"#;
    server.project.write("functions/probe/main.py", code);
    let answer = call(&server, "probe", "", &json!({})).await;
    assert!(answer.status.is_server_error(), "{answer}");
    let execution = answer.header("x-alyx-execution").unwrap().to_owned();
    wait_for("the execution to be recorded", PATIENCE, async || {
        let said = server.cli().run(&["executions", "show", &execution]).await;
        (said.code == 0).then_some(())
    })
    .await;
    let steers = |text: &str| {
        text.chars().any(|letter| {
            letter.is_control() && !['\n', '\t'].contains(&letter)
                || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
    };
    for arguments in [vec!["functions", "logs", "probe"], vec!["executions", "show", &execution]] {
        let said = server.cli().run(&arguments).await.expect_ok();
        assert!(
            said.out.contains("red") && !steers(&said.out) && !steers(&said.err),
            "{arguments:?}: {said:?}"
        );
    }
    let raw = server.cli().run(&["--json", "functions", "logs", "probe"]).await.expect_ok();
    assert!(!raw.out.contains('\u{1b}'), "JSON escapes control characters: {raw:?}");
    assert!(!server.output().contains("\u{1b}]52"), "the daemon's own log is a terminal's, too");
    server.stop().await;
}
