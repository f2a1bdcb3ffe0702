//! Pools and workers against a supervisor of our own: real sockets, scripted workers, no sandbox.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use alyx_core::schema::{Concurrency, FunctionConfig};
use alyx_protocol::control::ExitCause;

use self::fake::{Rig, Script};
use super::fixtures::config;
use super::job::{Answer, InvokeError};

type Outcome = Result<Answer, InvokeError>;

fn code(outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => error.problem.code.clone(),
    }
}

fn with(change: impl FnOnce(&mut FunctionConfig)) -> FunctionConfig {
    let mut config = config();
    change(&mut config);
    config
}

#[tokio::test]
async fn two_hundred_calls_to_a_cold_function_are_all_answered() {
    let rig = Rig::start(config(), Script::default()).await;
    let inputs: Vec<String> = (0..200).map(|number: u32| number.to_string()).collect();
    let calls = inputs.iter().map(|input| rig.invoke(input));
    let answers = futures_util::future::join_all(calls).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(code(answer), format!("200 {number}"));
    }
    assert!(rig.spawned() <= 4, "{} workers", rig.spawned());
    assert_eq!(rig.executions(200).await.len(), 200);
}

#[tokio::test]
async fn a_warm_worker_is_used_again() {
    let rig = Rig::start(config(), Script::default()).await;
    for _ in 0..20 {
        assert_eq!(code(&rig.invoke("1").await), "200 1");
    }
    assert_eq!(rig.spawned(), 1);
}

#[tokio::test]
async fn a_worker_that_was_idle_past_a_timer_still_answers() {
    let rig = Rig::start(config(), Script::default()).await;
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    // Longer than the first look at processor time, which the idle worker sleeps through.
    tokio::time::sleep(super::limits::CPU_WATCH_AFTER + Duration::from_millis(50)).await;
    assert_eq!(code(&rig.invoke("2").await), "200 2");
    assert_eq!(rig.spawned(), 1);
}

#[tokio::test]
async fn a_crash_is_answered_with_its_cause_and_the_worker_is_replaced() {
    let check = async |cause: ExitCause, expected: &str| {
        let rig = Rig::start(config(), Script { exit: cause, ..Script::default() }).await;
        assert_eq!(code(&rig.invoke("1").await), "200 1");
        assert_eq!(code(&rig.invoke("\"exit\"").await), expected);
        assert_eq!(code(&rig.invoke("2").await), "200 2");
        assert_eq!(rig.spawned(), 2);
    };
    check(ExitCause::Exited { code: 0 }, "function_exited").await;
    check(ExitCause::Signalled { signal: 11 }, "function_crashed").await;
    check(ExitCause::Seccomp, "function_crashed").await;
    let limit_bytes = 64 << 20;
    check(ExitCause::OutOfMemory { limit_bytes, seen_bytes: limit_bytes }, "function_out_of_memory").await;
}

