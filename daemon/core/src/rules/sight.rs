//! Which fields of a collection's documents somebody may see. [`Sight`] is made once per request and
//! collection; [`Visible`] is what it comes to for one document. Nothing else decides this.

use std::borrow::Cow;
use std::sync::Arc;

use super::lookups::Lookups;
use super::{Decision, Rule};
use crate::document::Access;
use crate::identity::{Identity, RequestFacts};
use crate::schema::{Collection, Field};
use crate::value::{Value, ValueRef};

/// What one caller may see of the documents of one collection. Owned, so it can go to another thread.
#[derive(Clone, Debug)]
pub struct Sight {
    access: Access,
    /// What does not depend on the document. Fields that do are in `rules`, and withheld here.
    fixed: Visible,
    rules: Vec<(usize, Arc<Rule>)>,
    /// Who asks; needed by `rules` only.
    caller: Option<Arc<(Identity, RequestFacts)>>,
}

/// The fields of one document that may be shown.
#[derive(Clone, Debug)]
pub struct Visible {
    access: Access,
    /// Places of fields that a rule withholds.
    withheld: Vec<usize>,
    /// Rules that failed, which withholds the field: texts for the log.
    pub faults: Vec<String>,
}

impl From<Access> for Visible {
    fn from(access: Access) -> Self {
        Self { access, withheld: Vec::new(), faults: Vec::new() }
    }
}

impl From<Access> for Sight {
    /// A sight that no field rule narrows.
    fn from(access: Access) -> Self {
        Self { access, fixed: access.into(), rules: Vec::new(), caller: None }
    }
}

impl Visible {
    /// Whether the field may be shown.
    #[must_use]
    pub fn shows(&self, place: usize, field: &Field) -> bool {
        self.access.sees(field) && !self.withheld.contains(&place)
    }
}

impl Sight {
    /// What a caller to whom rules apply may see, by the read rules of the fields.
    pub(crate) fn of_client<'r>(
        rules: impl Iterator<Item = (usize, &'r Arc<Rule>)>,
        identity: &Identity,
        request: &RequestFacts,
    ) -> Self {
        let mut sight = Self::from(Access::Client);
        let input = super::RuleInput { identity, request, doc: None, old: None };
        for (place, rule) in rules {
            let decided = !rule.depends_on_document() && !rule.has_lookups();
            match decided.then(|| rule.check(&input)) {
                Some(Decision::Allow) => {}
                Some(Decision::Deny) => sight.fixed.withheld.push(place),
                Some(Decision::Error(fault)) => {
                    sight.fixed.withheld.push(place);
                    sight.fixed.faults.push(fault);
                }
                None => {
                    sight.fixed.withheld.push(place);
                    sight.rules.push((place, Arc::clone(rule)));
                }
            }
        }
        if !sight.rules.is_empty() {
            sight.caller = Some(Arc::new((identity.clone(), request.clone())));
        }
        sight
    }

    /// For whom it is.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Whether the field may be shown in every document, so that it may be filtered, sorted, searched
    /// and aggregated by. For any other field the answer is the same as for one that does not exist.
    #[must_use]
    pub fn may_ask(&self, place: usize, field: &Field) -> bool {
        self.fixed.shows(place, field)
    }

    /// Whether the field may be shown in some document, so that it may be selected.
    #[must_use]
    pub fn may_select(&self, place: usize, field: &Field) -> bool {
        self.may_ask(place, field)
            || (self.access.sees(field) && self.rules.iter().any(|(other, _)| *other == place))
    }

    /// Whether [`Sight::visible`] asks for lookups.
    #[must_use]
    pub fn has_lookups(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.has_lookups())
    }

    /// Places of the fields that [`Sight::visible`] reads, in order.
    #[must_use]
    pub fn needs(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.rules.iter().flat_map(|(_, rule)| rule.fields_read()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// What may be shown of one document. `row` gives the stored value of a field by its place and is
    /// asked for [`Sight::needs`] only. A rule that fails withholds its field.
    pub fn visible<'a>(
        &self,
        collection: &Collection,
        row: impl Fn(usize) -> ValueRef<'a>,
        lookups: &dyn Lookups,
    ) -> Cow<'_, Visible> {
        let Some(caller) = &self.caller else { return Cow::Borrowed(&self.fixed) };
        let mut values = vec![Value::Null; collection.fields.len()];
        for place in self.needs() {
            values[place] = row(place).to_owned();
        }
        let document = crate::document::Document { values, rev: 0 };
        let doc = Some(super::DocRef { collection, document: &document });
        let input = super::RuleInput { identity: &caller.0, request: &caller.1, doc, old: None };
        let mut visible = self.fixed.clone();
        for (place, rule) in &self.rules {
            match rule.check_with(&input, lookups) {
                Decision::Allow => visible.withheld.retain(|withheld| withheld != place),
                Decision::Deny => {}
                Decision::Error(fault) => visible.faults.push(fault),
            }
        }
        Cow::Owned(visible)
    }
}
