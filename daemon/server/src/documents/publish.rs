//! Publish an event of the project: in the transaction that is open, if one is.

use alyx_core::document::IdKind;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::rules::Decision;
use alyx_store::EventRow;
use serde_json::json;
use serde_json::value::RawValue;

use super::Documents;
use crate::clock;
use crate::functions::decide;
use crate::limits::EVENT_PAYLOAD_MAX_BYTES;
use crate::problem::{ApiError, Code};

impl Documents {
    /// Publishes an event that tells `payload`, any JSON. Gives `{"id", "name", "at"}`.
    pub async fn publish(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        name: &str,
        payload: &RawValue,
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let Some(rule) = catalog.event(name) else {
            let detail = format!("There is no event {name:.64?}; `events:` of the schema names them.");
            return Err(ApiError::new(Code::EventNotFound, detail));
        };
        if !who.is_admin() {
            match decide(&self.store, rule, (who, facts), payload).await? {
                Some(Decision::Allow) => {}
                refused => {
                    if let Some(Decision::Error(reason)) = refused {
                        tracing::warn!(event = name, "the rule of {name} failed and denied: {reason}");
                    }
                    return Err(match who.effective() {
                        Identity::Anonymous => {
                            ApiError::new(Code::Unauthenticated, "Sign in to publish this.")
                        }
                        _ => ApiError::new(Code::Forbidden, "The rules of this event do not allow this."),
                    });
                }
            }
        }
        if payload.get().len() > EVENT_PAYLOAD_MAX_BYTES {
            let detail = format!("The payload of an event has at most {EVENT_PAYLOAD_MAX_BYTES} bytes.");
            return Err(ApiError::new(Code::BodyTooLarge, detail));
        }
        let event = EventRow {
            id: clock::new_key(IdKind::Id),
            name: name.to_owned(),
            payload: payload.get().to_owned(),
            identity: who.label(),
            at: String::new(),
        };
        let id = event.id.clone();
        let at = self.store.caused_by(facts.depth).publish(event).await?;
        Ok(json!({ "id": id, "name": name, "at": at }).to_string().into_bytes())
    }
}
