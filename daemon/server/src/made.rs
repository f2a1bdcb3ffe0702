//! What the schema declares and administrators make at run time too: hooks and webhooks. Those made at run
//! time are kept in the form of the schema and read against the schema in force; one that does not go with
//! it any more stays, does not run, and says why.

use std::sync::Arc;

use alyx_core::schema::{Diagnostic, Hook, Schema, Webhook, parse_hook, parse_webhook};
use alyx_store::{HookRow, Made, Store};
use arc_swap::ArcSwap;
use serde_json::{Map, Value};

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::catalog::CatalogHandle;
use crate::problem::{ApiError, Code, invalid_definition};

/// What can be made so.
pub trait Definition: Sized + Clone + Send + Sync + 'static {
    /// Where the store keeps them.
    const MADE: Made;
    /// What one is called.
    const NAME: &'static str;
    /// What it is answered with if there is one already, none, or one of the schema.
    const CODES: Codes;

    /// Those of a schema.
    fn declared(schema: &Schema) -> &[Self];
    /// Reads one against a schema.
    fn parse(schema: &Schema, text: &str) -> Result<Self, Vec<Diagnostic>>;
    /// Its id.
    fn id(&self) -> &str;
    /// The same with another id.
    fn with_id(self, id: String) -> Self;
    /// Its members as in the schema.
    fn members(&self) -> Map<String, Value>;
    /// What it needs and the schema does not have.
    fn lacks(&self, _: &Schema) -> Option<String> {
        None
    }
}

/// Codes of what goes wrong with one.
pub struct Codes {
    pub exists: Code,
    pub not_found: Code,
    pub declared: Code,
}

impl Definition for Hook {
    const MADE: Made = Made::Hook;
    const NAME: &'static str = "hook";
    const CODES: Codes =
        Codes { exists: Code::HookExists, not_found: Code::HookNotFound, declared: Code::HookDeclared };

    fn declared(schema: &Schema) -> &[Self] {
        &schema.hooks
    }

    fn parse(schema: &Schema, text: &str) -> Result<Self, Vec<Diagnostic>> {
        parse_hook(schema, text)
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn with_id(self, id: String) -> Self {
        Self { id, ..self }
    }

    fn members(&self) -> Map<String, Value> {
        self.to_json()
    }

    fn lacks(&self, schema: &Schema) -> Option<String> {
        let known = schema.functions.contains_key(&self.function);
        (!known).then(|| format!("function {:?}", self.function))
    }
}

impl Definition for Webhook {
    const MADE: Made = Made::Webhook;
    const NAME: &'static str = "webhook";
    const CODES: Codes = Codes {
        exists: Code::WebhookExists,
        not_found: Code::WebhookNotFound,
        declared: Code::WebhookDeclared,
    };

    fn declared(schema: &Schema) -> &[Self] {
        &schema.webhooks
    }

    fn parse(schema: &Schema, text: &str) -> Result<Self, Vec<Diagnostic>> {
        parse_webhook(schema, text)
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn with_id(self, id: String) -> Self {
        Self { id, ..self }
    }

    fn members(&self) -> Map<String, Value> {
        self.to_json()
    }
}

/// One as it is shown.
pub struct Shown {
    pub id: String,
    /// Its members, as in the schema.
    pub definition: Map<String, Value>,
    pub enabled: bool,
    /// Whether the schema declares it.
    pub in_schema: bool,
    /// Why it does not run although it is enabled.
    pub problem: Option<String>,
}

/// Who has a registry, and takes over what is in force when it changes.
pub trait Keeper: 'static {
    /// Of what.
    type Kept: Definition;
    /// Member of the answer with all of them.
    const PLURAL: &'static str;
    /// What the audit log calls making, changing and deleting one.
    const ACTIONS: [Action; 3];

    /// The one of a daemon.
    fn of(app: &App) -> &Self;
    /// What there is.
    fn registry(&self) -> &Registry<Self::Kept>;
    /// Takes over what is in force.
    fn renew(&self);

    /// Why one that is in force cannot do its work as things are, where the registry does not know.
    fn problem(&self, _id: &str) -> Option<String> {
        None
    }
}

/// Those of the schema in force, and those made at run time.
pub struct Registry<D> {
    store: Store,
    catalog: CatalogHandle,
    rows: ArcSwap<Vec<HookRow>>,
    kind: std::marker::PhantomData<fn() -> D>,
}

impl<D: Definition> Registry<D> {
    /// Reads what was made at run time.
    pub async fn load(store: Store, catalog: CatalogHandle) -> Result<Self, alyx_store::Error> {
        let rows = ArcSwap::from_pointee(store.made(D::MADE).await?);
        Ok(Self { store, catalog, rows, kind: std::marker::PhantomData })
    }

