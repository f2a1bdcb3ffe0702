//! Evaluates a checked rule in memory, as cel-spec says: errors are values that `&&` and `||`
//! absorb when the other side decides, in either order. Never panics; every step is counted.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::fault::Fault;
use super::limits::{LOOKUPS_MADE_MAX, STEPS_MAX};
use super::lookups::{Lookups, NoLookups};
use super::operators::{arithmetic, convert, index, negate, ordered, size, text_test};
use super::predicate::exists_conditions;
use super::time;
use super::tree::{AuthFact, Exists, FieldRef, Kind, Node, Quantifier, RequestFact, Which, row_alias};
use super::val::Val;
use crate::identity::{Identity, RequestFacts, UserIdentity};
use crate::schema::Collection;
use crate::scope::Scope;
use crate::sql::SqlPredicate;
use crate::value::Value;

/// What a rule may look at. Documents are absent while a list's rule is prepared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    user: Option<&'a UserIdentity>,
    scopes: &'a [Scope],
    request: &'a RequestFacts,
    lookups: &'a dyn Lookups,
    doc: Option<&'a [Value]>,
    old: Option<&'a [Value]>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(identity: &'a Identity, request: &'a RequestFacts) -> Self {
        Self {
            user: identity.user(),
            scopes: identity.scopes(),
            request,
            lookups: &NoLookups,
            doc: None,
            old: None,
        }
    }

    pub(super) fn with_documents(self, doc: Option<&'a [Value]>, old: Option<&'a [Value]>) -> Self {
        Self { doc, old, ..self }
    }

    pub(super) fn with_lookups(self, lookups: &'a dyn Lookups) -> Self {
        Self { lookups, ..self }
    }
}

/// One evaluation.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    facts: Facts<'a>,
    loops: Vec<Val<'a>>,
    steps: u32,
    looked_up: u32,
}

impl<'a> Machine<'a> {
    pub(super) fn new(facts: Facts<'a>) -> Self {
        Self { facts, loops: Vec::new(), steps: 0, looked_up: 0 }
    }

    /// With values for the variables outside of all loops.
    #[cfg(test)]
    pub(super) fn with_variables(self, loops: Vec<Val<'a>>) -> Self {
        Self { loops, ..self }
    }

