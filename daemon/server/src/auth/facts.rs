//! The fields of `users` that accounts rely on. The schema parser puts them into every schema.

use std::sync::Arc;

use alyx_core::value::Value;
use alyx_store::Account;
use serde_json::{Map, Value as Json};

/// What identities need to know of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFacts {
    pub id: String,
    pub email: String,
    pub role: String,
    pub verified: bool,
    pub disabled: bool,
    /// The field `metadata`, if the schema gives users one and it holds an object.
    pub metadata: Arc<Map<String, Json>>,
}

impl UserFacts {
    /// Reads them. A field that is not there counts as its safe value.
    pub fn of(account: &Account) -> Self {
        let value = |name: &str| {
            let (place, _) = account.users.field(name)?;
            account.document.values.get(place)
        };
        let text = |name| value(name).and_then(Value::as_text).unwrap_or_default().to_owned();
        let metadata = value("metadata").and_then(Value::as_text);
        let metadata = metadata.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Self {
            id: text("id"),
            email: text("email"),
            role: text("role"),
            verified: value("verified") == Some(&Value::Integer(1)),
            disabled: value("disabled") != Some(&Value::Integer(0)),
            metadata: Arc::new(metadata),
        }
    }
}
