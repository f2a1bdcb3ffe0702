//! Arguments of `alyx api-keys`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

#[derive(Debug, Args)]
pub struct ApiKeys {
    #[command(subcommand)]
    pub command: ApiKeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum ApiKeysCommand {
    /// List the keys of programs, without their secrets
    List,
    /// Make a key and print it; nothing shows it again
    Create {
        /// What people call it
        name: String,
        /// What it may do, such as collections:posts:read; repeat for more
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// When it ends: a time, or a span from now such as 30d
        #[arg(long, value_name = "WHEN", value_parser = end)]
        expires: Option<Timestamp>,
    },
    /// Give a key another secret and print it
    Rotate {
        /// Id of the key
        id: String,
        /// How many seconds the secret before stays good
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        overlap: u64,
    },
    /// End a key, at once
    Revoke {
        /// Id of the key
        id: String,
    },
}

fn end(text: &str) -> Result<Timestamp, String> {
    let span = || -> Option<Timestamp> {
        let (number, seconds) = match text.split_at_checked(text.len().checked_sub(1)?)? {
            (number, "d") => (number, 86_400),
            (number, "h") => (number, 3_600),
            _ => return None,
        };
        let seconds = number.parse::<i64>().ok().filter(|number| *number > 0)?.checked_mul(seconds)?;
        Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    };
    let wrong = || "write a time such as 2030-01-31T00:00:00Z, or a span such as 30d or 12h".to_owned();
    text.parse().ok().or_else(span).ok_or_else(wrong)
}
