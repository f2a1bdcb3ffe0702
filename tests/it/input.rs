//! Bad schemas and configurations are refused with a place and a hint, and nothing starts.

use std::fs;

use alyx_tests::{Project, tree};
use tokio::process::Command;

/// Runs `alyxd` and returns its exit code and everything it wrote.
async fn alyxd(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(tree::program("alyxd")).args(arguments).output().await.expect("run alyxd");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

async fn check_schema(schema: &str, expected: &[&str]) {
    let project = Project::schema(schema);
    let file = project.folder().join("schema.yaml");
    let (code, text) = alyxd(&["check-schema", file.to_str().unwrap()]).await;
    assert_eq!(code, i32::from(!expected.is_empty()), "{schema}\n→ {text}");
    for part in expected {
        assert!(text.contains(part), "{schema}\n→ expected {part:?} in {text}");
    }
}

#[tokio::test]
async fn schema_mistakes_are_all_named_with_their_place() {
    let valid =
        "version: 1\ncollections:\n  a:\n    fields:\n      id: { type: id, primary: true, default: auto }\n";
    check_schema(valid, &[]).await;
    check_schema("version: 1\ncollections: [", &["schema.yaml:"]).await;
    check_schema("version: 2\n", &["schema.yaml:1:", "version"]).await;
    check_schema(&valid.replace("type: id", "type: nothing"), &["schema.yaml:5:", "nothing"]).await;
    let two = format!("{valid}      n: {{ type: strin }}\n      m: {{ type: int, minLenght: 1 }}\n");
    check_schema(&two, &["schema.yaml:6:", "strin", "schema.yaml:7:", "minLenght"]).await;
    let relation = format!("{valid}      b: {{ type: relation, relation: {{ collection: nowhere }} }}\n");
    check_schema(&relation, &["schema.yaml:6:", "nowhere"]).await;
    check_schema(&valid.replace("  a:", "  _alyx_a:"), &["schema.yaml:3:", "_alyx"]).await;
    check_schema(&valid.replace("  a:", "  Röw:"), &["schema.yaml:3:"]).await;
    let rule = format!("{valid}    rules: {{ create: \"auth.id !=\" }}\n");
    check_schema(&rule, &["schema.yaml:6:"]).await;
    let unknown = format!("{valid}    rules: {{ read: \"doc.nothing == 1\" }}\n");
    check_schema(&unknown, &["schema.yaml:6:", "nothing"]).await;
}

#[tokio::test]
async fn m23_internal_names_are_reserved() {
    for name in ["_alyx_changes", "_alyx", "sqlite_master"] {
        let schema = format!(
            "version: 1\ncollections:\n  {name}:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n"
        );
        check_schema(&schema, &["schema.yaml:3:"]).await;
    }
}

#[tokio::test]
async fn a_project_with_a_bad_schema_does_not_start() {
    let project = Project::schema("version: 1\ncollections:\n  a: { fieldz: {} }\n");
    let folder = project.folder();
    let said =
        alyx_tests::Cli::in_folder(&folder).run(&["dev", "--listen", "127.0.0.1:0"]).await.expect_code(1);
    assert!(said.err.contains("schema.yaml:3:") && said.err.contains("fieldz"), "{said:#?}");
    assert!(!folder.join(".alyx/run/dev.json").exists());
}

#[tokio::test]
async fn m42_a_bad_configuration_does_not_start() {
    let project = Project::schema("version: 1\n");
    let folder = project.folder();
    let file = folder.join("alyx.yaml");
    let check = async |config: &str, expected: &str| {
        fs::write(&file, config).unwrap();
        for command in ["check-config", "serve"] {
            let mut arguments = vec![command, "--config", file.to_str().unwrap()];
            if command == "serve" {
                arguments.extend(["--project", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
            }
            let (code, text) = alyxd(&arguments).await;
            assert_ne!(code, 0, "{command} with {config:?}: {text}");
            assert!(
                text.contains(expected) && text.contains("alyx.yaml"),
                "{command} with {config:?}: {text}"
            );
        }
    };
    check("colour: red\n", "colour").await;
    check("server: { colour: red }\n", "colour").await;
    check("server: [\n", "alyx.yaml").await;
    check("server: { listen: 12 }\n", "listen").await;
    let (code, text) = alyxd(&["check-config", "--config", "/nonexistent/alyx.yaml"]).await;
    assert!(code != 0 && text.contains("/nonexistent/alyx.yaml"), "{text}");
}

#[tokio::test]
async fn m08_a_weak_or_missing_signing_secret_does_not_start() {
    let project = Project::schema("version: 1\n");
    let folder = project.folder();
    let file = folder.join("alyx.yaml");
    let check = async |auth: &str, shown: &str| {
        fs::write(&file, format!("auth: {auth}\n")).unwrap();
        let (project, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
        for arguments in [
            vec!["check-config", "--config", file],
            vec!["serve", "--config", file, "--project", project, "--listen", "127.0.0.1:0"],
        ] {
            let (code, text) = alyxd(&arguments).await;
            assert_ne!(code, 0, "{auth}: {text}");
            assert!(text.contains("auth.secret"), "{auth}: {text}");
            assert!(shown.is_empty() || !text.contains(shown), "the report tells the secret: {text}");
        }
    };
    check("{ algorithm: hs256 }", "").await;
    check("{ algorithm: hs256, secret: \"\" }", "").await;
    check("{ algorithm: hs256, secret: short-4711 }", "short-4711").await;
    check("{ algorithm: hs256, secret: changeme-changeme-changeme-changeme }", "changeme-changeme").await;
    check("{ algorithm: hs256, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }", "aaaaaaaaaa").await;
    check("{ secret: k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca }", "k7Qm2vX9pLw4").await;
}
