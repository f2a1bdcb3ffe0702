//! `alyx users import`: accounts from another system, one JSON object a line. Each line is a request of
//! its own: those that are wrong are named, and the others are made.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print;

pub async fn run(client: &Client, file: &Path) -> Result<Exit, Failure> {
    let (mut made, mut wrong) = (0_u64, 0_u64);
    for (number, line) in (1_u64..).zip(lines(file)?) {
        let line =
            line.map_err(|error| Failure::new(format!("failed to read {}: {error}", file.display())))?;
        if line.trim().is_empty() {
            continue;
        }
        match one(client, &line).await {
            Ok(()) => made += 1,
            // Whatever hits one line hits all of them if the daemon cannot be reached.
            Err(failure) if failure.problem.is_none() && made + wrong == 0 => return Err(failure),
            Err(failure) => {
                wrong += 1;
                print::note(&format!("line {number}: {}", print::plain(&failure.message)));
                for line in &failure.lines {
                    print::note(&format!("  {}", print::plain(line)));
                }
            }
        }
    }
    print::note(&format!("made {made} users"));
    if wrong == 0 {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(format!("{wrong} lines were not accepted; the users of the others are there")))
}

async fn one(client: &Client, line: &str) -> Result<(), Failure> {
    if !serde_json::from_str(line).is_ok_and(|value: Value| value.is_object()) {
        return Err(Failure::new("not a JSON object"));
    }
    client.post("/api/admin/users", line.as_bytes().to_vec()).await.map(drop)
}

fn lines(file: &Path) -> Result<Box<dyn Iterator<Item = io::Result<String>>>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lines()));
    }
    let opened = File::open(file)
        .map_err(|error| Failure::new(format!("failed to open {}: {error}", file.display())))?;
    Ok(Box::new(BufReader::new(opened).lines()))
}
