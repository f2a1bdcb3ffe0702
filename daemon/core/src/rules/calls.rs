//! Operators, functions and macros: how many operands they take, of which types, and what they
//! give. What is not in these tables does not exist in rules.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use regex::RegexBuilder;

use super::eval::{Facts, Machine};
use super::limits::{MACRO_DEPTH_MAX, PATTERN_MAX_BYTES};
use super::lower::{Lowering, leaf};
use super::place::{Refusal, suggest};
use super::tree::{Arithmetic, Convert, Kind, Node, Order, Quantifier, Reads, TextTest};
use super::types::Type;
use super::val::Val;
use crate::identity::{Identity, RequestFacts};

/// Names that can be called, for hints.
const FUNCTIONS: [&str; 17] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "has",
    "exists",
    "all",
    "exists_one",
    "dyn",
    "bool",
    "int",
    "double",
    "string",
    "bytes",
    "timestamp",
    "duration",
];

/// Lowers a call.
pub(super) fn call(lowering: &mut Lowering<'_>, offset: usize, call: &CallExpr) -> Result<Node, Refusal> {
    match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
        (name, None, [inner]) if name == operators::LOGICAL_NOT || name == operators::NEGATE => {
            unary(lowering, offset, name, inner)
        }
        (operators::CONDITIONAL, None, [condition, yes, no]) => {
            conditional(lowering, offset, condition, yes, no)
        }
        (operators::INDEX, None, [range, at]) => index(lowering, offset, range, at),
        ("has", None, [inner]) => has(lowering, offset, inner),
        ("size", None, [inner]) => size(lowering, offset, inner),
        ("size", Some(inner), []) => size(lowering, offset, inner),
        ("matches", Some(text), [pattern]) => matches(lowering, offset, text, pattern),
        ("matches", None, [text, pattern]) => matches(lowering, offset, text, pattern),
        ("exists", Some(range), [variable, body]) => match lowering.exists(offset, range, variable, body)? {
            Some(exists) => Ok(exists),
            None => quantify(lowering, offset, Quantifier::Exists, range, variable, body),
        },
        ("collection" | "get", ..) => Err(Refusal::new(offset, "a lookup is not written like this").hint(
            "write collection(\"rooms\").get(id).field or collection(\"members\").exists(member, condition)",
        )),
        ("all", Some(range), [variable, body]) => {
            quantify(lowering, offset, Quantifier::All, range, variable, body)
        }
        ("exists_one" | "existsOne", Some(range), [variable, body]) => {
            quantify(lowering, offset, Quantifier::ExistsOne, range, variable, body)
        }
        (name, Some(text), [part]) if text_test(name).is_some() => {
            let Some(test) = text_test(name) else { return Err(unknown(offset, name)) };
            let (text, part) =
                (operand(lowering, text, &Type::Text, name)?, operand(lowering, part, &Type::Text, name)?);
            Ok(binary(offset, Type::Bool, text, part, |text, part| Kind::TextTest(test, text, part)))
        }
        ("dyn", None, [inner]) => dynamic(lowering, offset, inner),
        (name, None, [inner]) if conversion(name).is_some() => convert(lowering, offset, name, inner),
        (name, None, [left, right]) if is_operator(name) => operator(lowering, offset, name, left, right),
        (name, ..) => Err(unknown(offset, name)),
    }
}

fn unknown(offset: usize, name: &str) -> Refusal {
    if FUNCTIONS.contains(&name) {
        let hint = match name {
            "has" => "has(doc.field)",
            "exists" | "all" | "exists_one" => "list.exists(item, condition)",
            "startsWith" | "endsWith" | "contains" | "matches" => "text.startsWith(\"a\")",
            _ => "size(value), int(value)",
        };
        return Refusal::new(offset, format!("{name}() is not called like this"))
            .hint(format!("write {hint}"));
    }
    let refusal = Refusal::new(offset, format!("{name}() is not available in rules"));
    match name {
        "map" | "filter" => refusal.hint("use exists, all or exists_one"),
        "now" => refusal.hint("use request.time"),
        _ => refusal.hint(suggest(name, FUNCTIONS.into_iter())),
    }
}

/// Lowers an operand and checks its type.
fn operand(lowering: &mut Lowering<'_>, expr: &IdedExpr, wanted: &Type, of: &str) -> Result<Node, Refusal> {
    let node = lowering.node(expr)?;
    if node.ty.admits(wanted) {
        return Ok(node);
    }
    Err(Refusal::new(node.offset, format!("{} takes {wanted}, not {}", sign(of), node.ty)))
}

