//! Arguments of `alyx inbound`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Inbound {
    #[command(subcommand)]
    pub command: InboundCommand,
}

#[derive(Debug, Subcommand)]
pub enum InboundCommand {
    /// List the paths, how their requests are signed, and what is wrong with them
    List,
}
