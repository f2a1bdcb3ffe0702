//! `alyx status`: how the daemon and its parts are doing.

use serde_json::Value;

use crate::args::Target;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(target: &Target, output: Output) -> Result<Exit, Failure> {
    let status = Client::new(target)?.get("/api/admin/status").await?;
    match output {
        Output::Json => print::json(&status)?,
        Output::Text => {
            let mut lines = Vec::new();
            flatten(&status, String::new(), &mut lines);
            lines.retain(|(name, _)| !is_setting(name));
            let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            for (name, value) in lines {
                print::line(&format!("{name:<width$}  {}", print::plain(&value).replace('\n', " ")))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// What a person looking for trouble does not need: what the schema says, and codes. `--json` has it.
fn is_setting(name: &str) -> bool {
    let is_told = name.ends_with(".detail") || name.ends_with(".hint");
    name.starts_with("functions.functions.")
        && (name.contains(".limits.") || name.ends_with(".name") || (name.contains(".problem.") && !is_told))
}

/// Nested members as `outer.inner`, one line each, in the answer's order.
fn flatten(value: &Value, name: String, lines: &mut Vec<(String, String)>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                flatten(member, inner(key), lines);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (position, item) in items.iter().enumerate() {
                let key =
                    item.get("name").and_then(Value::as_str).map_or(position.to_string(), str::to_owned);
                flatten(item, inner(&key), lines);
            }
        }
        Value::String(text) => lines.push((name, text.clone())),
        other => lines.push((name, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{flatten, is_setting};

    #[test]
    fn settings_and_codes_are_left_to_json() {
        let check = |name: &str, expected: bool| assert_eq!(is_setting(name), expected, "{name}");
        check("functions.functions.hello.limits.files", true);
        check("functions.functions.hello.name", true);
        check("functions.functions.hello.problem.code", true);
        check("functions.functions.hello.problem.detail", false);
        check("functions.functions.hello.workers", false);
        check("functions.supervisor_connected", false);
        check("version", false);
    }

    #[test]
    fn nested_members_become_lines() {
        let mut lines = Vec::new();
        flatten(
            &json!({"a": 1, "b": {"c": "x"}, "d": [{"name": "n", "e": true}]}),
            String::new(),
            &mut lines,
        );
        let lines: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, ["a=1", "b.c=x", "d.n.e=true", "d.n.name=n"]);
    }
}