fn unary(lowering: &mut Lowering<'_>, offset: usize, name: &str, inner: &IdedExpr) -> Result<Node, Refusal> {
    if name == operators::LOGICAL_NOT {
        let inner = operand(lowering, inner, &Type::Bool, name)?;
        return Ok(one(offset, Type::Bool, inner, Kind::Not));
    }
    let inner = lowering.node(inner)?;
    match inner.ty {
        Type::Int | Type::Float | Type::Dynamic => {
            let ty = inner.ty.clone();
            Ok(one(offset, ty, inner, Kind::Negate))
        }
        _ => Err(Refusal::new(inner.offset, format!("- takes a number, not {}", inner.ty))),
    }
}

fn conditional(
    lowering: &mut Lowering<'_>,
    offset: usize,
    condition: &IdedExpr,
    yes: &IdedExpr,
    no: &IdedExpr,
) -> Result<Node, Refusal> {
    let condition = operand(lowering, condition, &Type::Bool, operators::CONDITIONAL)?;
    let (yes, no) = (lowering.node(yes)?, lowering.node(no)?);
    let ty = yes.ty.join(&no.ty);
    let reads = condition.reads.and(yes.reads).and(no.reads);
    let kind = Kind::Conditional(Box::new(condition), Box::new(yes), Box::new(no));
    Ok(Node { kind, ty, offset, reads })
}

fn index(
    lowering: &mut Lowering<'_>,
    offset: usize,
    range: &IdedExpr,
    at: &IdedExpr,
) -> Result<Node, Refusal> {
    if let Expr::Literal(LiteralValue::String(name)) = &at.expr {
        return lowering.member(lowering.offset(at), range, name.inner());
    }
    let (range, at) = (lowering.node(range)?, lowering.node(at)?);
    let (key, ty) = match &range.ty {
        Type::List(item) => (Type::Int, (**item).clone()),
        Type::Map(item) => (Type::Text, (**item).clone()),
        Type::Dynamic => (at.ty.clone(), Type::Dynamic),
        other => return Err(Refusal::new(offset, format!("[] takes a list or a map, not {other}"))),
    };
    if !at.ty.admits(&key) {
        return Err(Refusal::new(at.offset, format!("{} is indexed by {key}, not {}", range.ty, at.ty)));
    }
    Ok(binary(offset, ty, range, at, Kind::Index))
}

fn has(lowering: &mut Lowering<'_>, offset: usize, inner: &IdedExpr) -> Result<Node, Refusal> {
    let wrong = || Refusal::new(offset, "has() takes a field").hint("write has(doc.field)");
    if !matches!(inner.expr, Expr::Select(_)) {
        return Err(wrong());
    }
    let inner = lowering.node(inner)?;
    let reads = inner.reads;
    let kind = match inner.kind {
        Kind::Select(map, key) => Kind::HasKey(map, key),
        Kind::RequestEntry(fact, key) => {
            let map = leaf(Kind::Request(fact), Type::Map(Box::new(Type::Text)), inner.offset);
            Kind::HasKey(Box::new(map), key)
        }
        _ => Kind::IsSet(Box::new(inner)),
    };
    Ok(Node { kind, ty: Type::Bool, offset, reads })
}

fn size(lowering: &mut Lowering<'_>, offset: usize, inner: &IdedExpr) -> Result<Node, Refusal> {
    let inner = lowering.node(inner)?;
    match inner.ty {
        Type::Text | Type::Bytes | Type::List(_) | Type::Map(_) | Type::Dynamic => {
            Ok(one(offset, Type::Int, inner, Kind::Size))
        }
        _ => Err(Refusal::new(inner.offset, format!("{} has no size", inner.ty))),
    }
}

/// `dyn(x)`: the same value, of a type that is looked at when the rule is evaluated. Not for documents,
/// whose types choose the SQL form.
fn dynamic(lowering: &mut Lowering<'_>, offset: usize, inner: &IdedExpr) -> Result<Node, Refusal> {
    let inner = lowering.node(inner)?;
    if inner.reads == Reads::NOTHING {
        return Ok(Node { ty: Type::Dynamic, ..inner });
    }
    Err(Refusal::new(offset, "dyn() does not take what comes from a document").hint("leave dyn() out"))
}