    /// The value of an expression.
    pub(super) fn value(&mut self, node: &'a Node) -> Result<Val<'a>, Fault> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Fault::TooManySteps);
        }
        match &node.kind {
            Kind::Literal(val) => Ok(borrow(val)),
            Kind::Auth(fact) => Ok(self.auth(*fact)),
            Kind::Request(fact) => self.request(*fact),
            Kind::RequestEntry(fact, key) => match self.entries(*fact).get(key) {
                Some(text) => Ok(Val::Text(Cow::Borrowed(text))),
                None => Err(Fault::NoSuchKey(key.clone())),
            },
            Kind::Field(field) => self.field(field),
            Kind::Variable(slot) => self.loops.get(*slot).cloned().ok_or(Fault::NoDocument),
            Kind::Select(map, key) => match self.value(map)? {
                Val::Map(mut map) => {
                    map.remove(key).map(Val::from_json).ok_or_else(|| Fault::NoSuchKey(key.clone()))
                }
                other => Err(operand("a key", &other)),
            },
            Kind::HasKey(map, key) => match self.value(map)? {
                Val::Map(map) => Ok(Val::Bool(map.contains_key(key))),
                other => Err(operand("has()", &other)),
            },
            Kind::IsSet(inner) => Ok(Val::Bool(!matches!(self.value(inner)?, Val::Null))),
            Kind::List(items) => {
                items.iter().map(|item| self.value(item)).collect::<Result<_, _>>().map(Val::List)
            }
            Kind::Not(inner) => self.truth(inner).map(|value| Val::Bool(!value)),
            Kind::And(left, right) => self.connective(left, right, false),
            Kind::Or(left, right) => self.connective(left, right, true),
            Kind::Conditional(condition, yes, no) => {
                if self.truth(condition)? {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Kind::Found { collection, id, field } => self.found(collection, id, field),
            Kind::Exists(exists) => self.exists(exists),
            Kind::Quantify { quantifier, range, body } => self.quantify(*quantifier, range, body),
            _ => self.operation(node),
        }
    }

    /// The value of an expression that must be a bool.
    pub(super) fn truth(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match self.value(node)? {
            Val::Bool(value) => Ok(value),
            other => Err(operand("a condition", &other)),
        }
    }

    /// Operators and functions that need all their operands.
    fn operation(&mut self, node: &'a Node) -> Result<Val<'a>, Fault> {
        match &node.kind {
            Kind::Negate(inner) => negate(&self.value(inner)?),
            Kind::Equal(left, right) => Ok(Val::Bool(self.value(left)?.equals(&self.value(right)?))),
            Kind::NotEqual(left, right) => Ok(Val::Bool(!self.value(left)?.equals(&self.value(right)?))),
            Kind::Order(order, left, right) => ordered(*order, &self.value(left)?, &self.value(right)?),
            Kind::Arithmetic(op, left, right) => {
                let result = arithmetic(*op, self.value(left)?, self.value(right)?)?;
                if let Val::List(items) = &result {
                    self.count(items.len())?;
                }
                Ok(result)
            }
            Kind::In(item, range) => {
                let item = self.value(item)?;
                let found = match self.value(range)? {
                    Val::List(items) => {
                        self.count(items.len())?;
                        items.iter().any(|other| other.equals(&item))
                    }
                    Val::Map(_) if matches!(item, Val::Null) => return Err(operand("a key", &item)),
                    Val::Map(map) => matches!(&item, Val::Text(key) if map.contains_key(key.as_ref())),
                    other => return Err(operand("in", &other)),
                };
                Ok(Val::Bool(found))
            }
            Kind::Index(range, at) => index(self.value(range)?, &self.value(at)?),
            Kind::Size(inner) => size(&self.value(inner)?),
            Kind::TextTest(test, text, part) => text_test(*test, &self.value(text)?, &self.value(part)?),
            Kind::Matches(text, pattern) => match self.value(text)? {
                Val::Text(text) => Ok(Val::Bool(pattern.is_match(&text))),
                other => Err(operand("matches()", &other)),
            },
            Kind::Convert(to, inner) => convert(*to, self.value(inner)?),
            // The other kinds are answered by `value`.
            _ => Err(Fault::Stored),
        }
    }

    /// `&&` (decided by false) and `||` (decided by true).
    fn connective(&mut self, left: &'a Node, right: &'a Node, decisive: bool) -> Result<Val<'a>, Fault> {
        let first = self.truth(left);
        if first == Ok(decisive) {
            return Ok(Val::Bool(decisive));
        }
        match (first, self.truth(right)) {
            (_, Ok(value)) if value == decisive => Ok(Val::Bool(decisive)),
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
            (Ok(_), Ok(_)) => Ok(Val::Bool(!decisive)),
        }
    }

    fn quantify(
        &mut self,
        quantifier: Quantifier,
        range: &'a Node,
        body: &'a Node,
    ) -> Result<Val<'a>, Fault> {
        let items: Vec<Val<'a>> = match self.value(range)? {
            Val::List(items) => items,
            Val::Map(map) => map.into_iter().map(|(key, _)| Val::Text(Cow::Owned(key))).collect(),
            other => return Err(operand("a loop", &other)),
        };
        self.count(items.len())?;
        let mut fault = None;
        let mut hits = 0_usize;
        for item in items {
            self.loops.push(item);
            let result = self.truth(body);
            self.loops.pop();
            match (quantifier, result) {
                (_, Err(Fault::TooManySteps)) => return Err(Fault::TooManySteps),
                (Quantifier::ExistsOne, Err(found)) => return Err(found),
                (_, Err(found)) => fault = fault.or(Some(found)),
                (Quantifier::Exists, Ok(true)) => return Ok(Val::Bool(true)),
                (Quantifier::All, Ok(false)) => return Ok(Val::Bool(false)),
                (_, Ok(hit)) => hits += usize::from(hit),
            }
        }
        match (fault, quantifier) {
            (Some(fault), _) => Err(fault),
            (None, Quantifier::Exists) => Ok(Val::Bool(false)),
            (None, Quantifier::All) => Ok(Val::Bool(true)),
            (None, Quantifier::ExistsOne) => Ok(Val::Bool(hits == 1)),
        }
    }

    fn found(
        &mut self,
        collection: &'a Collection,
        id: &'a Node,
        field: &'a FieldRef,
    ) -> Result<Val<'a>, Fault> {
        let id = match self.value(id)? {
            Val::Null => return Ok(Val::Null),
            Val::Text(id) => id,
            other => return Err(operand("get()", &other)),
        };
        self.count_lookup()?;
        let found = self.facts.lookups.get(collection, &id).map_err(Fault::Lookup)?;
        let Some(values) = found else { return Ok(Val::Null) };
        let value = values.get(field.index).ok_or(Fault::Stored)?;
        Val::from_stored(value, &field.ty).map(Val::into_owned)
    }

    /// The condition becomes SQL in which only the documents of the other collection are open.
    fn exists(&mut self, exists: &'a Exists) -> Result<Val<'a>, Fault> {
        let conditions = exists_conditions(exists, self.facts).map_err(|_| Fault::NoSqlForm)?;
        let alias = row_alias(exists.depth);
        let mut holds = |condition: &SqlPredicate| {
            let condition = match condition {
                SqlPredicate::Never => return Ok(false),
                SqlPredicate::Always => None,
                SqlPredicate::When(condition) => Some(condition),
            };
            self.count_lookup()?;
            self.facts.lookups.exists(&exists.collection, &alias, condition).map_err(Fault::Lookup)
        };
        if holds(&conditions.holds)? {
            return Ok(Val::Bool(true));
        }
        match &conditions.holds_or_fails {
            Some(condition) if holds(condition)? => Err(Fault::LookedUp),
            _ => Ok(Val::Bool(false)),
        }
    }

    fn count_lookup(&mut self) -> Result<(), Fault> {
        self.looked_up += 1;
        if self.looked_up > LOOKUPS_MADE_MAX { Err(Fault::TooManyLookups) } else { Ok(()) }
    }

    fn count(&mut self, items: usize) -> Result<(), Fault> {
        self.steps = self.steps.saturating_add(u32::try_from(items).unwrap_or(u32::MAX));
        if self.steps > STEPS_MAX { Err(Fault::TooManySteps) } else { Ok(()) }
    }

    fn auth(&self, fact: AuthFact) -> Val<'a> {
        let Some(user) = self.facts.user else {
            return match fact {
                AuthFact::Metadata => Val::Map(Map::new()),
                AuthFact::Scopes => {
                    let text = |scope: &'a Scope| Val::Text(Cow::Borrowed(scope.as_str()));
                    Val::List(self.facts.scopes.iter().map(text).collect())
                }
                _ => Val::Null,
            };
        };
        let text = |text: &'a str| Val::Text(Cow::Borrowed(text));
        match fact {
            AuthFact::Id => text(&user.id),
            AuthFact::Email => text(&user.email),
            AuthFact::Role => text(&user.role),
            AuthFact::Verified => Val::Bool(user.verified),
            AuthFact::Metadata => Val::Map((*user.metadata).clone()),
            AuthFact::Scopes => Val::List(user.scopes.iter().map(|scope| text(scope)).collect()),
        }
    }

    fn request(&self, fact: RequestFact) -> Result<Val<'a>, Fault> {
        let request = self.facts.request;
        let text = |text: &'a str| Ok(Val::Text(Cow::Borrowed(text)));
        match fact {
            RequestFact::Method => text(&request.method),
            RequestFact::Path => text(&request.path),
            RequestFact::Ip => text(&request.ip),
            RequestFact::Time => time::parse_timestamp(&request.time).map(Val::Timestamp),
            RequestFact::Body => Ok(request.body.as_deref().cloned().map_or(Val::Null, Val::from_json)),
            RequestFact::Query | RequestFact::Headers => {
                let entries = self.entries(fact).iter();
                let map: Map<String, Json> =
                    entries.map(|(key, value)| (key.clone(), Json::String(value.clone()))).collect();
                Ok(Val::Map(map))
            }
        }
    }

    fn entries(&self, fact: RequestFact) -> &'a std::collections::BTreeMap<String, String> {
        match fact {
            RequestFact::Headers => &self.facts.request.headers,
            _ => &self.facts.request.query,
        }
    }

    fn field(&self, field: &FieldRef) -> Result<Val<'a>, Fault> {
        let document = match field.which {
            Which::Doc => self.facts.doc,
            Which::Old => self.facts.old,
            Which::Row(_) => None,
        };
        let value = document.and_then(|values| values.get(field.index)).ok_or(Fault::NoDocument)?;
        Val::from_stored(value, &field.ty)
    }
}

/// A literal without copying its text.
fn borrow<'a>(val: &'a Val<'static>) -> Val<'a> {
    match val {
        Val::Text(text) => Val::Text(Cow::Borrowed(text)),
        Val::Bytes(bytes) => Val::Bytes(Cow::Borrowed(bytes)),
        other => other.clone(),
    }
}

/// The error for an operand of a type that the operation does not take.
pub(super) fn operand(operation: &'static str, found: &Val<'_>) -> Fault {
    Fault::Operand { operation, found: found.ty().to_string() }
}
