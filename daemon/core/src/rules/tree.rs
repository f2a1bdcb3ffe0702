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
