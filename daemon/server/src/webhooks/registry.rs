//! Webhooks made at run time. They are kept in the form of the schema and read against the schema in force;
//! one that does not go with it any more stays, does not run, and says why.

use alyx_core::schema::{Diagnostic, Webhook, parse_webhook};
use alyx_protocol::api::FieldProblem;
use alyx_store::{DeliveryRow, HookRow, Made};
use serde_json::{Map, Value};

use super::{KIND, Webhooks, read};
use crate::audit::{self, Event};
use crate::hooks::{Declared, NewHook};
use crate::problem::{ApiError, Code, field_problem};

impl Webhooks {
    /// All webhooks: those of the schema, then those made at run time.
    pub fn list(&self) -> Vec<Declared> {
        let catalog = self.0.catalog.load();
        let declared = catalog.schema.webhooks.iter().map(|hook| Declared {
            id: hook.id.clone(),
            definition: hook.to_json(),
            enabled: true,
            in_schema: true,
            problem: None,
        });
        let rows = self.0.rows.load();
        let made = rows.iter().map(|row| Declared {
            id: row.id.clone(),
            definition: members(row),
            enabled: row.enabled,
            in_schema: false,
            problem: read(&catalog, row).err(),
        });
        declared.chain(made).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Result<Declared, ApiError> {
        self.list().into_iter().find(|hook| hook.id == id).ok_or_else(not_found)
    }

    /// Makes a webhook and gives its id.
    pub async fn create(&self, new: NewHook, event: Event) -> Result<String, ApiError> {
        let (hook, definition) = self.check(new.definition)?;
        if self.list().iter().any(|known| known.id == hook.id) {
            return Err(exists(&hook.id));
        }
        let store = audit::with(&self.0.store, event.target(format!("webhook:{}", hook.id)));
        if !store.add_made(Made::Webhook, hook.id.clone(), definition, new.enabled).await? {
            return Err(exists(&hook.id));
        }
        self.reload().await?;
        Ok(hook.id)
    }

    /// Changes a webhook: members of `changes` replace those it has, null takes one away.
    pub async fn change(
        &self,
        id: &str,
        changes: Map<String, Value>,
        enabled: Option<bool>,
        event: Event,
    ) -> Result<(), ApiError> {
        let old = self.made(id)?;
        let mut definition = old.definition;
        // One that does not go with the schema any more can still be stopped.
        let only_stopped = changes.is_empty() && enabled == Some(false);
        for (name, value) in changes {
            match value {
                Value::Null => definition.remove(&name),
                value => definition.insert(name, value),
            };
        }
        let text = if only_stopped {
            Value::from(definition).to_string()
        } else {
            let (hook, text) = self.check(definition)?;
            if hook.id != id {
                let detail = "The id of a webhook does not change; make another webhook.";
                return Err(ApiError::new(Code::ValidationFailed, detail));
            }
            text
        };
        let store = audit::with(&self.0.store, event.target(format!("webhook:{id}")));
        if !store.change_made(Made::Webhook, id.to_owned(), text, enabled.unwrap_or(old.enabled)).await? {
            return Err(not_found());
        }
        self.reload().await
    }

    /// Deletes a webhook. Jobs of it that are still owed are given up.
    pub async fn delete(&self, id: &str, event: Event) -> Result<(), ApiError> {
        self.made(id)?;
        let store = audit::with(&self.0.store, event.target(format!("webhook:{id}")));
        store.remove_made(Made::Webhook, id.to_owned()).await.map_err(|error| match error {
            alyx_store::Error::NotFound => not_found(),
            error => error.into(),
        })?;
        self.reload().await
    }

    /// One that was made at run time.
    fn made(&self, id: &str) -> Result<Declared, ApiError> {
        let hook = self.get(id)?;
        if hook.in_schema {
            let detail = "This webhook is declared in the schema; change it there.";
            return Err(ApiError::new(Code::WebhookDeclared, detail));
        }
        Ok(hook)
    }

    /// Reads a definition, and writes it with its id.
    fn check(&self, mut definition: Map<String, Value>) -> Result<(Webhook, String), ApiError> {
        let catalog = self.0.catalog.load();
        let text = Value::from(definition.clone()).to_string();
        let hook = parse_webhook(&catalog.schema, &text).map_err(|problems| invalid(&problems))?;
        definition.insert("id".to_owned(), Value::from(hook.id.as_str()));
        let text = Value::from(definition).to_string();
        Ok((hook, text))
    }

    async fn reload(&self) -> Result<(), ApiError> {
        let rows = self.0.store.made(Made::Webhook).await?;
        self.0.rows.store(rows.into());
        self.renew();
        Ok(())
    }
}

impl Webhooks {
    /// Attempts of a webhook, newest first. Those of one that is gone are still told.
    pub async fn deliveries(
        &self,
        id: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, ApiError> {
        let rows = self.0.store.deliveries(id, before, limit).await?;
        if rows.is_empty() {
            self.get(id)?;
        }
        Ok(rows)
    }

    /// Makes a delivery again, under the same id.
    pub async fn redeliver(&self, id: &str, delivery: &str, event: Event) -> Result<(), ApiError> {
        self.get(id)?;
        let gone = || ApiError::new(Code::DeliveryNotFound, "There is no such delivery, or not any more.");
        let (job, _) = self.0.store.job(delivery).await?.ok_or_else(gone)?;
        if job.kind != KIND || job.target != id {
            return Err(gone());
        }
        let store = audit::with(&self.0.store, event.target(format!("webhook:{id}")));
        store.replay_job(delivery).await.map_err(|error| match error {
            alyx_store::Error::NotFound => gone(),
            alyx_store::Error::Stale => ApiError::new(Code::Conflict, "The delivery is not settled yet."),
            error => error.into(),
        })
    }
}

fn members(row: &HookRow) -> Map<String, Value> {
    serde_json::from_str(&row.definition).unwrap_or_default()
}

fn invalid(problems: &[Diagnostic]) -> ApiError {
    let errors = problems.iter().map(|problem| FieldProblem {
        field: problem.path.clone(),
        code: "invalid".to_owned(),
        message: match &problem.hint {
            Some(hint) => format!("{}: {hint}", problem.message),
            None => problem.message.clone(),
        },
    });
    field_problem(Code::ValidationFailed, "This is not a webhook.", errors.collect()).into()
}

fn exists(id: &str) -> ApiError {
    ApiError::new(Code::WebhookExists, format!("There is a webhook {id:?} already."))
}

fn not_found() -> ApiError {
    ApiError::new(Code::WebhookNotFound, "There is no such webhook.")
}
