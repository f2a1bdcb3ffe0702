//! What an API key may do.
//!
//! | scope | what it opens |
//! |---|---|
//! | `collections:NAME:read`, `collections:*:read` | reading documents, whatever the rules say |
//! | `collections:NAME:write`, `collections:*:write` | writing documents, whatever the rules say |
//! | `functions:invoke:NAME`, `functions:invoke:*` | invoking functions |
//! | `channels:NAME`, `channels:*` | listening, broadcasting and being there on channels |
//! | `admin:AREA`, `admin:*` | the routes below `/api/admin/AREA`, all of them but those of keys |
//! | `admin:deploy` | applying the project's schema and looking at what came of it |
//!
//! `*` of collections leaves out `users`, which has to be named.

use std::fmt;

use crate::limits::NAME_MAX_BYTES;

/// One thing that an API key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(String);

/// What is done to documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// They are read.
    Read,
    /// They are created, changed or deleted.
    Write,
}

/// Collection behind accounts; `*` does not mean it.
const USERS: &str = "users";

/// The scope of a deploy token.
const DEPLOY: &str = "admin:deploy";

/// Areas that `admin:deploy` opens.
const DEPLOY_AREAS: [&str; 4] = ["migrations", "rules", "functions", "status"];

/// Areas that no scope opens: whoever holds a key makes no others.
const CLOSED_AREAS: [&str; 1] = ["api-keys"];

impl Scope {
    /// Reads a scope; none if it is not of a form that is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let known = match parts[..] {
            ["collections", name, "read" | "write"] | ["functions", "invoke", name] => is_name(name),
            ["channels", name] => is_name(name),
            ["admin", area] => is_name(area) && !CLOSED_AREAS.contains(&area),
            _ => false,
        };
        known.then(|| Self(text.to_owned()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is that of a deploy token.
    #[must_use]
    pub fn is_deploy(&self) -> bool {
        self.0 == DEPLOY
    }

    /// Whether it opens a collection.
    #[must_use]
    pub fn touches(&self, collection: &str, touch: Touch) -> bool {
        let action = match touch {
            Touch::Read => "read",
            Touch::Write => "write",
        };
        match self.0.split(':').collect::<Vec<_>>()[..] {
            ["collections", name, allowed] => {
                allowed == action && (name == collection || (name == "*" && collection != USERS))
            }
            _ => false,
        }
    }

    /// Whether it opens a function.
    #[must_use]
    pub fn invokes(&self, function: &str) -> bool {
        self.0.strip_prefix("functions:invoke:").is_some_and(|name| name == "*" || name == function)
    }

    /// Whether it opens a channel.
    #[must_use]
    pub fn opens_channel(&self, channel: &str) -> bool {
        self.0.strip_prefix("channels:").is_some_and(|name| name == "*" || name == channel)
    }

    /// Whether it opens an area of administration, the part of the path after `/api/admin/`.
    #[must_use]
    pub fn administers(&self, area: &str) -> bool {
        if CLOSED_AREAS.contains(&area) {
            return false;
        }
        match self.0.strip_prefix("admin:") {
            Some("*") => true,
            Some("deploy") => DEPLOY_AREAS.contains(&area),
            Some(own) => own == area,
            None => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn is_name(name: &str) -> bool {
    let plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    name == "*" || (plain && !name.is_empty() && name.len() <= NAME_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{Scope, Touch};

    #[test]
    fn scopes_open_what_they_name_and_nothing_else() {
        let scope = |text: &str| Scope::parse(text).unwrap_or_else(|| panic!("{text}"));
        let check = |text: &str, collection: &str, touch: Touch, opened: bool| {
            assert_eq!(scope(text).touches(collection, touch), opened, "{text} {collection} {touch:?}");
        };
        check("collections:posts:read", "posts", Touch::Read, true);
        check("collections:posts:read", "posts", Touch::Write, false);
        check("collections:posts:read", "post", Touch::Read, false);
        check("collections:*:write", "posts", Touch::Write, true);
        check("collections:*:write", "posts", Touch::Read, false);
        check("collections:*:read", "users", Touch::Read, false);
        check("collections:users:read", "users", Touch::Read, true);
        check("functions:invoke:*", "posts", Touch::Read, false);
        check("admin:*", "posts", Touch::Read, false);
        assert!(scope("functions:invoke:pay").invokes("pay") && !scope("functions:invoke:pay").invokes("p"));
        assert!(scope("functions:invoke:*").invokes("pay") && !scope("admin:*").invokes("pay"));
        assert!(scope("channels:rooms").opens_channel("rooms") && scope("channels:*").opens_channel("rooms"));
        assert!(!scope("channels:rooms").opens_channel("room") && !scope("admin:*").opens_channel("rooms"));
        assert!(scope("admin:users").administers("users") && !scope("admin:users").administers("audit"));
        assert!(scope("admin:*").administers("users") && !scope("admin:*").administers("api-keys"));
        assert!(
            scope("admin:deploy").administers("migrations") && !scope("admin:deploy").administers("users")
        );
    }

    #[test]
    fn other_texts_are_no_scopes() {
        for text in [
            "",
            ":",
            "*",
            "admin",
            "admin:",
            "admin:api-keys",
            "admin:users:read",
            "collections:posts",
            "collections:posts:delete",
            "collections::read",
            "Collections:posts:read",
            "functions:pay",
            "functions:invoke:",
            "functions:invoke:a b",
            "collections:posts:read ",
            "admin:../users",
        ] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
    }
}
