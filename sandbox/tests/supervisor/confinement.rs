//! What a worker sees and may do, in each way of starting the supervisor.

use serde_json::json;

use crate::harness::{Setup, Start, Supervisor, facts, is_root};

/// Says hello on its link and prints what it sees.
const FACTS: &str = include_str!("facts.py");

#[test]
fn a_worker_has_nothing_but_what_it_was_given() {
    if !is_root() {
        return;
    }
    for start in [Start::Root, Start::Service, Start::Rootless] {
        let supervisor = Supervisor::with(&Setup { start, ..Setup::new(FACTS) });
        let mut daemon = supervisor.connect();
        let worker = daemon.spawn();
        assert_eq!(worker.read_link(), b"hello from the worker");
        let facts = facts(&worker);
        let check = |key: &str, expected: serde_json::Value| {
            assert_eq!(facts[key], expected, "{start:?} {key}");
        };
        check("uid", json!(1000));
        check("gid", json!(1000));
        check("caps", json!(vec!["0000000000000000"; 5]));
        check("no_new_privs", json!("1"));
        check("seccomp", json!("2"));
        check("fds", json!([0, 1, 2, 3, 4]));
        check("stdin_null", json!(true));
        check("cwd", json!("/fn"));
        check("hello", json!("from the bundle"));
        check("hostname", json!("worker"));
        check("proc", json!([]));
        check("etc", json!(["group", "hosts", "nsswitch.conf", "passwd"]));
        check("dev", json!(["full", "null", "random", "shm", "urandom"]));
        check(
            "environment",
            json!({
                "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp", "TMPDIR": "/tmp",
                "OWN": "yes",
            }),
        );
        for (path, found) in facts["paths"].as_object().unwrap() {
            assert_eq!(found, "ENOENT", "{start:?} {path}");
        }
        for (path, found) in facts["writes"].as_object().unwrap() {
            let allowed = ["/tmp/ok", "/dev/shm/ok", "/dev/null"].contains(&path.as_str());
            assert_eq!(found == "None", allowed, "{start:?} {path}: {found}");
        }
        for (key, expected) in [
            ("exec_tmp", "EACCES"),
            ("tcp", "EACCES"),
            ("bind", "EACCES"),
            ("netlink", "EAFNOSUPPORT"),
            ("raw", "EAFNOSUPPORT"),
            ("abstract", "ECONNREFUSED"),
            ("clone3", "ENOSYS"),
            ("io_uring", "ENOSYS"),
            ("tiocsti", "ENOTTY"),
        ] {
            check(key, json!(expected));
        }
        for key in [
            "unshare",
            "clone_newuser",
            "mount",
            "ptrace",
            "setns",
            "bpf",
            "keyctl",
            "memfd",
            "userfaultfd",
            "perf",
            "vm_read",
            "chroot",
            "setuid0",
            "personality",
            "mknod",
        ] {
            check(key, json!("EPERM"));
        }
        assert_ne!(facts["tmp_full"], json!("8388608"), "{start:?}: /tmp is bounded");
        // The kernel drops it without a word: nothing inside can end process 1.
        check("kill_init", json!("None"));
    }
}

#[test]
fn no_host_id_zero_and_no_shared_ids() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start("import time\nprint('up', flush=True)\nwhile True: time.sleep(60)\n");
    let mut daemon = supervisor.connect();
    let workers = [daemon.spawn(), daemon.spawn()];
    for worker in &workers {
        worker.wait_line("up");
    }
    let maps: Vec<Vec<u32>> = supervisor
        .processes()
        .iter()
        .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap())
        .filter(|map| map.lines().count() == 1 && !map.contains("4294967295"))
        .map(|map| map.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect())
        .collect();
    // Init and runtime of both workers; each map is inside 0, outside, count.
    let mut outside: Vec<u32> = maps.iter().map(|map| map[1]).collect();
    outside.sort_unstable();
    let slot = |number: u32| supervisor.first_id + (number + 1) * 65_536;
    assert_eq!(outside, [slot(0), slot(0), slot(1), slot(1)]);
    assert!(maps.iter().all(|map| map[0] == 0 && map[2] == 65_536));
}
