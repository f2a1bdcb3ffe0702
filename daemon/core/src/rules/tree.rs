//! A checked rule. Made by `lower` only, so whoever walks it may rely on: names are resolved, the
//! depth and the number of nodes are bounded, functions have the right number of arguments.

use regex::Regex;

use super::types::Type;
use super::val::Val;

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) ty: Type,
    /// Where it stands in the text, in bytes.
    pub(super) offset: usize,
    /// Whether it reads `doc` or `old`; what does not is known before any row is read.
    pub(super) reads_document: bool,
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
            | Kind::Convert(_, inner) => inner.visit(visit),
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFact {
    Method,
    Path,
    Ip,
    Time,
    Query,
    Headers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Doc,
    Old,
}

/// A field of a document, by its place.
#[derive(Clone, Debug)]
pub(super) struct FieldRef {
    pub(super) which: Which,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) ty: Type,
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
    Double,
    Text,
    Timestamp,
    Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}