#[tokio::test]
async fn the_limit_that_ended_it_is_named() {
    let exit = ExitCause::OutOfMemory { limit_bytes: 5, seen_bytes: 6 };
    let rig = Rig::start(config(), Script { exit, ..Script::default() }).await;
    let error = rig.invoke("\"exit\"").await.unwrap_err();
    let details = error.problem.details.unwrap();
    assert_eq!(details["key"], "functions.echo.limits.memory");
    assert_eq!((&details["limit"], &details["value"]), (&5.into(), &6.into()));
    let execution = rig.executions(1).await.remove(0);
    assert_eq!((execution.outcome, execution.status), ("oom", 507));
    assert_eq!(execution.cause.as_ref().unwrap()["cause"], "out_of_memory");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_answered_at_its_deadline_and_its_worker_killed() {
    let rig = Rig::start(with(|config| config.timeout = Duration::from_millis(200)), Script::default()).await;
    let before = tokio::time::Instant::now();
    assert_eq!(code(&rig.invoke("\"hang\"").await), "function_timeout");
    assert!(before.elapsed() < Duration::from_millis(1_500), "{:?}", before.elapsed());
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    assert_eq!(rig.spawned(), 2);
}

#[tokio::test]
async fn a_worker_that_heeds_its_cancellation_lives_on() {
    let rig = Rig::start(with(|config| config.timeout = Duration::from_millis(200)), Script::default()).await;
    assert_eq!(code(&rig.invoke("\"wait\"").await), "function_timeout");
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    assert_eq!(rig.spawned(), 1);
}

#[tokio::test]
async fn bystanders_of_a_killed_worker_are_told_to_try_again() {
    let config = with(|config| {
        config.concurrency = Concurrency(8);
        config.instances.max = 1;
    });
    let rig = Rig::start(config, Script::default()).await;
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    let (one, two, three) =
        tokio::join!(rig.invoke("\"silent\""), rig.invoke("\"silent\""), rig.invoke("\"garbage\""));
    for outcome in [one, two, three] {
        let error = outcome.unwrap_err();
        assert_eq!((error.problem.code.as_str(), error.problem.status), ("function_worker_lost", 503));
        assert_eq!(error.problem.details.unwrap()["cause"], "protocol");
    }
    assert_eq!(code(&rig.invoke("2").await), "200 2");
}

#[tokio::test]
async fn broken_protocols_end_the_worker_and_nothing_else() {
    let check = async |input: &str| {
        let rig = Rig::start(config(), Script::default()).await;
        assert_eq!(code(&rig.invoke(input).await), "function_protocol_error", "{input}");
        assert_eq!(code(&rig.invoke("1").await), "200 1", "{input}");
    };
    check("\"garbage\"").await;
    check("\"giant\"").await;
    check("\"zero\"").await;
    check("\"unknown\"").await;
    check("\"stranger\"").await;
    check("\"deep\"").await;
}

#[tokio::test]
async fn code_that_does_not_load_is_told_to_all_callers_and_spawns_are_rare() {
    let rig = Rig::start(config(), Script { load: false, ..Script::default() }).await;
    let answers = futures_util::future::join_all((0..50).map(|_| rig.invoke("1"))).await;
    assert!(answers.iter().all(|answer| code(answer) == "function_load_failed"));
    assert!(answers[0].as_ref().unwrap_err().problem.detail.contains("no such module"));
    assert!(rig.spawned() <= 8, "{} workers", rig.spawned());
}

#[tokio::test]
async fn output_over_the_limit_is_refused_and_the_worker_lives_on() {
    let rig = Rig::start(with(|config| config.limits.output_bytes = 10), Script::default()).await;
    assert_eq!(code(&rig.invoke("\"12345678\"").await), "200 \"12345678\"");
    assert_eq!(code(&rig.invoke("\"123456789\"").await), "function_output_too_large");
    assert_eq!(rig.spawned(), 1);
}

#[tokio::test]
async fn failures_of_the_function_are_its_own() {
    let rig = Rig::start(config(), Script::default()).await;
    let check = async |input: &str, status: u16, code: &str, detail: &str| {
        let problem = rig.invoke(input).await.unwrap_err().problem;
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
        assert!(problem.detail.contains(detail), "{}", problem.detail);
    };
    check(r#"{"fail":{"status":409,"code":"taken","message":"it is taken"}}"#, 409, "taken", "it is taken")
        .await;
    check(r#"{"fail":{"code":"function_error","message":"secret"}}"#, 500, "function_error", "Function echo")
        .await;
    check(r#"{"fail":{"status":503,"code":"later","message":"secret"}}"#, 503, "later", "Function echo")
        .await;
    check(r#"{"fail":{"code":"Bad Code!","message":"x"}}"#, 500, "function_error", "Function echo").await;
}

#[tokio::test]
async fn calls_act_for_the_caller() {
    let rig = Rig::start(config(), Script::default()).await;
    assert_eq!(code(&rig.invoke("\"call\"").await), "200 \"function:echo/user:u1\"");
}

#[tokio::test]
async fn lines_belong_to_the_invocation_that_printed_them() {
    let rig = Rig::start(config(), Script::default()).await;
    assert_eq!(code(&rig.invoke("\"print\"").await), "200 \"print\"");
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    let executions = rig.executions(2).await;
    let lines: Vec<&str> = executions[0].logs.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["logged", "printed", "no line break"]);
    assert!(executions[1].logs.is_empty());
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let config = with(|config| config.instances.max = 1);
    let rig = Rig::with_queue(config, Script::default(), 3).await;
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    let mut running: Vec<_> = (0..4).map(|_| Box::pin(rig.invoke("\"wait\""))).collect();
    for call in &mut running {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    assert_eq!(code(&rig.invoke("1").await), "function_queue_full");
    drop(running);
    assert_eq!(code(&rig.invoke("2").await), "200 2");
}

#[tokio::test]
async fn without_a_supervisor_calls_fail_at_once_and_work_again_when_it_is_back() {
    let mut rig = Rig::start(config(), Script::default()).await;
    rig.stop_supervisor().await;
    let problem = rig.invoke("1").await.unwrap_err().problem;
    assert_eq!((problem.code.as_str(), problem.status), ("functions_unavailable", 503));
    rig.start_supervisor().await;
    assert_eq!(code(&rig.invoke("1").await), "200 1");
}

#[tokio::test]
async fn workers_are_replaced_after_so_many_invocations() {
    let rig = Rig::start(with(|config| config.instances.recycle_after = 2), Script::default()).await;
    for _ in 0..6 {
        assert_eq!(code(&rig.invoke("1").await), "200 1");
    }
    assert_eq!(rig.spawned(), 3);
}

#[tokio::test]
async fn idle_workers_are_stopped() {
    let config = with(|config| config.instances.idle = Duration::from_millis(50));
    let rig = Rig::start(config, Script::default()).await;
    assert_eq!(code(&rig.invoke("1").await), "200 1");
    rig.until("no worker is left", || rig.alive() == 0).await;
}

#[tokio::test]
async fn a_retired_pool_serves_what_waits_and_ends() {
    let rig = Arc::new(Rig::start(config(), Script::default()).await);
    let calls = futures_util::future::join_all((0..20).map(|_| rig.invoke("1")));
    let retire = async { rig.pool.retire() };
    let (answers, ()) = tokio::join!(calls, retire);
    assert!(answers.iter().all(|answer| code(answer) == "200 1"));
    rig.until("no worker is left", || rig.alive() == 0).await;
}
