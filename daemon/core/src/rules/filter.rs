//! What a list asks of every document: a condition in SQL and, for a rule that has no whole SQL form,
//! a check of each row that the condition selects.

use std::sync::Arc;

use super::{Decision, DocRef, Lookups, Rule, RuleInput};
use crate::document::Document;
use crate::identity::{Identity, RequestFacts};
use crate::schema::Collection;
use crate::sql::SqlPredicate;
use crate::value::{Value, ValueRef};

/// A list rule for one caller. Owned, so it can go to another thread.
#[derive(Clone, Debug)]
pub struct RowFilter {
    /// Selects every document that may be listed; without a check, only those.
    pub sql: SqlPredicate,
    /// What SQL leaves open.
    pub check: Option<RowCheck>,
}

/// The part of a list rule that is evaluated in memory.
#[derive(Clone, Debug)]
pub struct RowCheck {
    rule: Arc<Rule>,
    needs: Vec<usize>,
    caller: Arc<(Identity, RequestFacts)>,
}

impl From<SqlPredicate> for RowFilter {
    fn from(sql: SqlPredicate) -> Self {
        Self { sql, check: None }
    }
}

impl RowFilter {
    /// The filter of a rule that was compiled for [`Scope::List`](super::Scope::List).
    #[must_use]
    pub fn new(rule: &Arc<Rule>, identity: &Identity, request: &RequestFacts) -> Self {
        let check = rule.is_post_filter().then(|| {
            let mut needs = rule.fields_read();
            needs.sort_unstable();
            needs.dedup();
            let caller = Arc::new((identity.clone(), request.clone()));
            RowCheck { rule: Arc::clone(rule), needs, caller }
        });
        Self { sql: rule.predicate(identity, request), check }
    }

    /// Places of the fields that [`RowFilter::allows`] reads, in order.
    #[must_use]
    pub fn needs(&self) -> &[usize] {
        self.check.as_ref().map_or(&[], |check| &check.needs)
    }

    /// Whether a document that the SQL condition selected may be listed. `row` gives the stored value
    /// of a field by its place and is asked for [`RowFilter::needs`] only.
    pub fn allows<'a>(
        &self,
        collection: &Collection,
        row: impl Fn(usize) -> ValueRef<'a>,
        lookups: &dyn Lookups,
    ) -> Decision {
        let Some(check) = &self.check else { return Decision::Allow };
        let mut values = vec![Value::Null; collection.fields.len()];
        for place in &check.needs {
            values[*place] = row(*place).to_owned();
        }
        let document = Document { values, rev: 0 };
        let doc = Some(DocRef { collection, document: &document });
        let (identity, request) = (&check.caller.0, &check.caller.1);
        check.rule.check_with(&RuleInput { identity, request, doc, old: None }, lookups)
    }
}
