//! SQL forms of `in` and of the text functions. Never LIKE: it folds case and reads wildcards.
//! Text is compared as bytes, so a zero character in it is like any other.

use super::fragment::{Fragment, Meaning, Part, Term, Truth, bind, not_null_but};
use super::predicate::{Result, Translation, equal_parts, no_form};
use super::tree::{FieldRef, Kind, Node, TextTest};
use super::types::Type;
use super::val::Val;
use crate::value::Value;

impl<'a> Translation<'a> {
    /// `item in range`.
    pub(super) fn membership(&self, node: &'a Node, item: &'a Node, range: &'a Node) -> Result<Truth> {
        let left = self.part(item)?;
        match &range.kind {
            Kind::Field(field) if self.is_open(range) && matches!(field.ty, Type::List(_)) => {
                Ok(in_field(&left, field))
            }
            Kind::Field(field)
                if self.is_open(range)
                    && field.ty == Type::Dynamic
                    && item.ty == Type::Text
                    && !self.is_open(item) =>
            {
                Ok(in_json(&left, field))
            }
            Kind::List(items) if self.is_open(range) => {
                let items: Vec<Part<'a>> = items.iter().map(|item| self.part(item)).collect::<Result<_>>()?;
                in_parts(node, &left, &items)
            }
            _ if !self.is_open(range) => Ok(match (left, self.part(range)?) {
                (Part::Fault, _) | (_, Part::Fault | Part::Sql(_)) => Truth::Fault,
                (left, Part::Known(Val::List(items))) => in_known(&left, items),
                (left, Part::Known(Val::Map(map))) => {
                    let keys = map.into_iter().map(|(key, _)| Val::Text(key.into())).collect();
                    // Null is no key: looking for it fails.
                    let left = match left {
                        Part::Sql(term) => Part::Sql(Term { meaning: Meaning::Error, ..term }),
                        other => other,
                    };
                    in_known(&left, keys)
                }
                (_, Part::Known(_)) => Truth::Fault,
            }),
            _ => Err(no_form(range)),
        }
    }

    /// `startsWith`, `endsWith`, `contains`.
    pub(super) fn text_test(&self, test: TextTest, text: &'a Node, part: &'a Node) -> Result<Truth> {
        let (text, part) = (self.part(text)?, self.part(part)?);
        if text.ty() != Type::Text || part.ty() != Type::Text {
            return Ok(Truth::Fault);
        }
        let (Some(a), Some(b)) = (as_bytes(&text), as_bytes(&part)) else { return Ok(Truth::Fault) };
        let instr = |sign: &str| Fragment::new().text("instr(").add(&a).text(", ").add(&b).text(sign);
        let sql = match test {
            TextTest::StartsWith => instr(") = 1"),
            TextTest::Contains => instr(") > 0"),
            TextTest::EndsWith => Fragment::new()
                .text("CASE WHEN length(")
                .add(&b)
                .text(") = 0 THEN length(")
                .add(&a)
                .text(") >= 0 WHEN length(")
                .add(&a)
                .text(") < length(")
                .add(&b)
                .text(") THEN 0 ELSE substr(")
                .add(&a)
                .text(", -length(")
                .add(&b)
                .text(")) = ")
                .add(&b)
                .text(" END"),
        };
        Ok(Truth::Sql { sql, total: false })
    }
}

fn as_bytes(part: &Part<'_>) -> Option<Fragment> {
    match part {
        Part::Known(Val::Text(text)) => Some(Fragment::new().param(Value::Blob(text.as_bytes().to_vec()))),
        Part::Sql(term) => Some(Fragment::new().text("CAST(").add(&term.sql).text(" AS BLOB)")),
        _ => None,
    }
}

