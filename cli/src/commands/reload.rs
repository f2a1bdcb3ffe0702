//! `alyx reload`: the daemon reads the project's files again.

use super::migrate::{explain, lines};
use crate::args::Target;
use crate::client::{self, Client};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(target: &Target, output: Output) -> Result<Exit, Failure> {
    let answer = Client::new(target)?.post("/api/admin/reload", Vec::new()).await.map_err(explain)?;
    let answer = client::json(answer).await?;
    if output == Output::Json {
        print::json(&answer)?;
        return Ok(Exit::Ok);
    }
    print::line(match answer["schema_changed"].as_bool() {
        Some(true) => "functions were read again; the schema is another one",
        _ => "functions were read again; the schema is the same",
    })?;
    let waiting = lines(&answer);
    if !waiting.is_empty() {
        print::note("what waits, for it may lose data:");
        for line in waiting {
            print::line(&print::plain(&line))?;
        }
        print::note("hint: `alyx migrate apply --yes` carries it out, after a backup");
    }
    Ok(Exit::Ok)
}
