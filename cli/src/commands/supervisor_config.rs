//! `alyx supervisor-config`: the operator's file, completed with what only this host can tell: the id of the
//! daemon's user, and where the runtimes are. The supervisor's unit runs it at every start, so that a newer
//! Python or Node is taken up without an edit, and the supervisor itself looks nothing up.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::User;
use serde_json::{Map, Value};

use crate::args::SupervisorConfig;
use crate::dev::config;
use crate::exit::{Exit, Failure};
use crate::locate;
use crate::print;

pub fn run(args: &SupervisorConfig) -> Result<Exit, Failure> {
    let place = args.policy.display();
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("failed to read {place}: {error}"));
    let text = fs::read(&args.policy).map_err(|error| failed(&error))?;
    let mut members: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    if let Some(name) = members.remove("daemon_user") {
        members.insert("daemon_uid".to_owned(), uid_of(&name).map_err(|why| failed(&why))?.into());
    }
    if !members.contains_key("runtimes") {
        let (runtimes, missing) = config::runtimes(&locate::runtimes_dir()?)?;
        for missing in missing {
            print::note(&format!("{}: {} (fix: {})", missing.name, missing.why, missing.hint));
        }
        members
            .insert("runtimes".to_owned(), serde_json::to_value(runtimes).map_err(|error| failed(&error))?);
    }
    match &args.output {
        None => print::json(&members)?,
        Some(file) => {
            let text = serde_json::to_vec_pretty(&members).map_err(|error| failed(&error))?;
            write(file, &text)
                .map_err(|error| Failure::new(format!("failed to write {}: {error}", file.display())))?;
        }
    }
    Ok(Exit::Ok)
}

fn uid_of(name: &Value) -> Result<u32, String> {
    let name = name.as_str().ok_or("daemon_user: must be a name")?;
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("daemon_user: there is no user {name:?}")),
        Err(error) => Err(format!("daemon_user: {error}")),
    }
}

fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(text)
}
