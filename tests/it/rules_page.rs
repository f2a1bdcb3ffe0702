//! The examples of docs/rules.md: every schema is served, and its expectations hold in it.

use alyx_tests::{Project, TestServer, tree};

use crate::docs::{blocks, follow, steps};

const FUNCTION: &str = "export default async function () { return {}; }\n";

/// Says which schema its tests are for, because they do not stand below it.
const ROOMS: &str = "# rules.test.yaml for the rooms above";

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_rules_hold() {
    let page = std::fs::read_to_string(tree::root().join("docs/rules.md")).unwrap();
    let yaml = blocks(&page, "yaml");
    let mut schema = None;
    let mut held = 0;
    for block in &yaml {
        if block.starts_with("version:") {
            schema = Some(block);
        } else if block.starts_with("# rules.test.yaml") && !block.starts_with(ROOMS) {
            let server = serve(schema.take().expect("a schema stands above its tests"), block).await;
            let said = server.cli().run(&["rules", "test"]).await;
            assert_eq!(said.code, 0, "{block}\n{said:?}");
            assert!(said.out.contains(": ok ") && said.err.contains(" 0 failed"), "{said:?}");
            held += 1;
            server.stop().await;
        }
    }
    assert_eq!(held, 7, "examples with expectations");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_rules_print_what_the_page_shows() {
    let page = std::fs::read_to_string(tree::root().join("docs/rules.md")).unwrap();
    let yaml = blocks(&page, "yaml");
    let find = |start: &str| yaml.iter().find(|block| block.starts_with(start)).expect("it is shown");
    let server = serve(find("version:"), find(ROOMS)).await;
    let steps: Vec<_> = blocks(&page, "console").iter().flat_map(|block| steps(block)).collect();
    assert_eq!(steps.len(), 4, "{steps:?}");
    follow(&steps, &server.project.folder(), Some(&server)).await;
    server.stop().await;
}

async fn serve(schema: &str, tests: &str) -> TestServer {
    let project = Project::schema(schema).with("rules.test.yaml", tests);
    if schema.contains("functions:") {
        project.write("functions/report/index.js", FUNCTION);
        project.write("functions/report/package.json", "{ \"type\": \"module\" }\n");
    }
    TestServer::start(project).await
}
