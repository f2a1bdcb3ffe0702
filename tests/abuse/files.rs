//! Files, `/proc` and devices: numbers 1 to 24.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use alyx_tests::{Project, TestServer};
use serde_json::json;

use crate::{REFUSED, call, contained, contained_by, control, inside, own_pid, server};

#[tokio::test]
async fn a001_host_files_are_absent() {
    let server = server().await;
    let own = server.project.data().join("data.db").display().to_string();
    let config = server.project.data().join("run/supervisor.json").display().to_string();
    let arguments = json!({ "paths": [own, config] });
    for function in ["probe", "probe-node"] {
        let seen = inside(&server, function, "a001", &arguments).await;
        for (path, outcome) in seen.as_object().unwrap() {
            assert_eq!(outcome, "ENOENT", "{function}: {path}");
        }
    }
    let seen = inside(&server, "probe-go", "a001", &json!({})).await;
    assert_eq!(seen, json!({ "shadow": "errno 2", "home": "errno 2" }));
    let outside = control("a001", &arguments);
    assert!(
        outside
            .as_object()
            .unwrap()
            .values()
            .filter(|outcome| outcome.as_str().unwrap().starts_with("ok"))
            .count()
            >= 4
    );
    server.stop().await;
}

#[tokio::test]
async fn a002_no_route_through_proc_leads_to_the_host() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let arguments = json!({ "secret": secret.path() });
    contained(
        "a002",
        arguments,
        &["root", "dotdot", "init_root", "cwd", "plain"],
        REFUSED,
        &["root", "dotdot", "plain"],
    )
    .await;
}

#[tokio::test]
async fn a003_proc_shows_only_the_worker() {
    let server = server().await;
    let arguments = json!({ "host_pid": own_pid() });
    let seen = inside(&server, "probe", "a003", &arguments).await;
    assert_eq!(seen["host_visible"], false);
    assert!(seen["pids"].as_u64().unwrap() <= 4, "{seen}");
    let node = inside(&server, "probe-node", "a003", &arguments).await;
    assert_eq!(node["host_visible"], false);
    assert_eq!(control("a003", &arguments)["host_visible"], true);
    server.stop().await;
}

#[tokio::test]
async fn a004_kernel_files_of_proc_are_absent() {
    let acts = [
        "cmdline",
        "kallsyms",
        "kmsg",
        "config.gz",
        "interrupts",
        "timer_list",
        "sys",
        "irq",
        "bus",
        "sysrq-trigger",
        "meminfo",
        "version",
        "net/tcp",
    ];
    contained("a004", json!({}), &acts, &["ENOENT"], &["cmdline", "kallsyms", "meminfo", "sys", "net/tcp"])
        .await;
}

#[tokio::test]
async fn a005_kernel_settings_cannot_be_written() {
    let acts = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches"];
    contained("a005", json!({}), &acts, &["ENOENT"], &["/proc/sys/kernel/core_pattern"]).await;
}

#[tokio::test]
async fn a006_sysfs_and_cgroupfs_are_absent() {
    contained(
        "a006",
        json!({}),
        &["/sys", "/sys/fs/cgroup", "/sys/kernel"],
        &["ENOENT"],
        &["/sys", "/sys/fs/cgroup"],
    )
    .await;
}

