//! Static types of expressions. They exist to refuse a rule that can only fail, and to choose an
//! SQL form; they are never trusted at run time, where every operation looks at the value again.

use std::fmt;

use crate::schema::FieldKind;

/// The type of an expression. Each may also be null, except where a literal says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// The literal `null`.
    Null,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    Timestamp,
    Duration,
    List(Box<Type>),
    /// Keys are text.
    Map(Box<Type>),
    /// Known at run time only: what lies in a `json` field.
    Dynamic,
}

impl Type {
    /// The type of a field's values.
    pub(super) fn of_field(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Int => Self::Int,
            FieldKind::Float => Self::Float,
            FieldKind::Bool => Self::Bool,
            FieldKind::Timestamp => Self::Timestamp,
            FieldKind::Json => Self::Dynamic,
            FieldKind::Blob => Self::Bytes,
            FieldKind::Select(options) if options.max_select > 1 => Self::List(Box::new(Self::Text)),
            FieldKind::Id
            | FieldKind::Uuid
            | FieldKind::String
            | FieldKind::Text
            | FieldKind::RichText(_)
            | FieldKind::Date
            | FieldKind::Email
            | FieldKind::Url
            | FieldKind::Select(_)
            | FieldKind::Relation { .. } => Self::Text,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }

    /// Whether the value could be of the other type.
    pub(super) fn admits(&self, wanted: &Self) -> bool {
        self == wanted || *self == Self::Dynamic
    }

    /// Whether `==` can ever hold between the two.
    pub(super) fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dynamic | Self::Null, _) | (_, Self::Dynamic | Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.is_comparable(b),
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Whether `<` can ever succeed between the two.
    pub(super) fn is_ordered_with(&self, other: &Self) -> bool {
        let ordered = |ty: &Self| !matches!(ty, Self::Null | Self::List(_) | Self::Map(_));
        ordered(self) && ordered(other) && self.is_comparable(other)
    }

    /// The type that holds values of both.
    pub(super) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Null, ty) | (ty, Self::Null) => ty.clone(),
            (a, b) if a == b => a.clone(),
            _ => Self::Dynamic,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Float => out.write_str("double"),
            Self::Text => out.write_str("string"),
            Self::Bytes => out.write_str("bytes"),
            Self::Timestamp => out.write_str("timestamp"),
            Self::Duration => out.write_str("duration"),
            Self::List(item) => write!(out, "list({item})"),
            Self::Map(item) => write!(out, "map(string, {item})"),
            Self::Dynamic => out.write_str("dyn"),
        }
    }
}
