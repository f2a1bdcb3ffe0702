//! Backups: made under load, examined, kept, restored.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use alyx_tests::{Project, TestServer, tree};
use tokio::process::Command;

use crate::{lab, post};

async fn alyxd(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(tree::program("alyxd")).args(arguments).output().await.expect("run alyxd");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn file(project: &Project, id: &str) -> PathBuf {
    project.data().join(format!("backups/{id}.db"))
}

async fn restore(project: &Project, file: &Path, more: &[&str]) -> (i32, String) {
    let (folder, data) = (project.folder(), project.data());
    let mut arguments = vec!["restore", file.to_str().unwrap(), "--project", folder.to_str().unwrap()];
    arguments.extend(["--data", data.to_str().unwrap()]);
    arguments.extend(more);
    alyxd(&arguments).await
}

#[tokio::test]
async fn m15_a_backup_under_load_is_whole_and_comes_back() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (ada, stop, written) = (ada.clone(), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    post(&ada, &format!("{writer}-{number}"), "published").await;
                    number += 1;
                    written.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    alyx_tests::wait_until("some writes", Duration::from_secs(60), || written.load(Ordering::SeqCst) > 50)
        .await;
    let before = written.load(Ordering::SeqCst);
    let made = server.cli().run(&["backup", "create", "--json"]).await.expect_ok().json();
    let after = written.load(Ordering::SeqCst) + 4;
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let id = made["id"].as_str().unwrap().to_owned();
    let place = ada.get_path("/api/changes").await.expect_ok()["next"].as_str().unwrap().to_owned();
    post(&ada, "after the backup", "published").await;
    server.cli().run(&["backup", "verify", &id]).await.expect_ok();
    let said = server.cli().run(&["backup", "restore", &id]).await.expect_ok();
    assert!(
        said.out.starts_with("alyxd restore --replace '/") && said.err.contains("stop the daemon"),
        "{said:?}"
    );
    let path = file(&server.project, &id);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let (code, said) = restore(&server.project, &path, &["--replace"]).await;
    assert!(code == 1 && said.contains("in use") && said.contains("stop the daemon first"), "{said}");
    let project = server.stop().await;
    let (code, said) = restore(&project, &path, &[]).await;
    assert!(code == 1 && said.contains("--replace"), "{said}");
    let (code, said) = restore(&project, &path, &["--replace"]).await;
    assert!(code == 0 && said.contains("What was there is"), "{said}");

    let server = TestServer::start(project).await;
    let ada = server.anon().login("ada@example.org", alyx_tests::PASSWORD).await;
    let list = ada.list("posts", "limit=1&count=true").await.expect_ok();
    let total = usize::try_from(list["total"].as_u64().unwrap()).unwrap();
    assert!((before..=after).contains(&total), "{before} {total} {after}");
    let lost = ada.list("posts", "filter=title:eq:after the backup").await.expect_docs();
    assert!(lost.is_empty());
    ada.get_path(&format!("/api/changes?since={place}")).await.expect_error(410, "resync_required");
    post(&ada, "a new life", "published").await;
    let aside: Vec<_> = fs::read_dir(server.project.data())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("data.db.replaced-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_damaged_backup_is_found_and_never_restored() {
    let server = lab().await;
    let ada = server.user("ada").await;
    for number in 0..50 {
        post(&ada, &number.to_string(), "published").await;
    }
    let id = server.cli().run(&["backup", "create"]).await.expect_ok().out.trim().to_owned();
    let path = file(&server.project, &id);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let said = server.cli().run(&["backup", "verify", &id]).await.expect_code(1);
    assert!(said.err.contains("backup_damaged"), "{said:?}");
    server.cli().run(&["backup", "restore", &id]).await.expect_code(1);
    server.cli().run(&["backup", "verify", "nothing"]).await.expect_code(1);
    let project = server.stop().await;
    let (code, said) = alyxd(&["verify", path.to_str().unwrap()]).await;
    assert!(code == 1 && said.contains("checksum"), "{said}");
    // Without its manifest the damage must be found in the file itself.
    fs::remove_file(path.with_extension("json")).unwrap();
    fs::write(&path, &bytes[..middle]).unwrap();
    let (code, said) = restore(&project, &path, &["--replace"]).await;
    assert!(code == 1 && said.contains("damaged"), "{said}");
    let server = TestServer::start(project).await;
    let ada = server.anon().with_token(ada.token());
    assert_eq!(ada.list("posts", "limit=1&count=true").await.expect_ok()["total"], 50, "nothing was touched");
    server.stop().await;
}

#[tokio::test]
async fn old_backups_go_and_scheduled_ones_come() {
    let project = Project::fixture("lab").with("alyx.yaml", "backup: { every: 1h, keep: 2 }\n");
    let server = TestServer::start(project).await;
    let list =
        async || server.cli().run(&["backup", "list", "--json"]).await.expect_ok().json()["backups"].clone();
    alyx_tests::wait::wait_for("the first backup", Duration::from_secs(60), async || {
        (list().await.as_array()?.len() == 1).then_some(())
    })
    .await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(server.cli().run(&["backup", "create"]).await.expect_ok().out.trim().to_owned());
    }
    server.cli().run(&["backup", "prune"]).await.expect_code(5);
    assert_eq!(list().await.as_array().unwrap().len(), 4);
    // A copy that was interrupted has no manifest.
    fs::write(file(&server.project, "19990101t000000z-000000"), "half of it").unwrap();
    server.cli().run(&["backup", "prune", "--yes"]).await.expect_ok();
    let left = list().await;
    assert_eq!(left.as_array().unwrap().len(), 2);
    assert!(
        left.as_array().unwrap().iter().all(|backup| made.iter().any(|id| backup["id"] == *id)),
        "{left}"
    );
    server.cli().run(&["backup", "prune", "--keep", "0", "--yes"]).await.expect_code(1);
    let ada = server.user("ada").await;
    ada.get_path("/api/admin/backups").await.expect_error(403, "forbidden");
    server.anon().get_path("/api/admin/backups").await.expect_error(401, "unauthenticated");
    server.stop().await;
}
