//! A checked rule as an SQL condition. What is known before a row is read (`auth`, `request`) is
//! evaluated first; the rest becomes SQL in which NULL stands for an evaluation error. SQL's
//! three-valued AND, OR and NOT then absorb errors exactly as cel-spec's operators do. A stored
//! null is never confused with an error: every term says which of the two its NULL means.
//!
//! Whether a rule has an SQL form depends on its text alone, never on who asks: both operands of
//! every operator are translated even where one would decide. `docs/rules.md` lists the forms.

use super::eval::{Facts, Machine};
use super::fragment::{Fragment, Meaning, Part, Term, Truth, bind, not_null_but};
use super::place::Refusal;
use super::tree::{Arithmetic, Exists, FieldRef, Kind, Node, Order, Reads, row_alias};
use super::types::Type;
use super::val::Val;
use crate::schema::Collection;
use crate::sql::{SqlPredicate, quote};

/// Why there is no SQL form.
pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// Translates a rule for one identity and request.
pub(super) fn predicate(root: &Node, facts: Facts<'_>) -> Result<SqlPredicate> {
    let translation = Translation { facts, open: Reads::ALL };
    Ok(translation.decide(root, Wanted::Holds)?.into_predicate())
}

/// The same for a rule of which parts may have no SQL form: it selects every document that the rule
/// allows, and perhaps others.
pub(super) fn loose_predicate(root: &Node, facts: Facts<'_>) -> SqlPredicate {
    Translation { facts, open: Reads::ALL }.loosely(root).into_predicate()
}

/// A lookup's condition on the documents it looks at.
pub(super) struct ExistsConditions {
    /// It holds.
    pub(super) holds: SqlPredicate,
    /// It holds or fails to evaluate; `None` if it cannot fail.
    pub(super) holds_or_fails: Option<SqlPredicate>,
}

/// Translates the condition of a lookup for one document that is known.
pub(super) fn exists_conditions(exists: &Exists, facts: Facts<'_>) -> Result<ExistsConditions> {
    let open = Reads::ALL.without(Reads::DOCUMENT);
    let translation = Translation { facts, open };
    let holds = translation.decide(&exists.body, Wanted::Holds)?.into_predicate();
    let either = translation.decide(&exists.body, Wanted::HoldsOrFails)?.into_predicate();
    let holds_or_fails = (either != holds).then_some(either);
    Ok(ExistsConditions { holds, holds_or_fails })
}

/// Which of the three outcomes of a condition select a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Holds,
    HoldsOrFails,
}

/// One translation.
pub(super) struct Translation<'a> {
    facts: Facts<'a>,
    /// What is not known before a row is read.
    open: Reads,
}

impl<'a> Translation<'a> {
    /// Whether the outcome of a rule is a wanted one, two-valued. `IS TRUE` and `IS NOT FALSE`
    /// distribute over AND and OR, so they are put on the terms that can fail only: the others stay in
    /// a form that an index serves.
    fn decide(&self, node: &'a Node, wanted: Wanted) -> Result<Truth> {
        let truth = match &node.kind {
            Kind::And(left, right) if self.is_open(node) => {
                self.decide(left, wanted)?.and(self.decide(right, wanted)?)
            }
            Kind::Or(left, right) if self.is_open(node) => {
                self.decide(left, wanted)?.or(self.decide(right, wanted)?)
            }
            _ => self.truth(node)?,
        };
        let truth = match truth {
            Truth::Fault => Truth::Known(wanted == Wanted::HoldsOrFails),
            Truth::Sql { sql, total: false } => {
                let test = if wanted == Wanted::Holds { ") IS TRUE)" } else { ") IS NOT FALSE)" };
                Truth::Sql { sql: Fragment::new().text("((").add(&sql).text(test), total: true }
            }
            other => other,
        };
        truth.bounded(node.offset)
    }

    /// What of a rule can be decided in SQL; the rest counts as true.
    fn loosely(&self, node: &'a Node) -> Truth {
        match &node.kind {
            Kind::And(left, right) if self.is_open(node) => self.loosely(left).and(self.loosely(right)),
            Kind::Or(left, right) if self.is_open(node) => self.loosely(left).or(self.loosely(right)),
            _ => self.decide(node, Wanted::Holds).unwrap_or(Truth::Known(true)),
        }
    }

    /// Whether the value depends on what is not known yet.
    pub(super) fn is_open(&self, node: &Node) -> bool {
        node.reads.any_of(self.open)
    }