#[tokio::test]
async fn a008_only_tmp_can_be_written() {
    let server = server().await;
    let places = ["/", "/usr", "/dev", "/fn", "/alyx", "/etc"];
    contained_by(&server, "a008", json!({}), &places, REFUSED, &["/", "/usr", "/etc"]).await;
    assert_eq!(inside(&server, "probe", "a008", &json!({})).await["/tmp"], "ok");
    let node = inside(&server, "probe-node", "a008", &json!({})).await;
    assert!(
        REFUSED.contains(&node["usr"].as_str().unwrap()) && REFUSED.contains(&node["code"].as_str().unwrap()),
        "{node}"
    );
    let go = inside(&server, "probe-go", "a008", &json!({})).await;
    assert!(
        go["usr"].as_str().unwrap().starts_with("errno") && go["code"].as_str().unwrap().starts_with("errno"),
        "{go}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a009_nothing_can_be_mounted() {
    let acts = ["tmpfs", "bind", "remount", "umount", "open_tree", "fsopen"];
    contained("a009", json!({}), &acts, REFUSED, &acts).await;
}

#[tokio::test]
async fn a010_devices_cannot_be_made_and_host_devices_are_absent() {
    let server = server().await;
    let nodes = ["mknod_char", "mknod_block"];
    contained_by(&server, "a010", json!({}), &nodes, REFUSED, &nodes).await;
    let seen = inside(&server, "probe", "a010", &json!({})).await;
    assert_eq!(seen["host_devices"], 0);
    let known = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom"];
    let strange: Vec<&str> =
        seen["dev"].as_str().unwrap().split(',').filter(|name| !known.contains(name)).collect();
    assert!(strange.is_empty(), "/dev holds {strange:?}");
    assert!(control("a010", &json!({}))["host_devices"].as_u64().unwrap() > 0);
    server.stop().await;
}

#[tokio::test]
async fn a011_setuid_programs_are_absent() {
    let server = server().await;
    assert_eq!(inside(&server, "probe", "a011", &json!({})).await["setuid_files"], 0);
    assert!(control("a011", &json!({}))["setuid_files"].as_u64().unwrap() > 0);
    server.stop().await;
}

#[tokio::test]
async fn a012_code_cannot_be_replaced_by_links_or_renames() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("main.py"), "").unwrap();
    let refused = ["EROFS", "EACCES", "EXDEV", "EPERM", "ENOENT", "ENOSYS"];
    let acts = ["rename", "append", "link", "tmpfile_link", "chmod"];
    contained("a012", json!({ "directory": directory.path() }), &acts, &refused, &["rename", "append"]).await;
}

#[tokio::test]
async fn a013_code_with_links_out_of_it_or_special_files_is_refused() {
    let check = async |name: &str, spoil: fn(&Path)| {
        let project = Project::fixture("abuse");
        spoil(&project.folder().join("functions/probe"));
        let server = TestServer::start(project).await;
        let answer = call(&server, "probe", "a001", &json!({})).await;
        assert!(answer.status.as_u16() >= 400, "{name} was accepted");
        assert!(!answer.text().contains("root:"), "{name} leaked");
        server.stop().await;
    };
    check("absolute link", |code| std::os::unix::fs::symlink("/etc/passwd", code.join("link")).unwrap())
        .await;
    check("escaping link", |code| {
        std::os::unix::fs::symlink("../../../../etc/passwd", code.join("link")).unwrap()
    })
    .await;
    check("socket", |code| drop(UnixListener::bind(code.join("socket")).unwrap())).await;
    check("fifo", |code| {
        let made = Command::new("mkfifo").arg(code.join("fifo")).status().unwrap();
        assert!(made.success());
    })
    .await;
}

#[tokio::test]
async fn a015_files_cannot_be_opened_by_handle() {
    let acts = ["name_to_handle_at", "open_by_handle_at"];
    contained("a015", json!({}), &acts, REFUSED, &acts).await;
}

