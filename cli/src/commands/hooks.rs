//! `alyx hooks list|show|create|edit|enable|disable|delete`.

use serde_json::{Map, Value};

use super::made::{Made, pairs};
use crate::args::{HookParts, Hooks, HooksCommand, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::Output;

pub async fn run(args: Hooks, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let hooks = Made { client: &client, path: "/api/hooks", output };
    match args.command {
        HooksCommand::List => {
            hooks.list(&["WHEN", "MODE", "FUNCTION"], &["when", "mode", "function"]).await?;
        }
        HooksCommand::Show { id } => hooks.show(&id).await?,
        HooksCommand::Create { parts, id, disabled } => hooks.create(members(parts)?, id, disabled).await?,
        HooksCommand::Edit { id, parts } => hooks.edit(&id, members(parts)?).await?,
        HooksCommand::Enable { id } => hooks.enable(&id, true).await?,
        HooksCommand::Disable { id } => hooks.enable(&id, false).await?,
        HooksCommand::Delete { id } => hooks.delete(&id).await?,
    }
    Ok(Exit::Ok)
}

/// The members that are given.
fn members(parts: HookParts) -> Result<Map<String, Value>, Failure> {
    let HookParts { on, name, actions, when, mode, function, retry } = parts;
    let texts = [("on", on), ("name", name), ("when", when), ("mode", mode), ("function", function)];
    let given = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?))));
    let mut members: Map<String, Value> = given.collect();
    if !actions.is_empty() {
        members.insert("actions".to_owned(), Value::from(actions));
    }
    members.extend(pairs("retry", retry)?.map(|retry| ("retry".to_owned(), retry)));
    Ok(members)
}
