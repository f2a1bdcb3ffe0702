//! `alyx version`.

use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub fn run(output: Output) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Output::Json => print::json(&json!({ "version": version }))?,
        Output::Text => print::line(&format!("alyx {version}"))?,
    }
    Ok(Exit::Ok)
}
