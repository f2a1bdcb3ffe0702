//! Every command and flag, once. Help, usage errors and completions follow from these types.

mod api_keys;
mod backup;
mod events;
mod hooks;
mod inbound;
mod jobs;
mod schedules;
mod secrets;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp};

pub use api_keys::{ApiKeys, ApiKeysCommand};
pub use backup::{Backup, BackupCommand};
pub use events::{Events, EventsCommand};
pub use hooks::{HookParts, Hooks, HooksCommand};
pub use inbound::{Inbound, InboundCommand};
pub use jobs::{Jobs, JobsCommand};
pub use schedules::{NewSchedule, Schedules, SchedulesCommand};
pub use secrets::{Secrets, SecretsCommand};
pub use webhooks::{WebhookParts, Webhooks, WebhooksCommand};

/// A backend on your own Linux host: documents, accounts and sandboxed functions.
#[derive(Debug, Parser)]
#[command(name = "alyx", version, disable_help_subcommand = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub target: Target,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Which daemon to speak to.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// Admin socket [default: the project's, else the host's]
    #[arg(long, global = true, value_name = "PATH", env = "ALYX_SOCKET", hide_env_values = true)]
    pub socket: Option<PathBuf>,
    /// Speak HTTP to this URL instead, with the token in ALYX_TOKEN
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ALYX_URL",
        hide_env_values = true,
        conflicts_with = "socket"
    )]
    pub url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a new project
    Init(Init),
    /// Run a project here, reloading what you edit
    Dev(Dev),
    /// Say what this host offers and what it lacks
    Doctor,
    /// Say how the daemon is doing
    Status,
    /// Show what the daemon does just now, until Ctrl-C
    Top(Top),
    /// Have the daemon read the project's files again
    Reload,
    /// List and call functions, read their logs
    Functions(Functions),
    /// List, show and follow executions
    Executions(Executions),
    /// Print what a function logged, and what it logs from now on
    Logs(Logs),
    /// Create, change, disable, import and list users
    Users(Users),
    /// List and rotate the keys that sign access tokens
    Keys(Keys),
    /// Test, explain and list access rules
    Rules(Rules),
    /// Make, list, check and remove backups
    Backup(Backup),
    /// List mails, try again those that were given up
    Mail(Mail),
    /// Check a schema file, describe its format
    Schema(Schema),
    /// Make, list, rotate and end the keys of programs
    ApiKeys(ApiKeys),
    /// List, make, change, stop and delete hooks
    Hooks(Hooks),
    /// List, make, change, stop and delete webhooks; what they sent
    Webhooks(Webhooks),
    /// List the paths that signed requests of others may go to
    Inbound(Inbound),
    /// List and publish events of the project
    Events(Events),
    /// List, show, replay and remove jobs: hooks and whatever else runs by itself
    Jobs(Jobs),
    /// List, make, stop and run functions that run by the clock
    Schedules(Schedules),
    /// Set, list and delete what functions are given as secrets
    Secrets(Secrets),
    /// Show and forget who was guessed at too often
    Lockouts(Lockouts),
    /// List and export who did what
    Audit(Audit),
    /// Plan, apply and take back changes of the schema
    Migrate(Migrate),
    /// Complete the supervisor's configuration with what this host has; its unit runs this
    #[command(hide = true)]
    SupervisorConfig(SupervisorConfig),
    /// Print what a shell needs to complete command lines
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the pages of the manual
    #[command(hide = true)]
    Man {
        /// Folder to write them to
        dir: PathBuf,
    },
    /// Print the version, as --version does
    #[command(hide = true)]
    Version,
}

#[derive(Debug, Args)]
pub struct Init {
    /// Folder to write to; it may exist but must be empty
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// What to start from
    #[arg(long, value_enum, default_value_t = Template::Basic)]
    pub template: Template,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Notes with an owner, and one function in each runtime
    Basic,
    /// Posts and comments with publish rules, and functions that use them
    Blog,
}

