//! Several writes in one transaction: the first that fails undoes all and is named.
//!
//! An operation may refer to a document that an earlier one wrote: `{"$ref": "name.field"}` in place of
//! its id or of the whole value of a field. In a field of type `json` it is a value like any other.

use std::collections::HashMap;

use alyx_core::document::members;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::FieldKind;
use alyx_store::Abort;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::writing::{Change, Refusal, Writing, refuse};
use super::{Documents, Once, Precondition, Written, access_of, entry};
use crate::limits::BATCH_OPERATIONS_MAX;
use crate::problem::{ApiError, Code};

/// The body of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    operations: Vec<Operation>,
}

/// One write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    /// By which later operations refer to its document.
    #[serde(default)]
    name: Option<String>,
    op: Op,
    collection: String,
    #[serde(default)]
    id: Option<Value>,
    /// Unique field of an upsert.
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    if_match: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Create,
    Update,
    Replace,
    Upsert,
    Delete,
}

/// Documents of named operations.
type Named = HashMap<String, Value>;

impl Batch {
    /// Reads a batch and checks its form.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let batch: Self = serde_json::from_slice(body).map_err(|error| {
            let code = if error.is_data() { Code::ValidationFailed } else { Code::InvalidJson };
            ApiError::new(code, format!("The body is not a batch: {error}."))
        })?;
        let count = batch.operations.len();
        if !(1..=BATCH_OPERATIONS_MAX).contains(&count) {
            let detail = format!("A batch has 1 to {BATCH_OPERATIONS_MAX} operations, this one {count}.");
            return Err(ApiError::new(Code::ValidationFailed, detail));
        }
        for (index, operation) in batch.operations.iter().enumerate() {
            operation.check().map_err(|detail| {
                at(
                    ApiError::new(Code::ValidationFailed, format!("Operation {index}: {detail}")),
                    index,
                    operation,
                )
            })?;
        }
        Ok(batch)
    }
}

impl Operation {
    fn check(&self) -> Result<(), &'static str> {
        let (id, data, field) = (self.id.is_some(), self.data.is_some(), self.field.is_some());
        match self.op {
            Op::Create if id || !data || field => Err("create takes collection and data."),
            Op::Upsert if id || !data || !field => Err("upsert takes collection, field and data."),
            Op::Update | Op::Replace if !id || !data || field => {
                Err("update and replace take collection, id and data.")
            }
            Op::Delete if !id || data || field => Err("delete takes collection and id."),
            Op::Create | Op::Upsert if self.if_match.is_some() => {
                Err("if_match needs a document that exists.")
            }
            _ => Ok(()),
        }
    }
}

impl Documents {
    /// Carries out all operations, or none. Gives `{"results": [{"status", "id", "doc", "etag"}]}`.
    pub async fn batch(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        batch: Batch,
        once: Option<Once>,
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let done = self.write(catalog, who, facts, move |writing| {
            writing.once(once.as_ref(), |writing| Ok((200, writing.batch(&batch)?)))
        });
        done.await.map(|(_, body)| body)
    }
}

impl Writing<'_, '_, '_> {
    fn batch(&mut self, batch: &Batch) -> Result<Vec<u8>, Refusal> {
        let mut named = Named::new();
        let mut out = b"{\"results\":[".to_vec();
        for (index, operation) in batch.operations.iter().enumerate() {
            let written = self.operation(operation, &named).map_err(|refusal| {
                let error = match refusal {
                    Abort::Refused(error) => error,
                    Abort::Store(error) => error.into(),
                };
                refuse(at(error, index, operation))
            })?;
            if index > 0 {
                out.push(b',');
            }
            match written {
                None => out.extend_from_slice(b"{\"status\":204}"),
                Some(written) => {
                    out.extend_from_slice(&written.to_result());
                    if let Some(name) = &operation.name {
                        let document = serde_json::from_slice(&written.json).unwrap_or_default();
                        named.insert(name.clone(), document);
                    }
                }
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    fn operation(&mut self, operation: &Operation, named: &Named) -> Result<Option<Written>, Refusal> {
        let collection = operation.collection.as_str();
        let id = operation.id.as_ref().map(|id| resolve_id(id, named)).transpose().map_err(refuse)?;
        let id = id.unwrap_or_default();
        let data = self.resolve(collection, operation.data.as_deref(), named)?;
        let precondition = operation.if_match.as_deref().map_or(Precondition::None, Precondition::at);
        match operation.op {
            Op::Create => self.create(collection, &data).map(Some),
            Op::Upsert => {
                self.upsert(collection, operation.field.as_deref().unwrap_or_default(), &data).map(Some)
            }
            Op::Replace => self.replace(collection, &id, &data, &precondition).map(Some),
            Op::Delete => self.delete(collection, &id, &precondition).map(|()| None),
            Op::Update => {
                let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
                let change = Change::parse(entry, &data, access_of(self.who)).map_err(refuse)?;
                self.update(collection, &id, &change, &precondition).map(Some)
            }
        }
    }

    /// The data with its references replaced. Everything else stays the text it is, numbers above all.
    fn resolve(&self, collection: &str, data: Option<&RawValue>, named: &Named) -> Result<Vec<u8>, Refusal> {
        let Some(data) = data else { return Ok(Vec::new()) };
        let text = data.get();
        if !text.contains("\"$ref\"") {
            return Ok(text.as_bytes().to_vec());
        }
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let members = members(text.as_bytes()).map_err(refuse)?;
        let mut out = Vec::with_capacity(text.len());
        for (name, value) in members {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
            out.push(b':');
            let field = entry.collection.field(&name);
            let literal = field.is_some_and(|(_, field)| field.kind == FieldKind::Json);
            let reference = if literal { None } else { reference(value.get()) };
            match reference {
                None => out.extend_from_slice(value.get().as_bytes()),
                Some(reference) => {
                    let value = look_up(&reference, named).map_err(refuse)?;
                    out.extend_from_slice(value.to_string().as_bytes());
                }
            }
        }
        out.push(b'}');
        Ok(out)
    }
}

fn resolve_id(id: &Value, named: &Named) -> Result<String, ApiError> {
    let value = match reference(&id.to_string()) {
        None => id,
        Some(reference) => look_up(&reference, named)?,
    };
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| ApiError::new(Code::ValidationFailed, "An id is text, or a reference to text."))
}

/// The text of `{"$ref": "…"}`.
fn reference(raw: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Reference {
        #[serde(rename = "$ref")]
        reference: String,
    }
    if !raw.starts_with('{') {
        return None;
    }
    serde_json::from_str::<Reference>(raw).ok().map(|found| found.reference)
}

fn look_up<'n>(reference: &str, named: &'n Named) -> Result<&'n Value, ApiError> {
    let found = reference.split_once('.').and_then(|(name, field)| named.get(name)?.get(field));
    found.ok_or_else(|| {
        let detail = format!(
            "The reference {reference:.200?} names no field of a document that an earlier operation wrote; it has the form name.field."
        );
        ApiError::new(Code::ValidationFailed, detail)
    })
}

/// The same error, with the operation that it is about.
fn at(error: ApiError, index: usize, operation: &Operation) -> ApiError {
    error.with_details(json!({ "operation": index, "name": operation.name }))
}
