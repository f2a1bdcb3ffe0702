//! A database of its own for one run of rule tests, with the schema in force and the documents of the
//! file. It is deleted with this value.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::document::{Access, Document, DocumentError, Fresh, parse_create};
use alyx_core::schema::{Collection, Diagnostic, RuleTests, TestDocument};
use alyx_store::{Consent, Migration, Options, Store};
use tempfile::TempDir;

use crate::clock;
use crate::problem::{ApiError, internal};

/// The database.
pub struct Scratch {
    pub store: Store,
    /// The documents of the file, as stored.
    pub documents: Vec<Document>,
    _directory: TempDir,
}

impl Scratch {
    /// Makes it. The inner error is what is wrong with the file's documents.
    pub async fn make(
        catalog: &Catalog,
        file: &str,
        tests: &RuleTests,
    ) -> Result<Result<Self, Vec<Diagnostic>>, ApiError> {
        let directory = tempfile::tempdir().map_err(|error| internal("make a scratch database", &error))?;
        let path = directory.path().join("data.db");
        let store = tokio::task::spawn_blocking(move || Store::open(&Options::new(path)))
            .await
            .map_err(|error| internal("make a scratch database", &error))??;
        let migration = Migration {
            text: String::new(),
            schema: Arc::new(catalog.schema.clone()),
            files: Vec::new(),
            consent: Consent::Safe,
            backup: None,
            undo: None,
        };
        store.migrate(migration).await?;
        let mut problems = Vec::new();
        let mut parsed = Vec::new();
        for document in &tests.documents {
            match parse(&document.collection, &document.body) {
                Ok(parsed_document) => parsed.push(Some(parsed_document)),
                Err(message) => {
                    problems.push(diagnostic(file, document, message));
                    parsed.push(None);
                }
            }
        }
        if problems.is_empty() {
            problems = fill(&store, file, &tests.documents, &mut parsed).await?;
        }
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let documents = parsed.into_iter().flatten().collect();
        Ok(Ok(Self { store, documents, _directory: directory }))
    }
}

/// A body as the server itself would accept it.
pub fn parse(collection: &Collection, body: &serde_json::Value) -> Result<Document, String> {
    let now = clock::now_text();
    let mut fresh = Fresh { now: &now, ids: &mut clock::new_key };
    parse_create(collection, body.to_string().as_bytes(), Access::System, &mut fresh).map_err(describe)
}

/// What is wrong with a body, in one line.
pub fn describe(error: DocumentError) -> String {
    match error {
        DocumentError::Fields(fields) => {
            let texts: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.field, field.message)).collect();
            texts.join("; ")
        }
        other => other.to_string(),
    }
}

/// Stores the documents in an order in which those they refer to come first.
async fn fill(
    store: &Store,
    file: &str,
    documents: &[TestDocument],
    parsed: &mut [Option<Document>],
) -> Result<Vec<Diagnostic>, ApiError> {
    let mut waiting: Vec<usize> = (0..documents.len()).collect();
    loop {
        let mut problems = Vec::new();
        let mut left = Vec::new();
        for place in &waiting {
            let (declared, Some(document)) = (&documents[*place], &parsed[*place]) else { continue };
            let made = store.create(Arc::clone(&declared.collection), document.clone(), "test".to_owned());
            match made.await {
                Ok(stored) => parsed[*place] = Some(stored),
                Err(
                    error
                    @ (alyx_store::Error::ForeignKey { .. } | alyx_store::Error::UniqueViolation { .. }),
                ) => {
                    problems.push(diagnostic(file, declared, error.to_string()));
                    left.push(*place);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if left.is_empty() || left.len() == waiting.len() {
            return Ok(problems);
        }
        waiting = left;
    }
}

fn diagnostic(file: &str, document: &TestDocument, message: String) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        position: document.position,
        path: format!("documents.{}", document.name),
        message,
        hint: None,
    }
}
