//! What a webhook tells: `{"type", "timestamp", "data"}`, as Standard Webhooks has it.

use alyx_core::catalog::Catalog;
use alyx_core::schema::HookOn;
use serde_json::{Map, Value, json};

use crate::hooks::word_of_audited;

/// What is told of something that happened.
pub struct Message {
    kind: String,
    at: Value,
    /// Also what a condition looks at.
    pub data: Map<String, Value>,
}

impl Message {
    /// Reads what a job was told. Fields that are hidden or internal are left out.
    pub fn new(catalog: &Catalog, on: &HookOn, payload: &str) -> Result<Self, serde_json::Error> {
        let mut data: Map<String, Value> = serde_json::from_str(payload)?;
        let text = |data: &Map<String, Value>, name: &str| {
            data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let at = data.remove("at").unwrap_or_default();
        let (kind, collection) = match on {
            HookOn::Documents { collection, .. } => {
                (format!("{collection}.{}", text(&data, "action")), Some(collection.as_str()))
            }
            HookOn::Auth(_) => {
                let action = word_of_audited(&text(&data, "audit"));
                // Who did it from where is for the project itself.
                data.retain(|name, _| ["id", "identity", "doc"].contains(&name.as_str()));
                data.insert("action".to_owned(), Value::from(action));
                (format!("auth.{action}"), Some("users"))
            }
            HookOn::Event(name) => (name.clone(), None),
        };
        if let Some(entry) = collection.and_then(|name| catalog.collection(name)) {
            let secret = entry.collection.fields.iter().filter(|field| field.hidden || field.internal);
            for field in secret {
                for document in ["doc", "old"] {
                    if let Some(Value::Object(document)) = data.get_mut(document) {
                        document.remove(&field.name);
                    }
                }
            }
        }
        Ok(Self { kind, at, data })
    }

    /// The body of the request.
    pub fn body(&self) -> String {
        json!({ "type": self.kind, "timestamp": self.at, "data": self.data }).to_string()
    }
}