    /// An expression used as a condition: anything but a bool is an error.
    pub(super) fn truth(&self, node: &'a Node) -> Result<Truth> {
        if !self.is_open(node) {
            return Ok(match Machine::new(self.facts).truth(node) {
                Ok(value) => Truth::Known(value),
                Err(_) => Truth::Fault,
            });
        }
        let truth = match &node.kind {
            Kind::And(left, right) => self.truth(left)?.and(self.truth(right)?),
            Kind::Or(left, right) => self.truth(left)?.or(self.truth(right)?),
            Kind::Not(inner) => self.truth(inner)?.not(),
            Kind::Conditional(condition, yes, no) => {
                let (condition, yes, no) = (self.truth(condition)?, self.truth(yes)?, self.truth(no)?);
                Truth::choose(condition, yes, no)
            }
            Kind::Equal(left, right) => self.equal(left, right)?,
            Kind::NotEqual(left, right) => self.equal(left, right)?.not(),
            Kind::Order(order, left, right) => self.order(*order, left, right)?,
            Kind::In(item, range) => self.membership(node, item, range)?,
            Kind::TextTest(test, text, part) => self.text_test(*test, text, part)?,
            Kind::IsSet(inner) => match &inner.kind {
                Kind::Field(field) => is_null(field).not(),
                Kind::Found { .. } => match self.part(inner)? {
                    Part::Sql(term) => {
                        Truth::Sql { sql: Fragment::new().add(&term.sql).text(" IS NOT NULL"), total: true }
                    }
                    Part::Known(val) => Truth::Known(!matches!(val, Val::Null)),
                    Part::Fault => Truth::Fault,
                },
                _ => return Err(no_form(node)),
            },
            Kind::Exists(exists) => self.exists(exists)?,
            Kind::Found { field, .. } if field.ty == Type::Bool => match self.part(node)? {
                Part::Sql(term) => Truth::Sql { sql: term.sql, total: false },
                _ => Truth::Fault,
            },
            Kind::Field(field) if field.ty == Type::Bool => {
                Truth::Sql { sql: Fragment::new().text(field.column()), total: false }
            }
            _ => return Err(no_form(node)),
        };
        truth.bounded(node.offset)
    }