fn matches(
    lowering: &mut Lowering<'_>,
    offset: usize,
    text: &IdedExpr,
    pattern: &IdedExpr,
) -> Result<Node, Refusal> {
    let at = lowering.offset(pattern);
    let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
        return Err(Refusal::new(at, "the pattern of matches() must be written out")
            .hint("a pattern that comes from a request or a document is never run"));
    };
    let pattern = RegexBuilder::new(literal.inner())
        .size_limit(PATTERN_MAX_BYTES)
        .dfa_size_limit(PATTERN_MAX_BYTES)
        .nest_limit(32)
        .build()
        .map_err(|_| Refusal::new(at, "the pattern is not valid or too large"))?;
    let text = operand(lowering, text, &Type::Text, "matches")?;
    Ok(one(offset, Type::Bool, text, |text| Kind::Matches(text, pattern)))
}

fn quantify(
    lowering: &mut Lowering<'_>,
    offset: usize,
    quantifier: Quantifier,
    range: &IdedExpr,
    variable: &IdedExpr,
    body: &IdedExpr,
) -> Result<Node, Refusal> {
    let name = lowering.loop_variable(variable)?;
    if lowering.variables.len() >= MACRO_DEPTH_MAX {
        return Err(Refusal::new(offset, format!("loops are nested more than {MACRO_DEPTH_MAX} deep")));
    }
    let range = lowering.node(range)?;
    let item = match &range.ty {
        Type::List(item) => (**item).clone(),
        Type::Map(_) => Type::Text,
        Type::Dynamic => Type::Dynamic,
        other => return Err(Refusal::new(range.offset, format!("{other} is not a list"))),
    };
    lowering.variables.push((name, item));
    let body = operand(lowering, body, &Type::Bool, "a condition");
    lowering.variables.pop();
    Ok(binary(offset, Type::Bool, range, body?, |range, body| Kind::Quantify { quantifier, range, body }))
}

fn text_test(name: &str) -> Option<TextTest> {
    match name {
        "startsWith" => Some(TextTest::StartsWith),
        "endsWith" => Some(TextTest::EndsWith),
        "contains" => Some(TextTest::Contains),
        _ => None,
    }
}

fn conversion(name: &str) -> Option<(Convert, Type, &'static [Type])> {
    match name {
        "int" => Some((Convert::Int, Type::Int, &[Type::Int, Type::Float, Type::Text, Type::Timestamp])),
        "double" => Some((Convert::Double, Type::Float, &[Type::Float, Type::Int, Type::Text])),
        "bool" => Some((Convert::Bool, Type::Bool, &[Type::Bool, Type::Text])),
        "string" => Some((
            Convert::Text,
            Type::Text,
            &[Type::Text, Type::Int, Type::Float, Type::Bool, Type::Bytes, Type::Timestamp, Type::Duration],
        )),
        "bytes" => Some((Convert::Bytes, Type::Bytes, &[Type::Bytes, Type::Text])),
        "timestamp" => Some((Convert::Timestamp, Type::Timestamp, &[Type::Timestamp, Type::Text, Type::Int])),
        "duration" => Some((Convert::Duration, Type::Duration, &[Type::Duration, Type::Text])),
        _ => None,
    }
}

fn convert(
    lowering: &mut Lowering<'_>,
    offset: usize,
    name: &str,
    inner: &IdedExpr,
) -> Result<Node, Refusal> {
    let Some((to, ty, takes)) = conversion(name) else { return Err(unknown(offset, name)) };
    let inner = lowering.node(inner)?;
    if !takes.iter().any(|wanted| inner.ty.admits(wanted)) {
        return Err(Refusal::new(inner.offset, format!("{name}() does not take {}", inner.ty)));
    }
    let written_out = matches!(inner.kind, Kind::Literal(_));
    let node = one(offset, ty.clone(), inner, |inner| Kind::Convert(to, inner));
    if !written_out {
        return Ok(node);
    }
    // A literal either always converts or never does; find out now.
    let request = RequestFacts::default();
    let val = Machine::new(Facts::new(&Identity::Anonymous, &request)).value(&node).map(Val::into_owned);
    match val {
        Ok(val) => Ok(leaf(Kind::Literal(val), ty, offset)),
        Err(fault) => Err(Refusal::new(offset, fault.to_string())),
    }
}

fn is_operator(name: &str) -> bool {
    matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR | operators::EQUALS | operators::NOT_EQUALS)
        || name == operators::IN
        || order(name).is_some()
        || arithmetic(name).is_some()
}