/// In a field with several values, which is stored as a JSON array of texts.
fn in_field(left: &Part<'_>, field: &FieldRef) -> Truth {
    let name = field.column();
    let item = match left {
        Part::Fault => return Truth::Fault,
        Part::Known(Val::Text(text)) => Fragment::new().param(Value::Text(text.to_string())),
        Part::Sql(term) if term.ty == Type::Text => term.sql.clone(),
        // Null and other types are in no list of texts; a missing list is an error all the same.
        Part::Known(_) | Part::Sql(_) => {
            let sql = Fragment::new().text(format!("CASE WHEN {name} IS NOT NULL THEN 0 END"));
            return Truth::Sql { sql, total: false };
        }
    };
    let sql = Fragment::new()
        .text(format!(
            "CASE WHEN {name} IS NOT NULL THEN EXISTS (SELECT 1 FROM json_each({name}) AS item WHERE item.value = "
        ))
        .add(&item)
        .text(") END");
    Truth::Sql { sql, total: false }
}

/// A known text in a `json` field: an item of an array or a key of an object. Anything else the
/// field may hold, null included, is an error.
fn in_json(left: &Part<'_>, field: &FieldRef) -> Truth {
    let name = field.column();
    let (item, key) = match left {
        Part::Known(Val::Text(text)) => {
            let found = |column: &str| {
                Fragment::new()
                    .text(format!("EXISTS (SELECT 1 FROM json_each({name}) AS item WHERE {column} = "))
                    .param(Value::Text(text.to_string()))
                    .text(")")
            };
            (found("item.type = 'text' AND item.value"), found("item.key"))
        }
        Part::Known(Val::Null) => {
            let item = format!("EXISTS (SELECT 1 FROM json_each({name}) AS item WHERE item.type = 'null')");
            (Fragment::new().text(item), Fragment::new().text("NULL"))
        }
        // The type checker lets only text and null through.
        _ => return Truth::Fault,
    };
    let sql = Fragment::new()
        .text(format!("CASE json_type({name}) WHEN 'array' THEN "))
        .add(&item)
        .text(" WHEN 'object' THEN ")
        .add(&key)
        .text(" END");
    Truth::Sql { sql, total: false }
}

/// In a list that names fields: a chain of equalities.
fn in_parts(node: &Node, left: &Part<'_>, items: &[Part<'_>]) -> Result<Truth> {
    if items.iter().any(|item| matches!(item, Part::Sql(Term { meaning: Meaning::Error, .. }))) {
        return Err(no_form(node).hint("name fields and values in the list, and compare the rest with =="));
    }
    // One item that fails makes the list fail, whatever the others are.
    if matches!(left, Part::Fault) || items.iter().any(|item| matches!(item, Part::Fault)) {
        return Ok(Truth::Fault);
    }
    let never = match left {
        Part::Sql(term) => not_null_but(term, term.meaning),
        _ => Truth::Known(false),
    };
    Ok(items.iter().fold(never, |found, item| found.or(equal_parts(left, item))))
}

/// In a list that is known.
fn in_known(left: &Part<'_>, items: Vec<Val<'_>>) -> Truth {
    let term = match left {
        Part::Fault => return Truth::Fault,
        Part::Known(val) => return Truth::Known(items.iter().any(|item| item.equals(val))),
        Part::Sql(term) => term,
    };
    let same: Vec<Value> =
        items.iter().filter(|item| item.ty() == term.ty).filter_map(|item| bind(item, &term.ty)).collect();
    // IN would round integers that are looked for in a column of doubles; they are compared one by one.
    let others = items.into_iter().filter(|item| item.ty() != term.ty).map(Part::Known);
    let rest =
        others.fold(not_null_but(term, term.meaning), |found, item| found.or(equal_parts(left, &item)));
    if same.is_empty() {
        return rest;
    }
    let mut list = Fragment::new().add(&term.sql).text(" IN (");
    for (at, value) in same.into_iter().enumerate() {
        list = list.text(if at == 0 { "" } else { ", " }).param(value);
    }
    let list = list.text(")");
    let found = match term.meaning {
        Meaning::Null => {
            let sql = Fragment::new().text("(").add(&term.sql).text(" IS NOT NULL AND ").add(&list).text(")");
            Truth::Sql { sql, total: true }
        }
        Meaning::Value => Truth::Sql { sql: list, total: true },
        Meaning::Error => Truth::Sql { sql: list, total: false },
    };
    found.or(rest)
}
