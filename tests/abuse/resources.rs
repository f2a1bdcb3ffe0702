//! Memory, processor time, descriptors: numbers 51 to 64.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{call, code_of, contained, fails_then_recovers, inside, server};

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
