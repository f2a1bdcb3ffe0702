//! What `alyx hooks` and `alyx webhooks` have in common: both are declared by the schema and made at run
//! time, and read alike.

use serde_json::{Map, Value, json};

use super::{cell, rows};
use crate::client::{self, Client, escape};
use crate::exit::Failure;
use crate::print::{self, Output};

/// Those of one kind, on a server.
pub struct Made<'a> {
    pub client: &'a Client,
    /// Where they are, such as `/api/hooks`.
    pub path: &'static str,
    pub output: Output,
}

impl Made<'_> {
    /// Where one of them is.
    pub fn one(&self, id: &str) -> String {
        format!("{}/{}", self.path, escape(id))
    }

    /// Lists them; `columns` are of what they are made of, after their id and what they are for.
    pub async fn list(&self, headings: &[&str], columns: &[&str]) -> Result<(), Failure> {
        let answer = self.client.get(self.path).await?;
        if self.output == Output::Json {
            return print::json(&answer);
        }
        let line = |row: &Value| {
            let definition = &row["definition"];
            let own = columns.iter().map(|column| cell(definition, column));
            let ends = [cell(row, "source"), state(row)];
            [cell(row, "id"), on(definition)].into_iter().chain(own).chain(ends).collect()
        };
        let table: Vec<Vec<String>> = rows(&answer).iter().map(line).collect();
        if table.is_empty() {
            print::note(&format!("no {}", self.path.trim_start_matches("/api/")));
            return Ok(());
        }
        print::table(&[&["ID", "ON"], headings, &["SOURCE", "STATE"]].concat(), &table)
    }

    pub async fn show(&self, id: &str) -> Result<(), Failure> {
        print::json(&self.client.get(&self.one(id)).await?)
    }

    /// Makes one of these members.
    pub async fn create(
        &self,
        mut members: Map<String, Value>,
        id: Option<String>,
        disabled: bool,
    ) -> Result<(), Failure> {
        members.extend(id.map(|id| ("id".to_owned(), Value::from(id))));
        if disabled {
            members.insert("enabled".to_owned(), Value::from(false));
        }
        let made = self.client.post(self.path, Value::from(members).to_string().into_bytes()).await?;
        self.done(&client::json(made).await?, "made")
    }

    /// Gives one these members.
    pub async fn edit(&self, id: &str, members: Map<String, Value>) -> Result<(), Failure> {
        self.done(&self.client.patch(&self.one(id), &Value::from(members)).await?, "changed")
    }

    /// Has one run, or not.
    pub async fn enable(&self, id: &str, enabled: bool) -> Result<(), Failure> {
        let one = self.client.patch(&self.one(id), &json!({ "enabled": enabled })).await?;
        self.done(&one, if enabled { "enabled" } else { "disabled" })
    }

    pub async fn delete(&self, id: &str) -> Result<(), Failure> {
        self.client.delete(&self.one(id)).await?;
        print::note(&format!("deleted {}", print::plain(id)));
        Ok(())
    }

    fn done(&self, one: &Value, what: &str) -> Result<(), Failure> {
        if self.output == Output::Json {
            return print::json(one);
        }
        print::note(&format!("{what} {}", print::plain(&cell(one, "id"))));
        Ok(())
    }
}

/// The member `key` of what is given as NAME=VALUE; none if nothing is.
pub fn pairs(key: &str, pairs: Vec<String>) -> Result<Option<Value>, Failure> {
    let mut given = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("{key}: write NAME=VALUE, not {pair}")));
        };
        // Of these, only the attempts of a retry are a number.
        let number = value.parse::<u32>().ok().filter(|_| key == "retry").map(Value::from);
        given.insert(name.to_owned(), number.unwrap_or_else(|| Value::from(value)));
    }
    Ok((!given.is_empty()).then(|| Value::from(given)))
}

/// Of what it tells, or is told.
fn on(definition: &Value) -> String {
    match cell(definition, "name") {
        name if name.is_empty() => cell(definition, "on"),
        name => format!("{} {name}", cell(definition, "on")),
    }
}

fn state(row: &Value) -> String {
    match (&row["problem"], &row["enabled"]) {
        (Value::String(problem), _) => problem.clone(),
        (_, Value::Bool(false)) => "disabled".to_owned(),
        _ => "enabled".to_owned(),
    }
}
