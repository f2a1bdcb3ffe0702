//! Access rules: CEL texts, checked against the schema when it loads and evaluated in one of two
//! ways that agree: in memory for one document, as an SQL condition for lists.
//!
//! A rule that does not compile never exists, an evaluation that fails never allows, and no accepted
//! rule can exhaust stack, memory or time. That administrators are above rules, and that a missing
//! rule denies everyone else, is the caller's decision. `docs/rules.md` is the reference for users.

mod calls;
mod condition;
mod eval;
mod fault;
mod filter;
mod fragment;
mod limits;
mod lookups;
mod lower;
mod membership;
mod operators;
mod parse;
mod place;
mod predicate;
mod scan;
mod sight;
mod terms;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod types;
mod val;

use std::sync::Arc;

use crate::document::Document;
use crate::identity::{Identity, RequestFacts, UserIdentity};
use crate::schema::{Collection, Diagnostic, RuleSource, Schema};
use crate::sql::SqlPredicate;
use crate::value::Value;

pub use self::condition::Condition;
pub use self::filter::{RowCheck, RowFilter};
pub use self::lookups::{LookupFailed, Lookups, NoLookups};
pub use self::sight::{Sight, Visible};

use self::eval::{Facts, Machine};
use self::lower::{Collections, Lowering, Roots};
use self::place::Refusal;
use self::tree::{Kind, Node, Reads, RequestFact, Which};

/// A rule that was checked against its collection. Cheap to evaluate, safe to share.
#[derive(Clone, Debug)]
pub struct Rule {
    root: Node,
    path: String,
    purpose: Purpose,
    /// A list rule of which a part has no SQL form.
    post_filter: bool,
}

/// What depends on the operation after compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// `doc` may be read from `old`.
    Deletion,
    /// The rule has an SQL form, or is a post filter.
    List,
    /// Where there is no `old`, all its fields are null.
    FieldWrite,
    Other,
}

