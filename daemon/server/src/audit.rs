//! Who did what: events for the audit log. One action is one [`Action`]; the list is closed and
//! `docs/auth.md` has the same one.
//!
//! Put an event into the transaction of the write it tells of, with [`with`]; use [`record`] for what
//! was refused or led to no write. An event holds no password, token, code or key, nor a part of one.

use alyx_core::identity::{Identity, RequestFacts};
use alyx_store::{AuditOutcome, AuditRow, Store};
use serde_json::{Map, Value};

use crate::auth::Client;
use crate::problem::error_chain;

macro_rules! actions {
    ($($(#[$about:meta])* $variant:ident $text:literal,)*) => {
        /// What is done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($(#[$about])* $variant,)* }

        impl Action {
            /// As it is stored.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

actions! {
    /// An account was made by its owner.
    Register "account.register",
    /// An account without address was made.
    AnonymousCreate "account.anonymous",
    /// An anonymous account got address and password.
    Upgrade "account.upgrade",
    /// The first administrator was made with the token that was printed.
    Setup "account.setup",
    /// Somebody changed their profile.
    AccountUpdate "account.update",
    /// Somebody deleted their account.
    AccountDelete "account.delete",
    /// Somebody did not confirm that it is them.
    Confirm "account.confirm",
    /// Somebody changed their password.
    PasswordChange "password.change",
    /// Somebody signed in, or failed to.
    SessionBegin "session.begin",
    /// A refresh token was exchanged. Its second use is recorded as `session.reuse`.
    SessionRefresh "session.refresh",
    /// A session ended before its time.
    SessionEnd "session.end",
    /// Somebody ended all their sessions.
    SessionEndAll "session.end_all",
    /// The second factor was asked for after the first.
    SecondFactorAsk "session.second_factor",
    /// A link that verifies an address was asked for.
    VerifyRequest "verify.request",
    /// An address was verified.
    Verify "verify.confirm",
    /// A link to set a new password was asked for.
    PasswordForgot "password.forgot",
    /// A password was set by a link.
    PasswordReset "password.reset",
    /// Another address was asked for.
    EmailChange "email.change",
    /// Another address was confirmed.
    EmailConfirm "email.confirm",
    /// A code to sign in was asked for.
    CodeRequest "otp.request",
    /// A second factor was begun to be set up.
    TotpEnroll "totp.enroll",
    /// A second factor was set up.
    TotpConfirm "totp.confirm",
    /// A second factor was removed.
    TotpDisable "totp.disable",
    /// Recovery codes were made anew.
    RecoveryCodes "recovery_codes.renew",
    /// A passkey was begun to be registered.
    PasskeyBegin "passkey.begin",
    /// A passkey was registered, or refused.
    PasskeyRegister "passkey.register",
    /// A passkey was asked for.
    PasskeyAsk "passkey.ask",
    /// A passkey got another name.
    PasskeyRename "passkey.rename",
    /// A passkey was deleted.
    PasskeyDelete "passkey.delete",
    /// The counter of a passkey went back.
    PasskeyCounter "passkey.counter",
    /// A mail that was given up is tried again.
    MailRetry "mail.retry",
    /// Too many wrong guesses at an account: from one place, or from all.
    Lockout "lockout.begin",
    /// An administrator forgot wrong guesses.
    LockoutClear "lockout.clear",
    /// An account elsewhere was linked.
    IdentityLink "identity.link",
    /// It was taken away again.
    IdentityUnlink "identity.unlink",
    /// An administrator made an account.
    UserCreate "user.create",
    /// Somebody changed an account, as an administrator or as far as the rules of `users` go.
    UserUpdate "user.update",
    /// Somebody deleted an account, as an administrator or as far as the rules go.
    UserDelete "user.delete",
    /// An administrator set a password.
    UserPassword "user.password",
    /// An administrator removed the second factors of an account.
    UserRemoveFactors "user.remove_factors",
    /// An administrator ended the sessions of an account.
    UserEndSessions "user.end_sessions",
    /// A new key signs tokens.
    KeyRotate "key.rotate",
    /// The schema was changed, by an administrator or by the daemon, which does what is safe by itself.
    SchemaApply "schema.apply",
    /// The last change of the schema was taken back.
    SchemaRollBack "schema.roll_back",
    /// An administrator had the project's files read again.
    ProjectReload "project.reload",
    /// An API key was made.
    ApiKeyCreate "api_key.create",
    /// An API key got another secret.
    ApiKeyRotate "api_key.rotate",
    /// An API key asked for administration that its scopes do not open.
    ApiKeyRefuse "api_key.refuse",
    /// An API key was ended.
    ApiKeyRevoke "api_key.revoke",
    /// A hook was made at run time.
    HookCreate "hook.create",
    /// A hook was changed, stopped or started.
    HookUpdate "hook.update",
    /// A hook was deleted.
    HookDelete "hook.delete",
    /// A webhook was made at run time.
    WebhookCreate "webhook.create",
    /// A webhook was changed, stopped or started.
    WebhookUpdate "webhook.update",
    /// A webhook was deleted.
    WebhookDelete "webhook.delete",
    /// A delivery was made again.
    WebhookRedeliver "webhook.redeliver",
    /// A job that was settled is carried out again.
    JobReplay "job.replay",
    /// Settled jobs were removed.
    JobPurge "job.purge",
    /// A secret of functions was set.
    SecretSet "secret.set",
    /// A secret of functions was deleted.
    SecretDelete "secret.delete",
    /// An administrator made a schedule.
    ScheduleCreate "schedule.create",
    /// An administrator stopped a schedule for now.
    SchedulePause "schedule.pause",
    /// An administrator let a schedule go on.
    ScheduleResume "schedule.resume",
    /// An administrator had a schedule run.
    ScheduleTrigger "schedule.trigger",
    /// An administrator deleted a schedule.
    ScheduleDelete "schedule.delete",
    /// A backup was made.
    BackupCreate "backup.create",
    /// Old backups were removed.
    BackupPrune "backup.prune",
}

/// Something that was done or tried.
#[derive(Clone, Debug)]
pub struct Event {
    row: AuditRow,
    details: Map<String, Value>,
}

impl Event {
    /// `who` did this, from where `client` is. It went well unless something else is said.
    pub fn new(action: Action, who: &Identity, client: &Client) -> Self {
        let address = client.address.map(|address| address.to_string()).unwrap_or_default();
        Self::from_where(action, who, address, client.request_id.clone())
    }

    /// The same, from what rules know of the request; also what a function does for its caller.
    pub fn of_request(action: Action, who: &Identity, facts: &RequestFacts) -> Self {
        Self::from_where(action, who, facts.ip.clone(), facts.request_id.clone())
    }

    fn from_where(action: Action, who: &Identity, address: String, request_id: String) -> Self {
        let row = AuditRow {
            identity: who.label(),
            address,
            action: action.as_str().to_owned(),
            target: String::new(),
            outcome: AuditOutcome::Ok,
            request_id,
            details_json: None,
        };
        Self { row, details: Map::new() }
    }

    /// The daemon did this by itself.
    pub fn of_daemon(action: Action) -> Self {
        let mut event = Self::new(action, &Identity::Anonymous, &Client::default());
        event.row.identity = "daemon".to_owned();
        event
    }

    /// To what: a kind and an id, such as `user:01J…`.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.row.target = target.into();
        self
    }

    /// It was refused.
    #[must_use]
    pub fn denied(mut self) -> Self {
        self.row.outcome = AuditOutcome::Denied;
        self
    }

    /// It was allowed and went wrong.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.row.outcome = AuditOutcome::Failed;
        self
    }

    /// One detail. Never a secret.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The row of it.
    pub fn into_row(mut self) -> AuditRow {
        if !self.details.is_empty() {
            self.row.details_json = Some(Value::Object(self.details).to_string());
        }
        self.row
    }
}

/// The store for one write, into whose transaction the event goes.
pub fn with(store: &Store, event: Event) -> Store {
    store.audited(event.into_row())
}

/// Records an event of its own. One that cannot be recorded is logged: what was refused stays refused.
pub async fn record(store: &Store, event: Event) {
    let action = event.row.action.clone();
    if let Err(error) = store.append_audit(event.into_row()).await {
        tracing::error!(action, "{action} was not recorded: {}", error_chain(&error));
    }
}
