//! A checked rule. Made by `lower` only, so whoever walks it may rely on: names are resolved, the
//! depth and the number of nodes are bounded, functions have the right number of arguments.

use std::sync::Arc;

use regex::Regex;

use super::types::Type;
use super::val::Val;
use crate::schema::Collection;
use crate::sql::{column, quote};

/// Sources of values that are not known before a row is read or another document looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads(u8);

impl Reads {
    pub(super) const NOTHING: Self = Self(0);
    /// `doc` or `old`.
    pub(super) const DOCUMENT: Self = Self(1);
    /// Another document.
    pub(super) const LOOKUP: Self = Self(2);

    /// The variable of a lookup, by how many lookups are around it.
    pub(super) const fn row(depth: usize) -> Self {
        Self(4 << depth)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// All of them.
    pub(super) const ALL: Self = Self(u8::MAX);
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) ty: Type,
    /// Where it stands in the text, in bytes.
    pub(super) offset: usize,
    /// What it reads that may not be known yet.
    pub(super) reads: Reads,
}

impl Node {
    /// Calls `visit` with this expression and all inside it.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match &self.kind {
            Kind::Literal(_)
            | Kind::Auth(_)
            | Kind::Request(_)
            | Kind::RequestEntry(..)
            | Kind::Field(_)
            | Kind::Variable(_) => {}
            Kind::Select(inner, _)
            | Kind::HasKey(inner, _)
            | Kind::IsSet(inner)
            | Kind::Not(inner)
            | Kind::Negate(inner)
            | Kind::Size(inner)
            | Kind::Matches(inner, _)
            | Kind::Convert(_, inner)
            | Kind::Found { id: inner, .. }
            | Kind::Exists(Exists { body: inner, .. }) => inner.visit(visit),
            Kind::List(items) => items.iter().for_each(|item| item.visit(visit)),
            Kind::And(left, right)
            | Kind::Or(left, right)
            | Kind::Equal(left, right)
            | Kind::NotEqual(left, right)
            | Kind::Order(_, left, right)
            | Kind::Arithmetic(_, left, right)
            | Kind::In(left, right)
            | Kind::Index(left, right)
            | Kind::TextTest(_, left, right)
            | Kind::Quantify { range: left, body: right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Kind::Conditional(condition, yes, no) => {
                condition.visit(visit);
                yes.visit(visit);
                no.visit(visit);
            }
        }
    }
}

/// What an expression does.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Val<'static>),
    Auth(AuthFact),
    Request(RequestFact),
    /// `request.query.page`: an entry of one of the maps of `request`.
    RequestEntry(RequestFact, String),
    Field(FieldRef),
    /// `collection("c").get(id).field`; null where there is no such document.
    Found {
        collection: Arc<Collection>,
        id: Box<Node>,
        field: FieldRef,
    },
    /// `collection("c").exists(row, body)`.
    Exists(Exists),
    /// Variable of a macro, by its place in the stack of loops.
    Variable(usize),
    /// A key of a map.
    Select(Box<Node>, String),
    /// `has(map.key)`.
    HasKey(Box<Node>, String),
    /// `has(doc.field)`, `has(auth.id)`: not null.
    IsSet(Box<Node>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
    NotEqual(Box<Node>, Box<Node>),
    Order(Order, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Index(Box<Node>, Box<Node>),
    Size(Box<Node>),
    TextTest(TextTest, Box<Node>, Box<Node>),
    Matches(Box<Node>, Regex),
    Convert(Convert, Box<Node>),
    Quantify {
        quantifier: Quantifier,
        range: Box<Node>,
        body: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthFact {
    Id,
    Email,
    Role,
    Verified,
    Metadata,
    Scopes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFact {
    Method,
    Path,
    Ip,
    Time,
    Query,
    Headers,
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Doc,
    Old,
    /// The variable of a lookup, by how many lookups are around it.
    Row(usize),
}

/// A field of a document, by its place.
#[derive(Clone, Debug)]
pub(super) struct FieldRef {
    pub(super) which: Which,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) ty: Type,
}

impl FieldRef {
    /// Its column in SQL.
    pub(super) fn column(&self) -> String {
        match self.which {
            Which::Doc | Which::Old => column(&self.name),
            Which::Row(depth) => format!("{}.{}", row_alias(depth), quote(&self.name)),
        }
    }
}

/// The alias in SQL of the documents that a lookup looks at.
pub(super) fn row_alias(depth: usize) -> String {
    format!("r{depth}")
}

/// Whether there is a document of a collection for which a condition with an SQL form holds.
#[derive(Clone, Debug)]
pub(super) struct Exists {
    pub(super) collection: Arc<Collection>,
    /// How many lookups are around it.
    pub(super) depth: usize,
    pub(super) body: Box<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convert {
    Int,
    Bool,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}