    /// An expression used as a value.
    pub(super) fn part(&self, node: &'a Node) -> Result<Part<'a>> {
        if !self.is_open(node) {
            return Ok(Machine::new(self.facts).value(node).map_or(Part::Fault, Part::Known));
        }
        let part = match &node.kind {
            Kind::Field(field) => match &field.ty {
                Type::Dynamic => {
                    return Err(no_form(node).hint(
                        "in a list rule a json field can only be compared with null or stand right of `in`",
                    ));
                }
                Type::List(_) => {
                    return Err(no_form(node).hint("in a list rule use `in` or size() on this field"));
                }
                ty => Part::Sql(Term {
                    sql: Fragment::new().text(field.column()),
                    meaning: Meaning::Null,
                    ty: ty.clone(),
                }),
            },
            Kind::Found { collection, id, field } => self.found(node, collection, id, field)?,
            Kind::Size(inner) => self.size(inner)?,
            Kind::Negate(inner) if inner.ty == Type::Int => {
                let zero = Part::Known(Val::Int(0));
                combine(Arithmetic::Subtract, zero, self.part(inner)?)
            }
            Kind::Arithmetic(op, left, right) if has_sql(*op) && node.ty == Type::Int => {
                combine(*op, self.part(left)?, self.part(right)?)
            }
            Kind::Arithmetic(..) | Kind::Negate(_) => {
                return Err(no_form(node).hint("in a list rule only + - * of integers may use a field"));
            }
            Kind::Conditional(..) => {
                return Err(no_form(node).hint("compare inside each branch of ?: instead"));
            }
            Kind::And(..)
            | Kind::Or(..)
            | Kind::Not(_)
            | Kind::Equal(..)
            | Kind::NotEqual(..)
            | Kind::Order(..)
            | Kind::In(..)
            | Kind::TextTest(..)
            | Kind::Exists(_)
            | Kind::IsSet(_) => match self.truth(node)? {
                Truth::Known(value) => Part::Known(Val::Bool(value)),
                Truth::Fault => Part::Fault,
                Truth::Sql { sql, total } => Part::Sql(Term {
                    sql: Fragment::new().text("(").add(&sql).text(")"),
                    meaning: if total { Meaning::Value } else { Meaning::Error },
                    ty: Type::Bool,
                }),
            },
            _ => return Err(no_form(node)),
        };
        part.bounded(node.offset)
    }

    fn equal(&self, left: &'a Node, right: &'a Node) -> Result<Truth> {
        for (one, other) in [(left, right), (right, left)] {
            if let (Kind::Field(field), Kind::Literal(Val::Null)) = (&one.kind, &other.kind)
                && self.is_open(one)
            {
                return Ok(is_null(field));
            }
        }
        Ok(equal_parts(&self.part(left)?, &self.part(right)?))
    }

    fn order(&self, order: Order, left: &'a Node, right: &'a Node) -> Result<Truth> {
        let (left, right) = (self.part(left)?, self.part(right)?);
        if !left.ty().is_ordered_with(&right.ty()) {
            return Ok(Truth::Fault);
        }
        let (Some(a), Some(b)) = (left.sql(), right.sql()) else { return Ok(Truth::Fault) };
        let sign = match order {
            Order::Less => " < ",
            Order::LessOrEqual => " <= ",
            Order::Greater => " > ",
            Order::GreaterOrEqual => " >= ",
        };
        let total = left.is_total() && right.is_total();
        Ok(Truth::Sql { sql: Fragment::new().add(&a).text(sign).add(&b), total })
    }

    /// A field of another document, as a subquery.
    fn found(
        &self,
        node: &'a Node,
        collection: &'a Collection,
        id: &'a Node,
        field: &'a FieldRef,
    ) -> Result<Part<'a>> {
        if matches!(field.ty, Type::Dynamic | Type::List(_)) {
            return Err(no_form(node));
        }
        let id = match self.part(id)? {
            Part::Fault => return Ok(Part::Fault),
            Part::Known(Val::Null) => return Ok(Part::Known(Val::Null)),
            Part::Known(Val::Text(id)) => Fragment::new().param(crate::value::Value::Text(id.into_owned())),
            Part::Known(_) => return Ok(Part::Fault),
            Part::Sql(term) if term.ty == Type::Text && term.meaning != Meaning::Error => term.sql,
            Part::Sql(_) => return Err(no_form(node)),
        };
        // An alias of its own: the id may name a document of the same collection.
        let (alias, key) = ("f", quote(&collection.primary().1.name));
        let select =
            format!("(SELECT {alias}.{} FROM {} AS {alias}", quote(&field.name), quote(&collection.name));
        let sql = Fragment::new().text(select).text(format!(" WHERE {alias}.{key} = ")).add(&id).text(")");
        Ok(Part::Sql(Term { sql, meaning: Meaning::Null, ty: field.ty.clone() }))
    }

    /// A lookup, as a subquery. One that would fail for a document is an error unless another holds.
    fn exists(&self, exists: &'a Exists) -> Result<Truth> {
        let from = format!("{} AS {}", quote(&exists.collection.name), row_alias(exists.depth));
        let any = |truth: &Truth| match truth {
            Truth::Known(false) | Truth::Fault => None,
            Truth::Known(true) => Some(Fragment::new().text(format!("EXISTS (SELECT 1 FROM {from})"))),
            Truth::Sql { sql, .. } => {
                Some(Fragment::new().text(format!("EXISTS (SELECT 1 FROM {from} WHERE ")).add(sql).text(")"))
            }
        };
        let holds = any(&self.decide(&exists.body, Wanted::Holds)?);
        let either = any(&self.decide(&exists.body, Wanted::HoldsOrFails)?);
        let none = || Fragment::new().text("0");
        Ok(match (holds, either) {
            (None, None) => Truth::Known(false),
            (Some(holds), Some(either)) if holds.text == either.text => {
                Truth::Sql { sql: holds, total: true }
            }
            (holds, either) => {
                let sql = Fragment::new()
                    .text("CASE WHEN ")
                    .add(&holds.unwrap_or_else(none))
                    .text(" THEN 1 WHEN ")
                    .add(&either.unwrap_or_else(none))
                    .text(" THEN NULL ELSE 0 END");
                Truth::Sql { sql, total: false }
            }
        })
    }