#[tokio::test]
async fn a017_no_descriptor_is_inherited() {
    let server = server().await;
    let seen = inside(&server, "probe", "a017", &json!({})).await;
    assert_eq!(seen["low"], json!([0, 1, 2, 3]));
    assert_eq!(seen["files_outside"], json!([]));
    assert_eq!(seen["inherited"], 0, "{seen}");
    assert!(["/fn", "/tmp", "/"].contains(&seen["cwd"].as_str().unwrap()));
    let node = inside(&server, "probe-node", "a017", &json!({})).await;
    assert_eq!(node["inherited"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a019_shared_memory_files_end_with_their_worker() {
    let server = server().await;
    assert_eq!(inside(&server, "probe", "a019", &json!({})).await["seen_before"], false);
    assert_eq!(
        inside(&server, "probe", "a019", &json!({})).await["seen_before"],
        true,
        "the probe works within one worker"
    );
    assert!(call(&server, "probe", "a044", &json!({ "how": "exit1" })).await.status.as_u16() >= 500);
    assert_eq!(inside(&server, "probe", "a019", &json!({})).await["seen_before"], false);
    assert!(!Path::new("/dev/shm/marker").exists());
    server.stop().await;
}

#[tokio::test]
async fn a020_tmp_is_bounded_in_bytes_and_files() {
    let server = server().await;
    let seen = inside(&server, "probe", "a020", &json!({})).await;
    assert!(["ENOSPC", "EFBIG"].contains(&seen["bytes"].as_str().unwrap()), "{seen}");
    assert!(seen["used_mb"].as_u64().unwrap() <= 16, "{seen}");
    assert!(["ENOSPC", "EDQUOT"].contains(&seen["inodes"].as_str().unwrap()), "{seen}");
    assert!(["EFBIG", "EINVAL", "ENOSPC"].contains(&seen["sparse"].as_str().unwrap()), "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a023_nothing_but_the_runtime_can_be_executed() {
    let server = server().await;
    let ways = ["tmp", "shebang", "memfd"];
    contained_by(&server, "a023", json!({}), &ways, REFUSED, &ways).await;
    assert_eq!(inside(&server, "probe-node", "a023", &json!({})).await["shell"], "ENOENT");
    server.stop().await;
}

#[tokio::test]
async fn a024_read_only_text_cannot_be_written_through_proc() {
    contained("a024", json!({}), &["write_text"], REFUSED, &["write_text"]).await;
}

#[tokio::test]
async fn a007_no_cgroup_hierarchy_can_be_mounted() {
    contained("a007", json!({}), &["v1", "v2", "release_agent"], REFUSED, &[]).await;
}

#[tokio::test]
async fn a014_no_socket_file_is_in_sight() {
    let server = server().await;
    assert_eq!(inside(&server, "probe", "a014", &json!({})).await["sockets"], 0);
    let folder = tempfile::tempdir().unwrap();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    assert_eq!(control("a014", &json!({ "tops": [folder.path()] }))["sockets"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a016_the_runtime_cannot_be_overwritten() {
    let program = tempfile::NamedTempFile::new().unwrap();
    let runtime = std::fs::canonicalize("/usr/bin/python3").unwrap();
    let before = std::fs::metadata(&runtime).unwrap();
    let refused = ["EACCES", "EROFS", "ETXTBSY", "ENOENT", "EPERM", "ELOOP"];
    let acts = ["self", "reopened", "parent", "plain"];
    contained("a016", json!({ "program": program.path() }), &acts, &refused, &["plain"]).await;
    assert_eq!(std::fs::metadata(&runtime).unwrap().modified().unwrap(), before.modified().unwrap());
}

#[tokio::test]
async fn a018_devices_are_what_they_are_called() {
    let server = server().await;
    let seen = inside(&server, "probe", "a018", &json!({})).await;
    let expected = json!({ "null": "1:3", "full": "1:7", "random": "1:8", "urandom": "1:9" });
    assert_eq!(seen, json!({ "kinds": expected, "links": [] }));
    server.stop().await;
}

#[tokio::test]
async fn a021_leases_and_directory_notes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    // Closed again: a lease is only given on a file that nobody writes.
    std::fs::write(&file, "x").unwrap();
    let server = server().await;
    let seen = inside(&server, "probe", "a021", &json!({ "file": "/fn/main.py" })).await;
    assert!(seen.as_object().unwrap().values().all(|outcome| REFUSED.contains(&outcome.as_str().unwrap())));
    let outside = control("a021", &json!({ "file": file }));
    assert!(outside.as_object().unwrap().values().all(|outcome| outcome.as_str().unwrap().starts_with("ok")));
    server.stop().await;
}

#[tokio::test]
async fn a022_file_systems_cannot_be_watched_as_a_whole() {
    contained("a022", json!({}), &["fanotify"], REFUSED, &["fanotify"]).await;
}