/// The operation a rule guards; it decides which variables exist.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// `doc`: the document as it would be.
    Create(&'a Collection),
    /// `doc`.
    Get(&'a Collection),
    /// `doc`; the rule has an SQL form.
    List(&'a Collection),
    /// `old` as it is, `doc` as it would be.
    Update(&'a Collection),
    /// `old`, and `doc` as the same.
    Delete(&'a Collection),
    /// One field is to be read: `doc`.
    FieldRead(&'a Collection),
    /// One field is to be written: `doc` as it would be, `old` as it is; on creation all fields of
    /// `old` are null.
    FieldWrite(&'a Collection),
    /// No document.
    Invoke,
}

/// A document and the collection it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct DocRef<'a> {
    /// The collection the rule was compiled for.
    pub collection: &'a Collection,
    /// Values in the collection's order.
    pub document: &'a Document,
}

/// What a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// Who acts.
    pub identity: &'a Identity,
    /// The request.
    pub request: &'a RequestFacts,
    /// As it is or would be. For a deletion `old` stands in when this is absent.
    pub doc: Option<DocRef<'a>>,
    /// As it is, for updates and deletions.
    pub old: Option<DocRef<'a>>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The operation may go on.
    Allow,
    /// It may not.
    Deny,
    /// The evaluation failed, which denies. The text is for the log, never for a client.
    Error(String),
}

impl Rule {
    /// Checks a rule that looks up no other documents.
    ///
    /// # Errors
    /// See [`Rule::compile_in`].
    pub fn compile(source: &RuleSource, scope: Scope<'_>) -> Result<Self, Diagnostic> {
        Self::build(source, scope, None).map_err(|refusal| refusal.into_diagnostic(source))
    }

    /// Checks a rule of a schema.
    ///
    /// # Errors
    /// The first thing wrong with it, with its place; the file's name is left empty for the caller
    /// to fill in.
    pub fn compile_in(schema: &Schema, source: &RuleSource, scope: Scope<'_>) -> Result<Self, Diagnostic> {
        Self::build(source, scope, Some(&schema.collections))
            .map_err(|refusal| refusal.into_diagnostic(source))
    }

    fn build(
        source: &RuleSource,
        scope: Scope<'_>,
        collections: Option<&Collections>,
    ) -> Result<Self, Refusal> {
        let parsed = parse::parse(&source.text)?;
        let root = Lowering::new(&parsed, scope.roots(collections)).rule()?;
        let purpose = match scope {
            Scope::List(_) => Purpose::List,
            Scope::Delete(_) => Purpose::Deletion,
            Scope::FieldWrite(_) => Purpose::FieldWrite,
            _ => Purpose::Other,
        };
        check_lookups(&root)?;
        let mut post_filter = false;
        if purpose == Purpose::List
            && let Err(refusal) = check_sql_form(&root)
        {
            if !source.post_filter {
                return Err(refusal);
            }
            post_filter = true;
        }
        Ok(Self { root, path: source.path.clone(), purpose, post_filter })
    }

    /// Evaluates the rule in memory. A rule with lookups fails, see [`Rule::check_with`].
    #[must_use]
    pub fn check(&self, input: &RuleInput<'_>) -> Decision {
        self.check_with(input, &NoLookups)
    }

    /// Evaluates the rule in memory; `lookups` answers what it asks about other documents.
    #[must_use]
    pub fn check_with(&self, input: &RuleInput<'_>, lookups: &dyn Lookups) -> Decision {
        let nothing = match (self.purpose, input.doc) {
            (Purpose::FieldWrite, Some(doc)) => vec![Value::Null; doc.collection.fields.len()],
            _ => Vec::new(),
        };
        let old = input.old.map(|old| old.document.values.as_slice());
        let doc = input.doc.map(|doc| doc.document.values.as_slice());
        let doc = if self.purpose == Purpose::Deletion { doc.or(old) } else { doc };
        let old = if self.purpose == Purpose::FieldWrite { old.or(Some(&nothing)) } else { old };
        let facts = Facts::new(input.identity, input.request).with_documents(doc, old).with_lookups(lookups);
        match Machine::new(facts).truth(&self.root) {
            Ok(true) => Decision::Allow,
            Ok(false) => Decision::Deny,
            Err(fault) => Decision::Error(format!("{}: {fault}", self.path)),
        }
    }

    /// Whether it reads `doc` or `old`.
    #[must_use]
    pub fn depends_on_document(&self) -> bool {
        self.root.reads.any_of(Reads::DOCUMENT)
    }

    /// Whether it looks at other documents, so that it needs [`Rule::check_with`].
    #[must_use]
    pub fn has_lookups(&self) -> bool {
        self.root.reads.any_of(Reads::LOOKUP)
    }

    /// Whether it reads `request.body`.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        let mut reads = false;
        self.root.visit(&mut |node| reads |= matches!(node.kind, Kind::Request(RequestFact::Body)));
        reads
    }

    /// Whether it reads `request.time`, so that its outcome changes by itself.
    #[must_use]
    pub fn reads_time(&self) -> bool {
        let mut reads = false;
        self.root.visit(&mut |node| reads |= matches!(node.kind, Kind::Request(RequestFact::Time)));
        reads
    }

    /// What a document must have for the rule to allow it: at least one of these fields with this value.
    /// `None` if there is no such list. See [`RowFilter`].
    #[must_use]
    pub fn terms(&self, identity: &Identity, request: &RequestFacts) -> Option<Vec<(usize, Value)>> {
        terms::terms(&self.root, Facts::new(identity, request))
    }

    /// Places of the fields of `doc` that it reads.
    #[must_use]
    pub fn fields_read(&self) -> Vec<usize> {
        let mut places = Vec::new();
        self.root.visit(&mut |node| match &node.kind {
            Kind::Field(field) if field.which == Which::Doc => places.push(field.index),
            _ => {}
        });
        places
    }

    /// The rule as a condition on the rows of its collection. Only the document's values are left
    /// open; a row is selected exactly when [`Rule::check_with`] would allow it, unless
    /// [`Rule::is_post_filter`]: then each of the selected rows has to be checked as well.
    ///
    /// A rule that was not compiled for [`Scope::List`] selects nothing.
    #[must_use]
    pub fn predicate(&self, identity: &Identity, request: &RequestFacts) -> SqlPredicate {
        let facts = Facts::new(identity, request);
        match self.purpose {
            Purpose::List if self.post_filter => predicate::loose_predicate(&self.root, facts),
            // Compiling proved that the form exists; should that ever be wrong, nothing is shown.
            Purpose::List => predicate::predicate(&self.root, facts).unwrap_or(SqlPredicate::Never),
            _ => SqlPredicate::Never,
        }
    }

    /// Whether a part of it has no SQL form, so that rows are read and checked one by one.
    #[must_use]
    pub const fn is_post_filter(&self) -> bool {
        self.post_filter
    }
}

impl<'a> Scope<'a> {
    fn roots(self, collections: Option<&'a Collections>) -> Roots<'a> {
        let (doc, old) = match self {
            Scope::Create(collection)
            | Scope::Get(collection)
            | Scope::List(collection)
            | Scope::FieldRead(collection) => (Some(collection), None),
            Scope::Update(collection) | Scope::Delete(collection) | Scope::FieldWrite(collection) => {
                (Some(collection), Some(collection))
            }
            Scope::Invoke => (None, None),
        };
        Roots { doc, old, collections }
    }
}

/// Translates the rule for a stranger and for somebody, which visits every expression of it.
fn check_sql_form(root: &Node) -> Result<(), Refusal> {
    as_strangers(|facts| predicate::predicate(root, facts).map(|_| ()))
}

/// The condition of a lookup becomes SQL also where the rest of the rule does not.
fn check_lookups(root: &Node) -> Result<(), Refusal> {
    let mut outcome = Ok(());
    root.visit(&mut |node| {
        if let (Kind::Exists(exists), Ok(())) = (&node.kind, &outcome) {
            outcome = as_strangers(|facts| predicate::exists_conditions(exists, facts).map(|_| ()));
        }
    });
    outcome.map_err(|refusal| Refusal {
        message: "this expression has no SQL form, which the condition of a lookup needs".to_owned(),
        ..refusal
    })
}

fn as_strangers(translate: impl Fn(Facts<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let request = RequestFacts { time: "2000-01-01T00:00:00.000000Z".to_owned(), ..RequestFacts::default() };
    let somebody = Identity::User(UserIdentity {
        id: "0".repeat(20),
        email: "somebody@example.org".to_owned(),
        role: "user".to_owned(),
        verified: true,
        session: String::new(),
        metadata: Arc::default(),
        scopes: Arc::default(),
    });
    [Identity::Anonymous, somebody].iter().try_for_each(|who| translate(Facts::new(who, &request)))
}