    fn size(&self, inner: &'a Node) -> Result<Part<'a>> {
        let Kind::Field(field) = &inner.kind else { return Err(no_form(inner)) };
        let name = field.column();
        let text = match &field.ty {
            // length() ends at a zero character; in memory the size of such a text is an error too.
            Type::Text => format!("CASE WHEN instr({name}, char(0)) = 0 THEN length({name}) END"),
            Type::Bytes => format!("length({name})"),
            Type::List(_) => format!("json_array_length({name})"),
            _ => return Err(no_form(inner)),
        };
        Ok(Part::Sql(Term { sql: Fragment::new().text(text), meaning: Meaning::Error, ty: Type::Int }))
    }
}

/// The refusal of an expression that only memory can evaluate.
pub(super) fn no_form(node: &Node) -> Refusal {
    Refusal::new(node.offset, "this expression has no SQL form, which a list rule needs")
        .hint("simplify it, or split `read` into `get` and `list`")
}

/// Whether the operator gives an integer or an error in SQL as well.
fn has_sql(op: Arithmetic) -> bool {
    matches!(op, Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply)
}

/// `field == null`. A `json` field may hold the JSON value null as well.
fn is_null(field: &FieldRef) -> Truth {
    let name = field.column();
    let text = match field.ty {
        Type::Dynamic => format!("(coalesce(json_type({name}), 'null') = 'null')"),
        _ => format!("({name} IS NULL)"),
    };
    Truth::Sql { sql: Fragment::new().text(text), total: true }
}

/// `+ - *` of integers. SQLite turns an overflow into a real, which makes it visible.
fn combine<'a>(op: Arithmetic, left: Part<'a>, right: Part<'a>) -> Part<'a> {
    let fits = |part: &Part<'_>| part.ty() == Type::Int;
    if !fits(&left) || !fits(&right) {
        return Part::Fault;
    }
    let (Some(a), Some(b)) = (left.sql(), right.sql()) else { return Part::Fault };
    let sign = match op {
        Arithmetic::Add => " + ",
        Arithmetic::Subtract => " - ",
        _ => " * ",
    };
    let result = Fragment::new().add(&a).text(sign).add(&b);
    let sql = Fragment::new()
        .text("CASE WHEN typeof(")
        .add(&result)
        .text(") = 'integer' THEN ")
        .add(&result)
        .text(" END");
    Part::Sql(Term {
        sql: Fragment::new().text("(").add(&sql).text(")"),
        meaning: Meaning::Error,
        ty: Type::Int,
    })
}

/// `==` with cel-spec's meaning: null equals null, different types are unequal, errors stay errors.
pub(super) fn equal_parts(left: &Part<'_>, right: &Part<'_>) -> Truth {
    match (left, right) {
        (Part::Fault, _) | (_, Part::Fault) => Truth::Fault,
        (Part::Known(a), Part::Known(b)) => Truth::Known(a.equals(b)),
        (Part::Sql(term), Part::Known(val)) | (Part::Known(val), Part::Sql(term)) => equal_known(term, val),
        (Part::Sql(a), Part::Sql(b)) => {
            let joined = |sign: &str| Fragment::new().add(&a.sql).text(sign).add(&b.sql);
            match (a.meaning, b.meaning) {
                (Meaning::Null | Meaning::Value, Meaning::Null | Meaning::Value) => {
                    Truth::Sql { sql: joined(" IS "), total: true }
                }
                (Meaning::Error, Meaning::Null) => null_or_error(b, a),
                (Meaning::Null, Meaning::Error) => null_or_error(a, b),
                (Meaning::Error, _) | (_, Meaning::Error) => Truth::Sql { sql: joined(" = "), total: false },
            }
        }
    }
}

/// Equality of a column that may be null and a term that may fail: a null column must be unequal to
/// every value and still let the error through. A blob stands for the null; no such term is a blob.
fn null_or_error(nullable: &Term, fallible: &Term) -> Truth {
    let sql = Fragment::new().text("coalesce(").add(&nullable.sql).text(", x'') = ").add(&fallible.sql);
    Truth::Sql { sql, total: false }
}

fn equal_known(term: &Term, val: &Val<'_>) -> Truth {
    let (sql, total) = match (val, term.meaning) {
        (Val::Null, Meaning::Null) => (Fragment::new().add(&term.sql).text(" IS NULL"), true),
        (Val::Null, meaning) => return not_null_but(term, meaning),
        (val, meaning) => match bind(val, &term.ty) {
            None => return not_null_but(term, meaning),
            Some(param) => {
                let sign = if meaning == Meaning::Error { " = " } else { " IS " };
                (Fragment::new().add(&term.sql).text(sign).param(param), meaning != Meaning::Error)
            }
        },
    };
    Truth::Sql { sql, total }
}
