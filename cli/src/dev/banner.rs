//! What `alyx dev` prints once everything answers: where it is, how to sign in, which layers of the
//! sandbox this host lacks, and three calls to try.

use std::net::{IpAddr, SocketAddr};

use alyx_protocol::isolation::{LayerReport, LayerState};
use serde_json::Value;

use super::admin::Admin;
use super::config::Missing;
use super::layout::Layout;
use crate::client::Client;
use crate::commands::{layer_name, rows, state_name};
use crate::exit::Failure;
use crate::print;

/// The URL that a person on this host can open. A port of zero is asked back from the daemon.
pub async fn url(client: &Client, listen: SocketAddr) -> Result<String, Failure> {
    let mut address = listen;
    if listen.port() == 0 {
        let status = client.get("/api/admin/status").await?;
        let text = status.get("listen").and_then(Value::as_str).unwrap_or_default();
        address =
            text.parse().map_err(|_| Failure::new("the daemon does not say which address it listens on"))?;
    }
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address.ip() {
            IpAddr::V4(_) => [127, 0, 0, 1].into(),
            IpAddr::V6(_) => [0, 0, 0, 0, 0, 0, 0, 1].into(),
        };
        address.set_ip(loopback);
    }
    Ok(format!("http://{address}"))
}

pub async fn print(
    client: &Client,
    url: &str,
    admin: &Admin,
    missing: &[Missing],
    layout: &Layout,
) -> Result<(), Failure> {
    let isolation = client.get("/api/admin/isolation").await?;
    let layers: Vec<LayerReport> = serde_json::from_value(isolation["layers"].clone()).unwrap_or_default();
    let functions = client.get("/api/admin/functions").await?;
    let openapi = client.get("/api/openapi.json").await.unwrap_or_default();

    let password = admin.password.as_deref().unwrap_or("(the password you gave it)");
    let mut text = format!(
        "\nAlyx runs {} at {url}\n  data      {}\n  sign in   {}  {password}\n",
        layout.project.display(),
        layout.data.display(),
        admin.email,
    );
    text.push_str(&isolation_lines(&layers));
    for runtime in missing {
        text.push_str(&format!(
            "  runtime {} is missing: {} ({})\n",
            runtime.name, runtime.why, runtime.hint
        ));
    }
    text.push_str("\nTry:\n");
    for call in calls(url, admin, &functions, &openapi) {
        text.push_str(&format!("  {call}\n"));
    }
    text.push_str("\nEdit a file and call again. Ctrl-C stops everything.");
    print::line(&text)
}

fn isolation_lines(layers: &[LayerReport]) -> String {
    let lowered: Vec<&LayerReport> =
        layers.iter().filter(|report| report.state != LayerState::Active).collect();
    if layers.is_empty() {
        return "  sandbox   not known yet\n".to_owned();
    }
    if lowered.is_empty() {
        return format!("  sandbox   all {} layers active\n", layers.len());
    }
    let mut text = format!(
        "  sandbox   {} of {} layers active; this host lacks:\n",
        layers.len() - lowered.len(),
        layers.len()
    );
    for report in lowered {
        text.push_str(&format!(
            "            {} {}: {}\n",
            layer_name(report.layer),
            state_name(report.state),
            report.detail
        ));
    }
    text
}

/// Three calls that work on this project as they stand.
fn calls(url: &str, admin: &Admin, functions: &Value, openapi: &Value) -> Vec<String> {
    let mut calls = Vec::new();
    let names: Vec<&str> =
        rows(functions).iter().filter_map(|function| function.get("name").and_then(Value::as_str)).collect();
    // The first call of a Go function compiles it, which is no good first impression.
    let hello = || names.iter().filter(|name| name.contains("hello"));
    let function = hello().find(|name| !name.contains("go")).or_else(|| hello().next());
    let function = function.or_else(|| names.first());
    if let Some(name) = function {
        calls.push(format!(r#"curl -X POST {url}/api/functions/{name} -d '{{"name":"Ada"}}'"#));
    }
    if let Some(collection) = first_collection(openapi) {
        calls.push(format!("curl '{url}/api/collections/{collection}?limit=5'"));
    }
    match &admin.password {
        Some(password) => calls.push(format!(
            r#"curl -X POST {url}/api/auth/login -d '{{"email":"{}","password":"{password}"}}'"#,
            admin.email
        )),
        None => calls.push(format!("curl {url}/api/auth/status")),
    }
    if calls.len() < 3 {
        calls.push(format!("curl {url}/health"));
    }
    for call in &mut calls {
        if call.contains(" -d ") {
            call.push_str(" -H 'content-type: application/json'");
        }
    }
    calls
}

fn first_collection(openapi: &Value) -> Option<&str> {
    let paths = openapi.get("paths")?.as_object()?;
    paths
        .keys()
        .filter_map(|path| path.strip_prefix("/api/collections/"))
        .find(|name| !name.contains(['/', '{']) && *name != "users")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Admin, calls};

    #[test]
    fn the_calls_name_what_the_project_has() {
        let admin = Admin { email: "a@b".to_owned(), password: Some("pw".to_owned()) };
        let functions =
            json!({ "docs": [{ "name": "feed" }, { "name": "hello-go" }, { "name": "hello-node" }] });
        let openapi = json!({ "paths": { "/api/collections/posts": {}, "/health": {} } });
        let calls = calls("http://x", &admin, &functions, &openapi);
        assert!(calls[0].contains("/api/functions/hello-node"), "{calls:?}");
        assert!(calls[1].contains("/api/collections/posts"), "{calls:?}");
        assert!(calls[2].contains("/api/auth/login"), "{calls:?}");
        assert_eq!(calls.len(), 3);
    }
}
