//! Classes of requests that share a limit, and how much that is.

use std::time::Duration;

use http::Method;

use crate::config;
use crate::limits::INBOUND_WRONG_PER_MINUTE;

/// What is limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Everything that reads, and what belongs to no other class.
    Read,
    /// Everything that changes documents.
    Write,
    /// Invocations.
    Function,
    /// Everything below `/api/auth/`.
    Auth,
    /// Everything below `/api/admin/`.
    Admin,
    /// Guesses at a password or at any other secret of an account: sign-in, codes, second factors.
    Login,
    /// New accounts.
    Register,
    /// Whatever sends a mail to an address that somebody typed.
    Reset,
    /// Wrong signatures of deliveries to inbound webhooks.
    Signature,
}

/// So many at once, and as many again over the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub quota: u32,
    pub window: Duration,
}

/// The rate of each class; `None` is no limit.
#[derive(Clone, Debug)]
pub struct Rates {
    read: Option<Rate>,
    write: Option<Rate>,
    function: Option<Rate>,
    auth: Option<Rate>,
    admin: Option<Rate>,
    login: Option<Rate>,
    register: Option<Rate>,
    reset: Option<Rate>,
}

impl Class {
    /// The class of a request; what costs more than its class is taken again where that is known.
    pub fn of(method: &Method, path: &str) -> Self {
        let below = |prefix: &str| path.starts_with(prefix);
        if below("/api/auth/") {
            Self::Auth
        } else if below("/api/admin/") {
            Self::Admin
        } else if below("/api/functions/") {
            Self::Function
        } else if method.is_safe() {
            Self::Read
        } else {
            Self::Write
        }
    }

    /// Name of its policy in answers.
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// Name of the policy for an address as a whole.
    pub const fn name_for_address(self) -> &'static str {
        self.names().1
    }

    /// An address may do this many times more than one identity, or one account, at this address,
    /// because several people may share it.
    pub const fn address_factor(self) -> u32 {
        match self {
            // Nobody else makes accounts at the same time.
            Self::Register => 1,
            // There is nobody but the address.
            Self::Signature => 1,
            _ => 10,
        }
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("read", "read-address"),
            Self::Write => ("write", "write-address"),
            Self::Function => ("function", "function-address"),
            Self::Auth => ("auth", "auth-address"),
            Self::Admin => ("admin", "admin-address"),
            Self::Login => ("login", "login-address"),
            Self::Register => ("register", "register"),
            Self::Reset => ("reset", "reset-address"),
            Self::Signature => ("signature", "signature"),
        }
    }
}

impl Rate {
    const fn per_minute(quota: u32) -> Self {
        Self { quota, window: Duration::from_secs(60) }
    }

    /// Time in which one comes back.
    pub fn one(self) -> Duration {
        self.window / self.quota.max(1)
    }

    /// How many are left in a bucket that is full again after this time.
    pub fn left(self, full_in: Duration) -> u32 {
        let missing = full_in.as_nanos().div_ceil(self.one().as_nanos().max(1));
        self.quota.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// So many times as much in the same time.
    pub fn times(self, factor: u32) -> Self {
        Self { quota: self.quota.saturating_mul(factor), ..self }
    }
}

impl Rates {
    /// As configured.
    pub fn new(limits: &config::Limits, auth: &config::Auth) -> Self {
        let hour = Duration::from_secs(3_600);
        Self {
            read: limits.reads_per_minute.map(Rate::per_minute),
            write: limits.writes_per_minute.map(Rate::per_minute),
            function: limits.functions_per_minute.map(Rate::per_minute),
            auth: limits.auth_per_minute.map(Rate::per_minute),
            admin: limits.admin_per_minute.map(Rate::per_minute),
            login: Some(Rate::per_minute(auth.login_per_minute)),
            register: Some(Rate::per_minute(auth.register_per_minute)),
            reset: Some(Rate { quota: auth.reset_per_hour, window: hour }),
        }
    }

    /// The same for every class.
    #[cfg(test)]
    pub fn per_minute(quota: u32) -> Self {
        let rate = Some(Rate::per_minute(quota));
        Self {
            read: rate,
            write: rate,
            function: rate,
            auth: rate,
            admin: rate,
            login: rate,
            register: rate,
            reset: rate,
        }
    }

    /// The rate of one of them.
    pub const fn of(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Function => self.function,
            Class::Auth => self.auth,
            Class::Admin => self.admin,
            Class::Login => self.login,
            Class::Register => self.register,
            Class::Reset => self.reset,
            Class::Signature => Some(Rate::per_minute(INBOUND_WRONG_PER_MINUTE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::{Class, Rate};

    #[test]
    fn requests_have_a_class() {
        let check = |method: Method, path: &str, expected: Class| {
            assert_eq!(Class::of(&method, path), expected, "{method} {path}");
        };
        check(Method::GET, "/api/collections/posts", Class::Read);
        check(Method::OPTIONS, "/api/collections/posts", Class::Read);
        check(Method::POST, "/api/collections/posts", Class::Write);
        check(Method::DELETE, "/api/collections/posts/1", Class::Write);
        check(Method::POST, "/api/functions/hello", Class::Function);
        check(Method::GET, "/api/auth/me", Class::Auth);
        check(Method::POST, "/api/admin/users", Class::Admin);
        check(Method::GET, "/health", Class::Read);
        check(Method::POST, "/nowhere", Class::Write);
    }

    #[test]
    fn what_is_left_is_rounded_down() {
        let rate = Rate::per_minute(5);
        let check = |full_in_ms: u64, left: u32| {
            assert_eq!(rate.left(Duration::from_millis(full_in_ms)), left, "{full_in_ms}");
        };
        check(0, 5);
        check(1, 4);
        check(12_000, 4);
        check(12_001, 3);
        check(60_000, 0);
        check(100_000, 0);
    }
}
