//! Memory, processor time, descriptors: numbers 51 to 64.

use std::time::{Duration, Instant};

use alyx_tests::{Project, TestServer};
use serde_json::json;

use crate::{call, code_of, contained, control, fails_then_recovers, inside, server};

#[tokio::test]
async fn a051_a_memory_bomb_ends_its_worker_only() {
    let server = server().await;
    for function in ["probe", "probe-node", "probe-go"] {
        fails_then_recovers(&server, function, "a051", json!({ "how": "heap" }), &["function_out_of_memory"])
            .await;
    }
    let buffers = json!({ "how": "buffers" });
    fails_then_recovers(&server, "probe-node", "a051", buffers, &["function_out_of_memory"]).await;
    server.stop().await;
}

#[tokio::test]
async fn a055_an_infinite_loop_is_ended_at_its_timeout() {
    let server = server().await;
    for function in ["probe", "probe-node", "probe-go"] {
        fails_then_recovers(&server, function, "a055", json!({}), &["function_timeout", "function_cpu_time"])
            .await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a056_a_catastrophic_regex_is_ended_at_its_timeout() {
    let server = server().await;
    fails_then_recovers(&server, "probe", "a056", json!({}), &["function_timeout", "function_cpu_time"])
        .await;
    server.stop().await;
}

#[tokio::test]
async fn a057_sleeping_past_the_timeout_is_ended_on_time() {
    let server = server().await;
    for function in ["probe", "probe-node", "probe-go"] {
        let started = Instant::now();
        let answer = call(&server, function, "a057", &json!({})).await;
        assert_eq!(code_of(&answer), "function_timeout", "{function}");
        assert!(started.elapsed() >= Duration::from_secs(5), "{function} was ended before its time");
    }
    server.stop().await;
}

#[tokio::test]
async fn a058_descriptors_are_bounded() {
    let server = server().await;
    let seen = inside(&server, "probe", "a058", &json!({})).await;
    assert_eq!(seen["outcome"], "EMFILE");
    assert!(seen["count"].as_u64().unwrap() < 128, "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a061_memory_cannot_be_locked() {
    contained("a061", json!({}), &["mlock"], &["EPERM", "ENOMEM", "ENOSYS", "EAGAIN"], &["mlock"]).await;
}

#[tokio::test]
async fn a051_memory_that_no_process_maps_cannot_be_had() {
    let acts = ["anonymous", "dev_zero", "reserve"];
    contained("a051_unmapped", json!({ "mb": 160 }), &acts, &["EPERM", "ENOENT", "EACCES"], &acts).await;
}

#[tokio::test]
async fn a051_page_tables_count_as_memory() {
    let server = server().await;
    let bomb = json!({ "mb": 512 });
    fails_then_recovers(&server, "probe", "a051_tables", bomb, &["function_out_of_memory"]).await;
    server.stop().await;
    assert_eq!(control("a051_tables", &json!({ "mb": 16 }))["tables_mb"], 16);
}

#[tokio::test]
async fn a053_memory_is_counted_wherever_it_is_taken() {
    let project = Project::fixture("abuse");
    let server = TestServer::start(project).await;
    for place in ["child", "thread"] {
        let bomb = json!({ "where": place });
        fails_then_recovers(&server, "probe", "a053", bomb, &["function_out_of_memory"]).await;
    }
    server.project.write("functions/probe/main.py", "held = [bytearray(8 << 20) for _ in range(4096)]\n");
    let answer = call(&server, "probe", "a001", &json!({})).await;
    let code = code_of(&answer);
    assert!(["function_out_of_memory", "function_load_failed"].contains(&code.as_str()), "{answer}");
    assert!(answer.text().contains("memory"), "the cause is named: {answer}");
    server.stop().await;
}

#[tokio::test]
async fn a055_many_spinning_processes_are_ended_with_their_worker() {
    let server = server().await;
    let codes = ["function_timeout", "function_cpu_time"];
    fails_then_recovers(&server, "probe", "a055_threads", json!({}), &codes).await;
    server.stop().await;
}

#[tokio::test]
async fn a059_a_flood_of_logs_does_not_fill_the_disk() {
    let server = server().await;
    let stored = || -> u64 {
        let files = ["data.db", "data.db-wal"].map(|name| server.project.data().join(name));
        files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|found| found.len()).sum()
    };
    let before = stored();
    for _ in 0..4 {
        call(&server, "probe", "print_flood", &json!({ "blocks": 50 })).await.expect_ok();
    }
    let grown = stored().saturating_sub(before);
    assert!(grown < 16 << 20, "200 MB of output cost {grown} bytes on disk");
    server.stop().await;
}

#[tokio::test]
async fn a062_drawing_random_bytes_is_ended_at_its_timeout() {
    let server = server().await;
    let codes = ["function_timeout", "function_cpu_time"];
    fails_then_recovers(&server, "probe", "a062", json!({}), &codes).await;
    server.stop().await;
}

#[tokio::test]
async fn a063_timers_and_queued_signals_are_bounded() {
    let server = server().await;
    let seen = inside(&server, "probe", "a063", &json!({})).await;
    for what in ["timers", "signals"] {
        assert_eq!(seen[what]["outcome"], "EAGAIN", "{seen}");
        assert!(seen[what]["made"].as_u64().unwrap() <= 1024, "{seen}");
    }
    assert!(["EPERM", "ENOSYS", "EACCES"].contains(&seen["mqueue"].as_str().unwrap()), "{seen}");
    let outside = control("a063", &json!({}));
    assert!(outside["timers"]["made"].as_u64().unwrap() > 1024, "{outside}");
    server.stop().await;
}

#[tokio::test]
async fn a064_kernel_objects_are_bounded() {
    let server = server().await;
    let seen = inside(&server, "probe", "a064", &json!({})).await;
    assert!(["EMFILE", "ENFILE"].contains(&seen["inotify"].as_str().unwrap()), "{seen}");
    assert!(seen["instances"].as_u64().unwrap() <= 128, "{seen}");
    assert_eq!(seen["keyring"], "EPERM");
    assert!(control("a064", &json!({}))["keyring"].as_str().unwrap().starts_with("ok"));
    server.stop().await;
}
