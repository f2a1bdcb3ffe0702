//! `alyx logs`.

use serde_json::Value;

use super::functions::log_line;
use super::{cell, each_line, rows};
use crate::args::{Logs, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Logs, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let path = format!("/api/admin/functions/{}/logs", escape(&args.function));
    let mut query = vec![("limit", args.lines.to_string())];
    if args.follow {
        query.push(("follow", "true".to_owned()));
        each_line(&client, &path, &query, |line| show(line, output)).await?;
        return Ok(Exit::Ok);
    }
    let answer = client.get_with(&path, &query).await?;
    if output == Output::Json {
        print::json(&answer)?;
        return Ok(Exit::Ok);
    }
    for row in rows(&answer) {
        print::line(&log_line(row))?;
    }
    if rows(&answer).is_empty() {
        print::note("no log lines");
    }
    Ok(Exit::Ok)
}

fn show(line: &[u8], output: Output) -> Result<(), Failure> {
    let Ok(row) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
    match output {
        Output::Json => print::raw(line),
        Output::Text if row.get("missed").is_some() => {
            print::note(&format!("{} lines were missed: they came too fast", cell(&row, "missed")));
            Ok(())
        }
        Output::Text => print::line(&log_line(&row)),
    }
}
