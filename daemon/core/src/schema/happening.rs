//! The model of what happens and what is told of it: hooks and events.

use std::time::Duration;

use super::{Position, RuleSource};

/// A place of the file that names a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionUse {
    /// The function.
    pub function: String,
    /// Where it is named, such as `hooks[0].function`.
    pub path: String,
    /// Where in the file.
    pub position: Position,
}

/// An event that the project itself names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventConfig {
    /// Who may publish it; without one administrators may.
    pub publish: Option<RuleSource>,
}

/// A function that is told of what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name; that of its function if it has no other. No two hooks have the same.
    pub id: String,
    /// Of what.
    pub on: HookOn,
    /// When, and whether somebody waits for it.
    pub when: HookWhen,
    /// The function.
    pub function: String,
    /// How it is tried again, where it is.
    pub retry: Retry,
}

/// What a hook is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookOn {
    /// Writes of documents.
    Documents {
        /// The collection.
        collection: String,
        /// Which writes.
        actions: Vec<HookAction>,
    },
    /// What happens to accounts.
    Auth(Vec<AuthAction>),
    /// An event of [`Schema::events`].
    Event(String),
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookWhen {
    /// Before it happens: it may change it and refuse it.
    Before,
    /// After it was committed, and whoever asked for it waits.
    AfterSync,
    /// After it was committed, as a job.
    AfterAsync,
}

/// How what failed is tried again: after `first`, then twice as long each time, `longest` at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait after the first.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for Retry {
    /// Eight attempts over about two minutes.
    fn default() -> Self {
        Self { attempts: 8, first: Duration::from_secs(1), longest: Duration::from_secs(3_600) }
    }
}

/// What is done to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookAction {
    /// A document is made.
    Create,
    /// A document is changed.
    Update,
    /// A document is deleted.
    Delete,
}

/// What happens to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthAction {
    /// It is made.
    Register,
    /// Its owner signs in.
    Login,
    /// Its owner signs out.
    Logout,
    /// Its address is verified.
    Verify,
    /// It gets another address.
    EmailChange,
    /// It gets another password.
    PasswordChange,
    /// It is changed in another way.
    Update,
    /// It is deleted.
    Delete,
}

impl HookAction {
    /// `create`, `update` or `delete`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl AuthAction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Register,
        Self::Login,
        Self::Logout,
        Self::Verify,
        Self::EmailChange,
        Self::PasswordChange,
        Self::Update,
        Self::Delete,
    ];

    /// As a hook names it, such as `register`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Verify => "verify",
            Self::EmailChange => "email_change",
            Self::PasswordChange => "password_change",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}
