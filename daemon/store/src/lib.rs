//! SQLite behind one writer, many readers and a change feed. All SQL of the daemon that is more than a
//! building block lives here.
//!
//! | module | job |
//! |---|---|
//! | `handle` | [`Store`]: opening, closing, the way in |
//! | `writer` | the one thread that writes: group commit, a savepoint per command |
//! | `readers` | threads that read, each with its own connection and a deadline |
//! | `documents` | create, get, update, delete, list |
//! | `transaction` | several reads and writes as one |
//! | `answers` | answers to requests that may come twice |
//! | `tables`, `migrate` | collections as tables, schema changes |
//! | [`backup`] | copies of the database, and what they are worth |
//! | `changes` | the change feed's rows |
//! | `accounts`, `sessions`, `keys` | who may sign in, who is signed in, what signs tokens |
//! | `challenges`, `factors` | links and codes that are good once, second factors |
//! | `jobs` | work that a committed transaction owes |
//! | `events`, `hooks` | what the project names and publishes; hooks made at run time |
//! | `deliveries`, `inbound` | requests that webhooks made; what came to inbound ones |
//! | `api_keys` | keys of programs |
//! | `mail` | what mails say |
//! | `secrets` | what functions are given, sealed |
//! | `lockouts` | who was guessed at too often, and known devices |
//! | `schedules` | when functions run by the clock |
//! | `executions` | what functions did |
//! | `identities` | who accounts are elsewhere |
//! | `audit` | who did what |
//! | `migrations` | the store's own tables |
//!
//! Two promises hold everywhere: a write that was answered is on the disk, with its change rows, and
//! a write that failed left nothing. The store knows no rules and no clients; callers decide who may.
#![warn(missing_docs)]

mod accounts;
mod answers;
mod api_keys;
mod audit;
pub mod backup;
mod challenges;
mod changes;
mod connection;
mod deliveries;
mod documents;
mod error;
mod events;
mod executions;
mod factors;
mod handle;
mod hooks;
mod identities;
mod inbound;
mod jobs;
mod keys;
pub mod limits;
mod lockouts;
mod lookups;
mod mail;
mod migrate;
mod migrations;
mod options;
mod passkeys;
mod queue;
mod readers;
mod schedules;
mod secrets;
mod sessions;
mod tables;
mod time;
mod transaction;
mod values;
mod writer;

pub use accounts::{Account, NewAccount, PasswordCounts};
pub use answers::StoredAnswer;
pub use api_keys::ApiKey;
pub use audit::{AuditFilter, AuditOutcome, AuditPage, AuditRecord, AuditRow};
pub use challenges::{Challenge, NewChallenge, Purpose, Redeemed};
pub use changes::{ChangePage, ChangeRow, Consumer, Position, Since};
pub use deliveries::DeliveryRow;
pub use documents::{AggregatePage, ListPage, Plan, Watched};
pub use error::Error;
pub use events::EventRow;
pub use executions::{Execution, ExecutionFilter, ExecutionRow, LogRow};
pub use factors::{Confirm, Factors, TotpAttempt};
pub use handle::{Health, Pending, Store, StoreHealth};
pub use hooks::{HookRow, Made};
pub use identities::{LinkedIdentity, Subject};
pub use inbound::{Receipt, Received};
pub use jobs::{Action, DueJob, JobFilter, JobOutcome, JobRow, NewJob, Purge, Topic, Trigger, Triggers};
pub use keys::SigningKey;
pub use lockouts::{LockoutRow, NewDevice};
pub use mail::{MAIL_JOB, MailContent, MailRow, NewMail};
pub use migrate::{
    Application, Consent, Migration, MigrationRecord, MigrationState, Planned, Report, Restore,
};
pub use options::{
    Committed, OnAccounts, OnChange, OnCommit, OnJobs, OpenCheck, Options, SecureDelete, Shipping,
    Synchronous, Touched,
};
pub use passkeys::{AddedPasskey, NewPasskey, Passkey};
pub use schedules::{Declared, Fired, Firing, NewSchedule, ScheduleRow};
pub use secrets::SealedSecret;
pub use sessions::{Lifetimes, NewSession, Rotation, RunningSession};
pub use transaction::{Abort, Interactive, Transaction};
pub use writer::ship::{Kept, Mark, ShipState};
