//! `alyxd verify` and `alyxd restore`: a backup file, while no daemon uses the database.

use std::path::Path;
use std::process::ExitCode;

use alyx_store::backup::{self, InTheWay};
use jiff::Timestamp;

use crate::backups::verify_file;
use crate::config::Config;
use crate::print;
use crate::problem::error_chain;

/// Examines a backup.
pub fn verify(file: &Path) -> ExitCode {
    match verify_file(file) {
        Ok(copied) => {
            print::words(&format!(
                "{} is sound: {} bytes, changes up to {}.",
                file.display(),
                copied.bytes,
                copied.seq
            ));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, None),
    }
}

/// Makes a backup the database of a project.
pub fn restore(file: &Path, config: &Config, replace: bool) -> ExitCode {
    if let Err(error) = verify_file(file) {
        return failed(&error, None);
    }
    let target = &config.database.path;
    let suffix = format!(".replaced-{}", Timestamp::now().strftime("%Y%m%dt%H%M%Sz"));
    let in_the_way = if replace { InTheWay::PutAside(suffix) } else { InTheWay::Refuse };
    match backup::restore(file, target, &in_the_way) {
        Ok(restored) => {
            print::words(&format!(
                "{} holds the backup now: {} bytes, changes up to {}.",
                target.display(),
                restored.copied.bytes,
                restored.copied.seq
            ));
            if let Some(replaced) = restored.replaced {
                print::words(&format!("What was there is {}.", replaced.display()));
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, hint(&error)),
    }
}

fn hint(error: &alyx_store::Error) -> Option<&'static str> {
    match error {
        alyx_store::Error::InUse { .. } => Some("stop the daemon first"),
        alyx_store::Error::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            Some("with --replace the database that is there is put aside")
        }
        _ => None,
    }
}

fn failed(error: &dyn std::error::Error, hint: Option<&str>) -> ExitCode {
    print::words(&format!("error: {}", error_chain(error)));
    if let Some(hint) = hint {
        print::words(&format!("\nhint: {hint}"));
    }
    ExitCode::FAILURE
}