    /// Those that run: of the schema in its order, then those made at run time, by id.
    pub fn in_force(&self) -> Vec<Arc<D>> {
        let (catalog, rows) = (self.catalog.load(), self.rows.load());
        let made = rows.iter().filter(|row| row.enabled).filter_map(|row| read(&catalog.schema, row).ok());
        D::declared(&catalog.schema).iter().cloned().chain(made).map(Arc::new).collect()
    }

    /// All of them, in the same order.
    pub fn list(&self) -> Vec<Shown> {
        let catalog = self.catalog.load();
        let declared = D::declared(&catalog.schema).iter().map(|one| Shown {
            id: one.id().to_owned(),
            definition: one.members(),
            enabled: true,
            in_schema: true,
            problem: None,
        });
        let rows = self.rows.load();
        let made = rows.iter().map(|row| Shown {
            id: row.id.clone(),
            definition: serde_json::from_str(&row.definition).unwrap_or_default(),
            enabled: row.enabled,
            in_schema: false,
            problem: read::<D>(&catalog.schema, row).err(),
        });
        declared.chain(made).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Result<Shown, ApiError> {
        self.list().into_iter().find(|one| one.id == id).ok_or_else(not_found::<D>)
    }

    /// Makes one and gives its id.
    pub async fn create(
        &self,
        definition: Map<String, Value>,
        enabled: bool,
        event: Event,
    ) -> Result<String, ApiError> {
        let (one, definition) = self.check(definition)?;
        let id = one.id().to_owned();
        let exists = || ApiError::new(D::CODES.exists, format!("There is a {} {id:?} already.", D::NAME));
        if self.list().iter().any(|known| known.id == id) {
            return Err(exists());
        }
        if !self.noted(&id, event).add_made(D::MADE, id.clone(), definition, enabled).await? {
            return Err(exists());
        }
        self.reload().await?;
        Ok(id)
    }

    /// Changes one: members of `changes` replace those it has, null takes one away.
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
            let (one, text) = self.check(definition)?;
            if one.id() != id {
                let detail = format!("The id of a {0} does not change; make another {0}.", D::NAME);
                return Err(ApiError::new(Code::ValidationFailed, detail));
            }
            text
        };
        let enabled = enabled.unwrap_or(old.enabled);
        if !self.noted(id, event).change_made(D::MADE, id.to_owned(), text, enabled).await? {
            return Err(not_found::<D>());
        }
        self.reload().await
    }

    /// Deletes one. Jobs of it that are still owed are given up.
    pub async fn delete(&self, id: &str, event: Event) -> Result<(), ApiError> {
        self.made(id)?;
        let removed = self.noted(id, event).remove_made(D::MADE, id.to_owned()).await;
        removed.map_err(|error| match error {
            alyx_store::Error::NotFound => not_found::<D>(),
            error => error.into(),
        })?;
        self.reload().await
    }

    /// One that was made at run time.
    fn made(&self, id: &str) -> Result<Shown, ApiError> {
        let one = self.get(id)?;
        if one.in_schema {
            let detail = format!("This {} is declared in the schema; change it there.", D::NAME);
            return Err(ApiError::new(D::CODES.declared, detail));
        }
        Ok(one)
    }

    /// Reads a definition, and writes it with its id.
    fn check(&self, mut definition: Map<String, Value>) -> Result<(D, String), ApiError> {
        let catalog = self.catalog.load();
        let text = Value::from(definition.clone()).to_string();
        let one = D::parse(&catalog.schema, &text).map_err(invalid_definition)?;
        if let Some(lacking) = one.lacks(&catalog.schema) {
            return Err(ApiError::new(Code::ValidationFailed, format!("There is no {lacking}.")));
        }
        definition.insert("id".to_owned(), Value::from(one.id()));
        Ok((one, Value::from(definition).to_string()))
    }

    /// The store, which notes what is done to this one.
    fn noted(&self, id: &str, event: Event) -> Store {
        audit::with(&self.store, event.target(format!("{}:{id}", D::NAME)))
    }

    async fn reload(&self) -> Result<(), ApiError> {
        self.rows.store(self.store.made(D::MADE).await?.into());
        Ok(())
    }
}

/// Reads one that was made at run time. What is wrong with it is one line.
fn read<D: Definition>(schema: &Schema, row: &HookRow) -> Result<D, String> {
    let one = D::parse(schema, &row.definition)
        .map_err(|problems| problems.first().map_or_else(String::new, |problem| problem.message.clone()))?;
    if let Some(lacking) = one.lacks(schema) {
        return Err(format!("there is no {lacking}"));
    }
    if D::declared(schema).iter().any(|declared| declared.id() == row.id) {
        return Err(format!("the schema declares a {} with this id", D::NAME));
    }
    Ok(one.with_id(row.id.clone()))
}

fn not_found<D: Definition>() -> ApiError {
    ApiError::new(D::CODES.not_found, format!("There is no such {}.", D::NAME))
}
