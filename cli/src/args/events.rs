//! Arguments of `alyx events`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Events {
    #[command(subcommand)]
    pub command: EventsCommand,
}

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List the latest events, newest first
    List {
        /// Only those of this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only those before this one, by its id
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Publish an event
    Publish {
        /// Its name in the schema
        name: String,
        /// What it tells, as JSON
        #[arg(default_value = "null", value_name = "JSON")]
        payload: String,
    },
}
