//! What a document must have for a rule to allow it, as values of fields: so that whoever waits for such
//! documents is found by a look into a table instead of by asking every rule about every change.

use super::eval::{Facts, Machine};
use super::tree::{FieldRef, Kind, Node, Reads, Which};
use super::types::Type;
use super::val::Val;
use crate::value::Value;

/// A longer list says too little to be of use.
const TERMS_MAX: usize = 16;

/// At least one of these holds of every document that the expression is true for; `None` if nothing of
/// the kind is known. An empty list: it is true for no document.
pub(super) fn terms(node: &Node, facts: Facts<'_>) -> Option<Vec<(usize, Value)>> {
    if !node.reads.any_of(Reads::DOCUMENT.and(Reads::LOOKUP)) {
        // What fails to evaluate is not true, whatever stands beside it.
        let holds = Machine::new(facts).truth(node).unwrap_or(false);
        return if holds { None } else { Some(Vec::new()) };
    }
    match &node.kind {
        Kind::And(left, right) => match (terms(left, facts), terms(right, facts)) {
            (Some(left), Some(right)) => Some(if right.len() < left.len() { right } else { left }),
            (one, other) => one.or(other),
        },
        Kind::Or(left, right) => {
            let mut all = terms(left, facts)?;
            all.extend(terms(right, facts)?);
            (all.len() <= TERMS_MAX).then_some(all)
        }
        Kind::Equal(left, right) => equality(left, right, facts).or_else(|| equality(right, left, facts)),
        Kind::Field(field) if field.ty == Type::Bool => Some(vec![(place(field)?, Value::Integer(1))]),
        _ => None,
    }
}

fn equality(field: &Node, value: &Node, facts: Facts<'_>) -> Option<Vec<(usize, Value)>> {
    let Kind::Field(field) = &field.kind else { return None };
    if value.reads != Reads::NOTHING {
        return None;
    }
    let place = place(field)?;
    let Ok(value) = Machine::new(facts).value(value) else { return Some(Vec::new()) };
    let stored = match (value, &field.ty) {
        (Val::Null, _) => Value::Null,
        (Val::Text(text), Type::Text) => Value::Text(text.into_owned()),
        (Val::Int(number), Type::Int) => Value::Integer(number),
        (Val::Bool(value), Type::Bool) => Value::Integer(i64::from(value)),
        _ => return None,
    };
    Some(vec![(place, stored)])
}

fn place(field: &FieldRef) -> Option<usize> {
    (field.which == Which::Doc).then_some(field.index)
}