#[derive(Debug, Args)]
pub struct SupervisorConfig {
    /// What the operator decided, with `daemon_user` for `daemon_uid` and without `runtimes`
    #[arg(long, value_name = "FILE", default_value = "/etc/alyx/supervisor.json")]
    pub policy: PathBuf,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Dev {
    /// Folder of the project
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090", value_parser = address)]
    pub listen: SocketAddr,
    /// Folder of the data [default: DIR/.alyx]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Do not reload edited files
    #[arg(long)]
    pub no_watch: bool,
}

#[derive(Debug, Args)]
pub struct Rules {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List the rules in force, and what is missing
    Check,
    /// Run a file of expectations against the rules in force
    Test {
        /// The file
        #[arg(default_value = "rules.test.yaml")]
        file: PathBuf,
    },
    /// Say what a rule comes to for somebody; for list the SQL and its plan
    Explain {
        /// Name of the collection
        collection: String,
        /// create, get, list, subscribe, update or delete
        operation: String,
        /// An account by id or address, or anonymous
        #[arg(long = "as", value_name = "USER|anonymous")]
        who: String,
    },
}

#[derive(Debug, Args)]
pub struct Functions {
    #[command(subcommand)]
    pub command: FunctionsCommand,
}

#[derive(Debug, Subcommand)]
pub enum FunctionsCommand {
    /// List the functions of the project
    List,
    /// Call a function and print its answer
    Invoke {
        /// Name of the function
        name: String,
        /// Input: JSON, @FILE, or - for standard input
        #[arg(short, long, value_name = "JSON|@FILE|-", default_value = "{}")]
        data: String,
    },
    /// Print what a function logged
    Logs {
        /// Name of the function
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub every: u32,
    /// End after this many
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Name of the function
    #[arg(long, value_name = "NAME")]
    pub function: String,
    /// Go on with lines as they come
    #[arg(short, long)]
    pub follow: bool,
    /// At most this many of those that are there
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub lines: u32,
}

#[derive(Debug, Args)]
pub struct Executions {
    #[command(subcommand)]
    pub command: ExecutionsCommand,
}

#[derive(Debug, Subcommand)]
pub enum ExecutionsCommand {
    /// List the latest executions, newest first
    List(ExecutionFilter),
    /// Show one execution with its logs
    Show {
        /// Id of the execution, as in the X-Alyx-Execution header
        id: String,
    },
    /// Print executions as they end
    Tail(WhichExecutions),
}

#[derive(Debug, Args)]
pub struct ExecutionFilter {
    #[command(flatten)]
    pub which: WhichExecutions,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct WhichExecutions {
    /// Only of this function
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// Only with this outcome: ok, error, timeout, oom, killed, crashed, cancelled or refused
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
    /// Only with this cause: http, hook, inbound or schedule
    #[arg(long, value_name = "TRIGGER")]
    pub trigger: Option<String>,
    /// Only of the request or job with this id
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
}

#[derive(Debug, Args)]
pub struct Users {
    #[command(subcommand)]
    pub command: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Create a user; asks for a password, or makes one where nobody can be asked
    Create {
        /// E-mail address to sign in with
        email: String,
        /// Role of the user; `admin` may do everything
        #[arg(long, default_value = "user")]
        role: String,
        /// Read the password from the first line of standard input
        #[arg(long, conflicts_with = "generate_password")]
        password_stdin: bool,
        /// Make a password and print it
        #[arg(long)]
        generate_password: bool,
    },
    /// List users
    List {
        /// Only with this in their address, or with this id
        #[arg(long, value_name = "TEXT", default_value = "")]
        search: String,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Show a user
    Show {
        /// Id or e-mail address
        user: String,
    },
    /// Change address, role or verification
    Update {
        /// Id or e-mail address
        user: String,
        /// New e-mail address
        #[arg(long)]
        email: Option<String>,
        /// New role
        #[arg(long)]
        role: Option<String>,
        /// Whether the address counts as verified
        #[arg(long, value_name = "true|false")]
        verified: Option<bool>,
    },
    /// End the sessions of a user and refuse new ones
    Disable {
        /// Id or e-mail address
        user: String,
    },
    /// Let a disabled user sign in again
    Enable {
        /// Id or e-mail address
        user: String,
    },
    /// Set a password and end the user's sessions
    SetPassword {
        /// Id or e-mail address
        user: String,
        /// Read the password from the first line of standard input
        #[arg(long, conflicts_with = "generate_password")]
        password_stdin: bool,
        /// Make a password and print it
        #[arg(long)]
        generate_password: bool,
    },
    /// List the sessions of a user
    Sessions {
        /// Id or e-mail address
        user: String,
    },
    /// End all sessions of a user
    Revoke {
        /// Id or e-mail address
        user: String,
    },
    /// Remove the second factors of a user who lost them
    RemoveMfa {
        /// Id or e-mail address
        user: String,
    },
    /// Delete a user
    Delete {
        /// Id or e-mail address
        user: String,
    },
    /// Create users from JSON lines, such as {"email": "…", "password_hash": "$2b$…"}
    Import {
        /// File to read, or - for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys, newest first
    List,
    /// Sign with a new key; tokens of the keys before it stay valid until they expire
    Rotate {
        /// Refuse the tokens of the keys before it at once; clients refresh
        #[arg(long)]
        drop_previous: bool,
    },
}

#[derive(Debug, Args)]
pub struct Lockouts {
    #[command(subcommand)]
    pub command: LockoutsCommand,
}

#[derive(Debug, Subcommand)]
pub enum LockoutsCommand {
    /// List accounts that somebody has to wait for, or to solve a challenge
    List,
    /// Forget the wrong guesses at an account
    Clear {
        /// The account, as clients name it
        #[arg(required_unless_present = "all")]
        account: Option<String>,
        /// Those at every account
        #[arg(long, conflicts_with = "account")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the newest rows of the audit log
    List {
        #[command(flatten)]
        filter: AuditFilter,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Print every row, oldest first
    Export {
        #[command(flatten)]
        filter: AuditFilter,
        /// How to write them
        #[arg(long, value_enum, default_value_t = AuditFormat::Jsonl)]
        format: AuditFormat,
    },
}

#[derive(Debug, Args)]
pub struct AuditFilter {
    /// Only of this identity, such as user:01J9Z3M8Q4, or of the account with this e-mail address
    #[arg(long)]
    pub identity: Option<String>,
    /// Only this action, or a family such as session.*
    #[arg(long)]
    pub action: Option<String>,
    /// Only what was done to this, such as user:01J9Z3M8Q4, or to the account with this e-mail address
    #[arg(long)]
    pub target: Option<String>,
    /// Only what ended so: ok, denied or failed
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only from this address
    #[arg(long)]
    pub address: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Not before this time, or this long ago, such as 24h
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Before this time, or this long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a line of headings
    Csv,
}

#[derive(Debug, Args)]
pub struct Mail {
    #[command(subcommand)]
    pub command: MailCommand,
}

#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// List mails, newest first, and why they were not sent
    List {
        /// Only in this state: waiting, sent or dead
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Try a mail again that was given up
    Retry {
        /// Id of the mail, as in the list
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    pub command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Check a schema file; every mistake is printed with its place
    Check {
        /// The file
        #[arg(default_value = "schema.yaml")]
        file: PathBuf,
    },
    /// Print the JSON Schema of the format, for editors
    JsonSchema,
}

#[derive(Debug, Args)]
pub struct Migrate {
    #[command(subcommand)]
    pub command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Print what applying the project's files would do
    Plan,
    /// Apply the project's files
    Apply {
        /// Also what may lose data; a copy of the database is made before
        #[arg(long)]
        yes: bool,
    },
    /// Take the last change of the schema back
    Rollback {
        /// Also if data is lost by that; a copy of the database is made before
        #[arg(long)]
        yes: bool,
    },
    /// Write a new migration file with the next number
    Create {
        /// What it does, in a word or two: a-z, 0-9, _ and -
        name: String,
        /// Folder of the project
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Print what was applied, what waits, and tables that others changed
    Status,
}

/// The address of `--listen`. Names are not looked up: they may stand for several addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address with its port, such as 127.0.0.1:8090".to_owned())
}

/// A time as RFC 3339, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let ago = ago.ok().filter(|ago| !ago.is_negative());
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok())
        .ok_or_else(|| "write a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let mut command = Cli::command();
        // One line a command; there are more than fit 24 lines with the options.
        assert!(command.render_help().to_string().lines().count() <= 40);
        for sub in command.get_subcommands_mut() {
            assert!(sub.render_help().to_string().lines().count() <= 24, "{}", sub.get_name());
        }
    }
}
