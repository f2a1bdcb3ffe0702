//! Who is acting. The daemon derives it once per request; rules, change rows, executions and logs
//! use that one value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use crate::scope::{Scope, Touch};

/// Who is acting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody signed in.
    Anonymous,
    /// A signed-in user whose role is not `admin`.
    User(UserIdentity),
    /// A program that holds an API key.
    ApiKey(ApiKeyIdentity),
    /// Somebody to whom no rule applies.
    Admin(AdminIdentity),
    /// A function acting for the identity that invoked it, with exactly the rights of that one.
    Function {
        /// Name of the function.
        name: String,
        /// Who invoked it; never itself a `Function`.
        on_behalf_of: Box<Identity>,
    },
}

/// A signed-in user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    /// Id of the document in `users`.
    pub id: String,
    /// Address.
    pub email: String,
    /// Role.
    pub role: String,
    /// Whether the address is verified.
    pub verified: bool,
    /// Session of the access token.
    pub session: String,
    /// What the field `metadata` of the user's document holds, if it is an object.
    pub metadata: Arc<Map<String, Json>>,
    /// What a key with limited rights may be used for; empty for a person.
    pub scopes: Arc<[String]>,
}

/// A program that holds an API key. It is no user: to rules nobody is signed in, and what it may do
/// follows from its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyIdentity {
    /// Public part of the key, never the secret.
    pub id: String,
    /// What it may do, such as `collections:posts:read` or `functions:invoke:*`.
    pub scopes: Arc<[Scope]>,
}

/// How an administrator came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminIdentity {
    /// Over the admin socket, by peer credentials.
    Peer {
        /// Uid of the peer.
        uid: u32,
    },
    /// A signed-in user with the role `admin`.
    User(UserIdentity),
    /// The project itself: a hook or a schedule that it declares.
    Project {
        /// Which, such as `hook:welcome`.
        cause: String,
    },
}

/// Role that makes a user an administrator.
pub const ADMIN_ROLE: &str = "admin";

/// Role of a user to whom no other was given.
pub const USER_ROLE: &str = "user";

/// What a rule may know of the request, as `request`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Upper-case method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Address of the client, trusted proxies taken into account.
    pub ip: String,
    /// RFC 3339 UTC with microseconds, the stored form of a timestamp.
    pub time: String,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
    /// Lower-case names; credentials are left out.
    pub headers: BTreeMap<String, String>,
    /// The body, if it is JSON and there is one.
    pub body: Option<Arc<Json>>,
    /// Id of the request, for the audit log; rules do not see it.
    pub request_id: String,
    /// How many jobs caused each other before the request. No rule sees it.
    pub depth: u32,
    /// What went wrong beside it. No rule sees it.
    pub notices: Notices,
}

/// What whoever asked is to be told beside the answer. Clones share it, and all are equal.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// Adds one line.
    pub fn add(&self, notice: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    /// Takes them all.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PartialEq for Notices {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Notices {}

impl Identity {
    /// The identity whose rights count: the one a function acts for, else the identity itself.
    #[must_use]
    pub fn effective(&self) -> &Self {
        match self {
            Self::Function { on_behalf_of, .. } => on_behalf_of.effective(),
            other => other,
        }
    }

    /// The user behind it, if there is one.
    #[must_use]
    pub fn user(&self) -> Option<&UserIdentity> {
        match self.effective() {
            Self::User(user) | Self::Admin(AdminIdentity::User(user)) => Some(user),
            _ => None,
        }
    }

    /// Whether rules do not apply.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        matches!(self.effective(), Self::Admin(_))
    }

    /// Whether the rules of a collection do not apply to what is done to its documents: an administrator,
    /// or an API key within its scopes.
    #[must_use]
    pub fn is_free_of_rules(&self, collection: &str, touch: Touch) -> bool {
        match self.effective() {
            Self::Admin(_) => true,
            Self::ApiKey(key) => key.scopes.iter().any(|scope| scope.touches(collection, touch)),
            _ => false,
        }
    }

    /// Whether the rule of a function does not apply.
    #[must_use]
    pub fn invokes_freely(&self, function: &str) -> bool {
        match self.effective() {
            Self::Admin(_) => true,
            Self::ApiKey(key) => key.scopes.iter().any(|scope| scope.invokes(function)),
            _ => false,
        }
    }

    /// Whether the rules of a channel do not apply.
    #[must_use]
    pub fn uses_channel_freely(&self, channel: &str) -> bool {
        match self.effective() {
            Self::Admin(_) => true,
            Self::ApiKey(key) => key.scopes.iter().any(|scope| scope.opens_channel(channel)),
            _ => false,
        }
    }

    /// Whether an area of administration is open: the part of the path after `/api/admin/`.
    #[must_use]
    pub fn administers(&self, area: &str) -> bool {
        match self {
            Self::Admin(_) => true,
            Self::ApiKey(key) => key.scopes.iter().any(|scope| scope.administers(area)),
            _ => false,
        }
    }

    /// The scopes of an API key, as rules know them; none for everybody else.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        match self.effective() {
            Self::ApiKey(key) => &key.scopes,
            _ => &[],
        }
    }

    /// Stable text for change rows, executions and logs, such as `user:01J…` or `function:hello/anonymous`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User(user) => format!("user:{}", user.id),
            Self::ApiKey(key) => format!("key:{}", key.id),
            Self::Admin(AdminIdentity::Peer { uid }) => format!("admin:uid:{uid}"),
            Self::Admin(AdminIdentity::User(user)) => format!("admin:{}", user.id),
            Self::Admin(AdminIdentity::Project { cause }) => cause.clone(),
            Self::Function { name, on_behalf_of } => format!("function:{name}/{}", on_behalf_of.label()),
        }
    }
}
