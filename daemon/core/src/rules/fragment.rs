//! Pieces of SQL under construction: text with parameters, terms that say what their NULL means,
//! and conditions that are folded as far as they are known.

use super::limits::SQL_MAX_BYTES;
use super::place::Refusal;
use super::time;
use super::types::Type;
use super::val::Val;
use crate::sql::{SqlExpr, SqlPredicate};
use crate::value::Value;

/// SQL text with its parameters in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragment {
    pub(super) text: String,
    pub(super) params: Vec<Value>,
}

/// What NULL stands for in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The term is never NULL.
    Value,
    /// A null value.
    Null,
    /// An evaluation error.
    Error,
}

/// A value that depends on the row.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) sql: Fragment,
    pub(super) meaning: Meaning,
    pub(super) ty: Type,
}

/// A value as far as it is known.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Known(Val<'a>),
    /// The evaluation fails for every row.
    Fault,
    Sql(Term),
}

/// A condition as far as it is known. In SQL it is 1, 0 or, unless `total`, NULL for an error.
#[derive(Debug)]
pub(super) enum Truth {
    Known(bool),
    /// The evaluation fails for every row.
    Fault,
    Sql {
        sql: Fragment,
        total: bool,
    },
}

impl Fragment {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.text.push_str(text.as_ref());
        self
    }

    pub(super) fn add(mut self, other: &Self) -> Self {
        self.text.push_str(&other.text);
        self.params.extend_from_slice(&other.params);
        self
    }

    pub(super) fn param(mut self, value: Value) -> Self {
        self.text.push('?');
        self.params.push(value);
        self
    }

    fn check(&self, offset: usize) -> Result<(), Refusal> {
        if self.text.len() > SQL_MAX_BYTES {
            return Err(Refusal::new(offset, "the SQL form of this rule is too long"));
        }
        Ok(())
    }
}

impl Part<'_> {
    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Known(val) => val.ty(),
            Self::Fault => Type::Null,
            Self::Sql(term) => term.ty.clone(),
        }
    }

    /// Its SQL; nothing for what cannot be a parameter.
    pub(super) fn sql(&self) -> Option<Fragment> {
        match self {
            Self::Known(val) => bind(val, &val.ty()).map(|value| Fragment::new().param(value)),
            Self::Fault => None,
            Self::Sql(term) => Some(term.sql.clone()),
        }
    }

    /// Whether it is neither null nor an error in any row.
    pub(super) fn is_total(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Fault => false,
            Self::Sql(term) => term.meaning == Meaning::Value,
        }
    }

    pub(super) fn bounded(self, offset: usize) -> Result<Self, Refusal> {
        if let Self::Sql(term) = &self {
            term.sql.check(offset)?;
        }
        Ok(self)
    }
}

impl Truth {
    pub(super) fn bounded(self, offset: usize) -> Result<Self, Refusal> {
        if let Self::Sql { sql, .. } = &self {
            sql.check(offset)?;
        }
        Ok(self)
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Known(value) => Self::Known(!value),
            Self::Fault => Self::Fault,
            Self::Sql { sql, total } => {
                Self::Sql { sql: Fragment::new().text("(NOT (").add(&sql).text("))"), total }
            }
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        self.connect(other, false, " AND ")
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.connect(other, true, " OR ")
    }

    /// AND is decided by false, OR by true; the other value leaves the decision to the other side.
    fn connect(self, other: Self, decisive: bool, sign: &str) -> Self {
        match (self, other) {
            (Self::Known(value), other) | (other, Self::Known(value)) => {
                if value == decisive {
                    Self::Known(value)
                } else {
                    other
                }
            }
            (Self::Fault, Self::Fault) => Self::Fault,
            (a, b) => {
                let total = a.is_total() && b.is_total();
                let sql = Fragment::new().text("(").add(&a.sql()).text(sign).add(&b.sql()).text(")");
                Self::Sql { sql, total }
            }
        }
    }

    /// `condition ? yes : no`; an error of the condition is the error of the whole.
    pub(super) fn choose(condition: Self, yes: Self, no: Self) -> Self {
        match condition {
            Self::Known(true) => yes,
            Self::Known(false) => no,
            Self::Fault => Self::Fault,
            Self::Sql { sql, total } => {
                let total = total && yes.is_total() && no.is_total();
                let sql = Fragment::new()
                    .text("(CASE (")
                    .add(&sql)
                    .text(") WHEN 1 THEN (")
                    .add(&yes.sql())
                    .text(") WHEN 0 THEN (")
                    .add(&no.sql())
                    .text(") END)");
                Self::Sql { sql, total }
            }
        }
    }

    /// What is left to ask of a row. An error selects none.
    pub(super) fn into_predicate(self) -> SqlPredicate {
        match self {
            Self::Known(true) => SqlPredicate::Always,
            Self::Known(false) | Self::Fault => SqlPredicate::Never,
            Self::Sql { sql, .. } => SqlPredicate::When(SqlExpr { text: sql.text, params: sql.params }),
        }
    }

    fn is_total(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Fault => false,
            Self::Sql { total, .. } => *total,
        }
    }

    fn sql(self) -> Fragment {
        match self {
            Self::Known(true) => Fragment::new().text("1"),
            Self::Known(false) => Fragment::new().text("0"),
            Self::Fault => Fragment::new().text("NULL"),
            Self::Sql { sql, .. } => sql,
        }
    }
}

/// The parameter for a known value beside a term of this type. `None`: it is null, or of a type
/// that is never equal, which must not reach SQLite, where 1 could equal '1' or true.
pub(super) fn bind(val: &Val<'_>, ty: &Type) -> Option<Value> {
    match (val, ty) {
        (Val::Bool(value), Type::Bool) => Some(Value::Integer(i64::from(*value))),
        (Val::Int(value), Type::Int | Type::Float) => Some(Value::Integer(*value)),
        (Val::Float(value), Type::Int | Type::Float) => Some(Value::Real(*value)),
        (Val::Text(text), Type::Text) => Some(Value::Text(text.to_string())),
        (Val::Bytes(bytes), Type::Bytes) => Some(Value::Blob(bytes.to_vec())),
        (Val::Timestamp(at), Type::Timestamp) => Some(Value::Text(time::format_timestamp(*at))),
        _ => None,
    }
}

/// Unequal in every row, unless the term fails.
pub(super) fn not_null_but(term: &Term, meaning: Meaning) -> Truth {
    if meaning != Meaning::Error {
        return Truth::Known(false);
    }
    let sql = Fragment::new().text("CASE WHEN ").add(&term.sql).text(" IS NOT NULL THEN 0 END");
    Truth::Sql { sql, total: false }
}
