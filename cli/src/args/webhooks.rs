//! Arguments of `alyx webhooks`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Webhooks {
    #[command(subcommand)]
    pub command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// List webhooks, those of the schema first
    List,
    /// Show one webhook
    Show {
        /// Its id
        id: String,
    },
    /// Make a webhook at run time
    Create {
        /// Its id
        id: String,
        #[command(flatten)]
        parts: WebhookParts,
        /// Make it stopped
        #[arg(long)]
        disabled: bool,
    },
    /// Change a webhook that was made at run time
    Edit {
        /// Its id
        id: String,
        #[command(flatten)]
        parts: WebhookParts,
    },
    /// Have a webhook that was stopped run again
    Enable {
        /// Its id
        id: String,
    },
    /// Stop a webhook that was made at run time
    Disable {
        /// Its id
        id: String,
    },
    /// Delete a webhook that was made at run time
    Delete {
        /// Its id
        id: String,
    },
    /// List the requests that a webhook made, newest first
    Deliveries {
        /// The webhook
        id: String,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Make deliveries again, each under the id that it has
    Redeliver {
        /// The webhook
        id: String,
        /// Ids of the deliveries
        #[arg(required = true)]
        deliveries: Vec<String>,
    },
}

/// What a webhook is made of, as in the schema.
#[derive(Debug, Args)]
pub struct WebhookParts {
    /// A collection, auth, or event
    #[arg(long, value_name = "WHAT")]
    pub on: Option<String>,
    /// The event, for --on event
    #[arg(long, value_name = "EVENT")]
    pub name: Option<String>,
    /// Which actions, with commas between them [default: all]
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',')]
    pub actions: Vec<String>,
    /// Where requests go
    #[arg(long = "to", value_name = "URL")]
    pub to: Option<String>,
    /// What of it is told, in CEL
    #[arg(long, value_name = "CEL")]
    pub condition: Option<String>,
    /// Names of the secrets that sign, the newest first, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub secret: Vec<String>,
    /// A header that is sent as well, NAME=VALUE; can be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// How failures are tried again: attempts=N,first=TIME,longest=TIME, or some of them
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub retry: Vec<String>,
    /// Longest wait for an answer [default: 15s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}
