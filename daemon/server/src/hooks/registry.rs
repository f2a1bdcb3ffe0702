//! Hooks made at run time. They are kept in the form of the schema and read against the schema in force;
//! one that does not go with it any more stays, does not run, and says why.

use alyx_core::schema::{Hook, parse_hook};
use alyx_store::{HookRow, Made};
use serde_json::{Map, Value};

use super::{Hooks, table};
use crate::audit::{self, Event};
use crate::problem::{ApiError, Code, invalid_definition};

/// A hook as it is shown.
pub struct Declared {
    pub id: String,
    /// Its members, as in the schema.
    pub definition: Map<String, Value>,
    pub enabled: bool,
    /// Whether the schema declares it.
    pub in_schema: bool,
    /// Why it does not run although it is enabled.
    pub problem: Option<String>,
}

/// A hook to make, or what it is to become.
pub struct NewHook {
    pub definition: Map<String, Value>,
    pub enabled: bool,
}

impl Hooks {
    /// All hooks: those of the schema, then those made at run time.
    pub fn list(&self) -> Vec<Declared> {
        let catalog = self.0.catalog.load();
        let declared = catalog.schema.hooks.iter().map(|hook| Declared {
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
            problem: table::read(&catalog, row).err(),
        });
        declared.chain(made).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Result<Declared, ApiError> {
        self.list().into_iter().find(|hook| hook.id == id).ok_or_else(not_found)
    }

    /// Makes a hook and gives its id.
    pub async fn create(&self, new: NewHook, event: Event) -> Result<String, ApiError> {
        let (hook, definition) = self.check(new.definition)?;
        if self.list().iter().any(|known| known.id == hook.id) {
            return Err(exists(&hook.id));
        }
        let store = audit::with(&self.0.store, event.target(format!("hook:{}", hook.id)));
        if !store.add_made(Made::Hook, hook.id.clone(), definition, new.enabled).await? {
            return Err(exists(&hook.id));
        }
        self.reload().await?;
        Ok(hook.id)
    }

    /// Changes a hook: members of `changes` replace those it has, null takes one away.
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
                let detail = "The id of a hook does not change; make another hook.";
                return Err(ApiError::new(Code::ValidationFailed, detail));
            }
            text
        };
        let store = audit::with(&self.0.store, event.target(format!("hook:{id}")));
        if !store.change_made(Made::Hook, id.to_owned(), text, enabled.unwrap_or(old.enabled)).await? {
            return Err(not_found());
        }
        self.reload().await
    }

    /// Deletes a hook. Jobs of it that are still owed are given up.
    pub async fn delete(&self, id: &str, event: Event) -> Result<(), ApiError> {
        self.made(id)?;
        let store = audit::with(&self.0.store, event.target(format!("hook:{id}")));
        store.remove_made(Made::Hook, id.to_owned()).await.map_err(|error| match error {
            alyx_store::Error::NotFound => not_found(),
            error => error.into(),
        })?;
        self.reload().await
    }

    /// One that was made at run time.
    fn made(&self, id: &str) -> Result<Declared, ApiError> {
        let hook = self.get(id)?;
        if hook.in_schema {
            let detail = "This hook is declared in the schema; change it there.";
            return Err(ApiError::new(Code::HookDeclared, detail));
        }
        Ok(hook)
    }

    /// Reads a definition, and writes it with its id.
    fn check(&self, mut definition: Map<String, Value>) -> Result<(Hook, String), ApiError> {
        let catalog = self.0.catalog.load();
        let text = Value::from(definition.clone()).to_string();
        let hook = parse_hook(&catalog.schema, &text).map_err(invalid_definition)?;
        if !catalog.schema.functions.contains_key(&hook.function) {
            let detail = format!("There is no function {:?}.", hook.function);
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        definition.insert("id".to_owned(), Value::from(hook.id.as_str()));
        let text = Value::from(definition).to_string();
        Ok((hook, text))
    }

    async fn reload(&self) -> Result<(), ApiError> {
        let rows = self.0.store.made(Made::Hook).await?;
        self.0.rows.store(rows.into());
        self.renew();
        Ok(())
    }
}

fn members(row: &HookRow) -> Map<String, Value> {
    serde_json::from_str(&row.definition).unwrap_or_default()
}

fn exists(id: &str) -> ApiError {
    ApiError::new(Code::HookExists, format!("There is a hook {id:?} already."))
}

fn not_found() -> ApiError {
    ApiError::new(Code::HookNotFound, "There is no such hook.")
}
