//! Arguments of `alyx secrets`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Secrets {
    #[command(subcommand)]
    pub command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List the secrets that are set or missing, without their values
    List,
    /// Set a secret: asked for on a terminal, else all of standard input
    Set {
        /// Its name, as functions list it under `secrets`
        name: String,
    },
    /// Delete a secret
    Delete {
        /// Its name
        name: String,
    },
}
