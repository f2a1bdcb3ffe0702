//! What a rule may ask of other documents while it is evaluated in memory. `core` does no I/O, so the
//! answers come from whoever evaluates; the store answers from one reader, which sees one snapshot.

use crate::schema::Collection;
use crate::sql::SqlExpr;
use crate::value::Value;

/// Answers about documents of any collection. Rules do not apply to what a rule looks up.
pub trait Lookups: std::fmt::Debug {
    /// The values of the document with this id, in order of the collection's fields.
    ///
    /// # Errors
    /// The answer could not be had, which denies.
    fn get(&self, collection: &Collection, id: &str) -> Result<Option<Vec<Value>>, LookupFailed>;

    /// Whether the condition holds for a document. The collection's alias in it is `alias`.
    ///
    /// # Errors
    /// The answer could not be had, which denies.
    fn exists(
        &self,
        collection: &Collection,
        alias: &str,
        condition: Option<&SqlExpr>,
    ) -> Result<bool, LookupFailed>;
}

/// An answer could not be had. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LookupFailed(pub String);

/// Answers nothing: for rules of which [`Rule::has_lookups`](super::Rule::has_lookups) is false.
#[derive(Clone, Copy, Debug)]
pub struct NoLookups;

impl Lookups for NoLookups {
    fn get(&self, collection: &Collection, _: &str) -> Result<Option<Vec<Value>>, LookupFailed> {
        Err(unavailable(collection))
    }

    fn exists(&self, collection: &Collection, _: &str, _: Option<&SqlExpr>) -> Result<bool, LookupFailed> {
        Err(unavailable(collection))
    }
}

fn unavailable(collection: &Collection) -> LookupFailed {
    LookupFailed(format!("{} cannot be looked up here", collection.name))
}