fn order(name: &str) -> Option<Order> {
    match name {
        operators::LESS => Some(Order::Less),
        operators::LESS_EQUALS => Some(Order::LessOrEqual),
        operators::GREATER => Some(Order::Greater),
        operators::GREATER_EQUALS => Some(Order::GreaterOrEqual),
        _ => None,
    }
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    match name {
        operators::ADD => Some(Arithmetic::Add),
        operators::SUBSTRACT => Some(Arithmetic::Subtract),
        operators::MULTIPLY => Some(Arithmetic::Multiply),
        operators::DIVIDE => Some(Arithmetic::Divide),
        operators::MODULO => Some(Arithmetic::Remainder),
        _ => None,
    }
}

fn operator(
    lowering: &mut Lowering<'_>,
    offset: usize,
    name: &str,
    left: &IdedExpr,
    right: &IdedExpr,
) -> Result<Node, Refusal> {
    if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
        let left = operand(lowering, left, &Type::Bool, name)?;
        let right = operand(lowering, right, &Type::Bool, name)?;
        let kind = if name == operators::LOGICAL_AND { Kind::And } else { Kind::Or };
        return Ok(binary(offset, Type::Bool, left, right, kind));
    }
    let (left, right) = (lowering.node(left)?, lowering.node(right)?);
    let mismatch = |hint: &str| {
        let message = format!("{} cannot be used between {} and {}", sign(name), left.ty, right.ty);
        let refusal = Refusal::new(offset, message);
        if hint.is_empty() { refusal } else { refusal.hint(hint) }
    };
    if let Some(op) = arithmetic(name) {
        let ty = arithmetic_type(op, &left.ty, &right.ty)
            .ok_or_else(|| mismatch("convert with int(), double() or string()"))?;
        return Ok(binary(offset, ty, left, right, |left, right| Kind::Arithmetic(op, left, right)));
    }
    if let Some(op) = order(name) {
        if !left.ty.is_ordered_with(&right.ty) {
            return Err(mismatch(""));
        }
        return Ok(binary(offset, Type::Bool, left, right, |left, right| Kind::Order(op, left, right)));
    }
    if name == operators::IN {
        let fits = match &right.ty {
            Type::List(item) => left.ty.is_comparable(item),
            Type::Map(_) => left.ty.admits(&Type::Text),
            Type::Dynamic => true,
            _ => false,
        };
        if !fits {
            return Err(mismatch("the right side of `in` is a list or a map"));
        }
        return Ok(binary(offset, Type::Bool, left, right, Kind::In));
    }
    if !left.ty.is_comparable(&right.ty) {
        return Err(mismatch("values of different types are never equal"));
    }
    let kind = if name == operators::EQUALS { Kind::Equal } else { Kind::NotEqual };
    Ok(binary(offset, Type::Bool, left, right, kind))
}

fn arithmetic_type(op: Arithmetic, left: &Type, right: &Type) -> Option<Type> {
    match (op, left, right) {
        (_, Type::Int, Type::Int) => Some(Type::Int),
        (op, Type::Float, Type::Float) if op != Arithmetic::Remainder => Some(Type::Float),
        (Arithmetic::Add, Type::Text, Type::Text) => Some(Type::Text),
        (Arithmetic::Add, Type::Bytes, Type::Bytes) => Some(Type::Bytes),
        (Arithmetic::Add, Type::List(a), Type::List(b)) => Some(Type::List(Box::new(a.join(b)))),
        (Arithmetic::Add | Arithmetic::Subtract, Type::Timestamp, Type::Duration)
        | (Arithmetic::Add, Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
        (Arithmetic::Subtract, Type::Timestamp, Type::Timestamp)
        | (Arithmetic::Add | Arithmetic::Subtract, Type::Duration, Type::Duration) => Some(Type::Duration),
        (_, Type::Dynamic, other) | (_, other, Type::Dynamic) => match other {
            Type::Null | Type::Bool | Type::Bytes | Type::List(_) | Type::Map(_) => None,
            _ => Some(Type::Dynamic),
        },
        _ => None,
    }
}

/// An operator as it is written: `_&&_` is `&&`.
fn sign(name: &str) -> &str {
    match name {
        operators::CONDITIONAL => "?:",
        operators::IN => "in",
        _ => name.trim_matches('_'),
    }
}

fn one(offset: usize, ty: Type, inner: Node, kind: impl FnOnce(Box<Node>) -> Kind) -> Node {
    let reads = inner.reads;
    Node { kind: kind(Box::new(inner)), ty, offset, reads }
}

fn binary(
    offset: usize,
    ty: Type,
    left: Node,
    right: Node,
    kind: impl FnOnce(Box<Node>, Box<Node>) -> Kind,
) -> Node {
    let reads = left.reads.and(right.reads);
    Node { kind: kind(Box::new(left), Box::new(right)), ty, offset, reads }
}
