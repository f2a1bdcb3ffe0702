//! Edited functions and schemas are live without a restart.

use std::time::{Duration, Instant};

use alyx_tests::wait::wait_for;
use serde_json::json;

use crate::lab;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_edited_function_answers_with_its_new_code() {
    let server = lab().await;
    let call = async || server.anon().invoke("cold", json!({ "n": 1 })).await;
    assert_eq!(call().await.expect_ok()["n"], 1);
    for version in ["two", "three"] {
        let code = format!("def handler(ctx):\n    return {{'version': '{version}'}}\n");
        server.project.write("functions/cold/main.py", &code);
        let start = Instant::now();
        wait_for("the new code to answer", PATIENCE, async || {
            let answer = call().await.expect_ok();
            (answer["version"] == version).then_some(())
        })
        .await;
        assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
    }
    server.project.write("functions/cold/main.py", "def handler(ctx:\n");
    wait_for("the mistake to be named", PATIENCE, async || {
        let answer = call().await;
        (answer.status == 500).then(|| answer.expect_error(500, "function_load_failed"))
    })
    .await;
    server.project.write("functions/cold/main.py", "def handler(ctx):\n    return {'version': 'mended'}\n");
    wait_for("the mended code to answer", PATIENCE, async || {
        let answer = call().await;
        (answer.status == 200 && answer.json()["version"] == "mended").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_go_mistake_is_answered_with_the_compilers_text() {
    let server = lab().await;
    server
        .project
        .write("functions/hostile-go/hostile.go", "package hostile\n\nfunc Handler() { nonsense }\n");
    let problem = wait_for("the compiler's text", Duration::from_secs(120), async || {
        let answer = server.anon().invoke("hostile-go", json!({ "mode": "fine" })).await;
        (answer.status == 500).then(|| answer.expect_error(500, "function_build_failed"))
    })
    .await;
    let text = serde_json::to_string(&problem).unwrap();
    assert!(text.contains("nonsense"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_safe_schema_change_is_live() {
    let server = lab().await;
    let schema = std::fs::read_to_string(server.project.folder().join("schema.yaml")).unwrap();
    let anon = server.anon();
    anon.create("select", json!({ "order": 1 })).await.expect_created();
    let wider = schema.replace(
        "      order: { type: int, nullable: true }",
        "      order: { type: int, nullable: true }\n      colour: { type: string, nullable: true }",
    );
    assert_ne!(schema, wider);
    server.project.write("schema.yaml", &wider);
    let start = Instant::now();
    wait_for("the new field to be there", PATIENCE, async || {
        let answer = anon.create("select", json!({ "order": 2, "colour": "red" })).await;
        (answer.status == 201).then_some(())
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
    let docs = anon.list("select", "sort=order&fields=order,colour").await.expect_docs();
    assert_eq!(docs, [json!({ "order": 1, "colour": null }), json!({ "order": 2, "colour": "red" })]);
    server.stop().await;
}

#[tokio::test]
async fn m18_a_change_that_loses_data_is_not_applied() {
    let server = lab().await;
    let anon = server.anon();
    anon.create("select", json!({ "order": 7 })).await.expect_created();
    let schema = std::fs::read_to_string(server.project.folder().join("schema.yaml")).unwrap();
    let narrower = schema.replace("      order: { type: int, nullable: true }\n", "");
    assert_ne!(schema, narrower);
    server.project.write("schema.yaml", &narrower);
    alyx_tests::wait_until("a plan that names the field", PATIENCE, || {
        let output = server.output();
        output.contains("order") && output.to_lowercase().contains("confirm")
    })
    .await;
    assert_eq!(anon.list("select", "fields=order").await.expect_docs(), [json!({ "order": 7 })]);
    server.project.write("schema.yaml", &schema);
    server.restart().await.stop().await;
}

#[tokio::test]
async fn a_broken_schema_leaves_the_old_one_in_force() {
    let server = lab().await;
    server.project.write("schema.yaml", "version: 1\ncollections: { a: { fieldz: {} } }\n");
    alyx_tests::wait_until("the mistake to be named", PATIENCE, || server.output().contains("fieldz")).await;
    server.anon().create("select", json!({ "order": 1 })).await.expect_created();
    server.stop().await;
}
