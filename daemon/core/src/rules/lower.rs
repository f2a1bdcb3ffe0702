//! Syntax tree to checked tree: resolves every name against the collection and the operation,
//! checks types, and refuses with the place and a hint. What comes out cannot fail for a reason
//! that was visible in the text.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr};
use indexmap::IndexMap;

use super::limits::{DEPTH_MAX, LOOKUPS_MAX, MACRO_DEPTH_MAX, NODES_MAX};
use super::parse::Parsed;
use super::place::{Refusal, suggest};
use super::tree::{AuthFact, Exists, FieldRef, Kind, Node, Reads, RequestFact, Which};
use super::types::Type;
use super::val::Val;
use crate::schema::Collection;

/// Which documents a rule sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots<'a> {
    pub(super) doc: Option<&'a Collection>,
    pub(super) old: Option<&'a Collection>,
    /// What can be looked up.
    pub(super) collections: Option<&'a Collections>,
}

/// Collections by name.
pub(super) type Collections = IndexMap<String, Arc<Collection>>;

/// Lowers one rule.
pub(super) struct Lowering<'a> {
    parsed: &'a Parsed,
    roots: Roots<'a>,
    /// Variables of the loops around the current place, with their types.
    pub(super) variables: Vec<(String, Type)>,
    /// Variables of the lookups around the current place, with their collections.
    rows: Vec<(String, Arc<Collection>)>,
    lookups: usize,
    depth: usize,
    nodes: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(parsed: &'a Parsed, roots: Roots<'a>) -> Self {
        Self { parsed, roots, variables: Vec::new(), rows: Vec::new(), lookups: 0, depth: 0, nodes: 0 }
    }

    /// Lowers the whole rule; its result is a bool.
    pub(super) fn rule(mut self) -> Result<Node, Refusal> {
        let root = self.node(&self.parsed.root)?;
        if root.ty.admits(&Type::Bool) {
            Ok(root)
        } else {
            Err(Refusal::new(root.offset, format!("the rule gives {}, not bool", root.ty)))
        }
    }

    pub(super) fn offset(&self, expr: &IdedExpr) -> usize {
        self.parsed.offset(expr.id)
    }

    /// Lowers an expression, counting depth and size.
    pub(super) fn node(&mut self, expr: &IdedExpr) -> Result<Node, Refusal> {
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > NODES_MAX || self.depth > DEPTH_MAX {
            return Err(Refusal::new(self.offset(expr), "the rule is too complex")
                .hint("split long chains with brackets, or use `in` with a list"));
        }
        let node = self.expression(expr);
        self.depth -= 1;
        node
    }

    fn expression(&mut self, expr: &IdedExpr) -> Result<Node, Refusal> {
        let offset = self.offset(expr);
        match &expr.expr {
            Expr::Literal(literal) => self.literal(offset, literal),
            Expr::Ident(name) => self.variable(offset, name),
            Expr::Select(select) => self.select(offset, select),
            Expr::Call(call) => self.call(offset, call),
            Expr::List(list) => self.list(offset, list),
            Expr::Map(_) | Expr::Struct(_) => Err(Refusal::new(offset, "maps cannot be written in rules")),
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(Refusal::new(offset, "this expression is not available in rules"))
            }
        }
    }

    fn literal(&self, offset: usize, literal: &LiteralValue) -> Result<Node, Refusal> {
        let val = match literal {
            LiteralValue::Null => Val::Null,
            LiteralValue::Boolean(value) => Val::Bool(*value.inner()),
            LiteralValue::Int(value) => Val::Int(*value.inner()),
            LiteralValue::Double(value) if value.inner().is_finite() => Val::Float(*value.inner()),
            LiteralValue::Double(_) => return Err(Refusal::new(offset, "the number is too large")),
            LiteralValue::String(text) => Val::Text(text.inner().to_owned().into()),
            LiteralValue::Bytes(bytes) => Val::Bytes(bytes.inner().to_vec().into()),
            LiteralValue::UInt(value) => {
                return Err(Refusal::new(offset, "unsigned integers are not available in rules")
                    .hint(format!("write {} without `u`", value.inner())));
            }
        };
        let ty = val.ty();
        Ok(leaf(Kind::Literal(val), ty, offset))
    }

    /// A name that stands alone: only variables of macros may.
    fn variable(&self, offset: usize, name: &str) -> Result<Node, Refusal> {
        if let Some(slot) = self.variables.iter().rposition(|(other, _)| other == name) {
            return Ok(leaf(Kind::Variable(slot), self.variables[slot].1.clone(), offset));
        }
        if self.rows.iter().any(|(row, _)| row == name) {
            return Err(Refusal::new(offset, format!("{name:?} cannot be used as a value"))
                .hint("name a field of it"));
        }
        self.check_root(offset, name)?;
        let hint = match name {
            "auth" => {
                "`auth` is never null; compare `auth.id` with null to tell whether somebody is signed in"
            }
            _ => "name a field of it",
        };
        Err(Refusal::new(offset, format!("{name:?} cannot be used as a value")).hint(hint))
    }

    /// Refuses a root name that does not exist here.
    fn check_root(&self, offset: usize, name: &str) -> Result<(), Refusal> {
        let mut known = vec!["auth", "request"];
        known.extend(self.roots.doc.map(|_| "doc"));
        known.extend(self.roots.old.map(|_| "old"));
        if known.contains(&name) {
            return Ok(());
        }
        let refusal = match name {
            "doc" | "old" => Refusal::new(offset, format!("{name:?} does not exist for this operation")),
            _ => Refusal::new(offset, format!("unknown variable {name:?}")),
        };
        known.extend(self.variables.iter().map(|(name, _)| name.as_str()));
        Err(refusal.hint(suggest(name, known.iter().copied())))
    }

    fn select(&mut self, offset: usize, select: &SelectExpr) -> Result<Node, Refusal> {
        if select.test {
            return Err(Refusal::new(offset, "this expression is not available in rules"));
        }
        self.member(offset, &select.operand, &select.field)
    }

    /// `operand.name`, also written `operand["name"]`.
    pub(super) fn member(&mut self, offset: usize, operand: &IdedExpr, name: &str) -> Result<Node, Refusal> {
        match self.root_of(operand) {
            Some(root) if self.rows.iter().any(|(name, _)| name == root) => {
                self.row_member(offset, root, name)
            }
            Some(root) => {
                self.check_root(self.offset(operand), root)?;
                self.root_member(offset, root, name)
            }
            None => {
                if let Some(found) = self.found(offset, operand, name)? {
                    return Ok(found);
                }
                let map = self.node(operand)?;
                if let Kind::Request(fact @ (RequestFact::Query | RequestFact::Headers)) = map.kind {
                    return Ok(leaf(Kind::RequestEntry(fact, name.to_owned()), Type::Text, offset));
                }
                let ty = match &map.ty {
                    Type::Map(item) => (**item).clone(),
                    Type::Dynamic => Type::Dynamic,
                    other => {
                        return Err(Refusal::new(offset, format!("{other} has no field {name:?}")));
                    }
                };
                let reads = map.reads;
                Ok(Node { kind: Kind::Select(Box::new(map), name.to_owned()), ty, offset, reads })
            }
        }
    }

    /// The name of `auth`, `request`, `doc` or `old`, unless a loop's variable hides it.
    fn root_of<'e>(&self, expr: &'e IdedExpr) -> Option<&'e str> {
        match &expr.expr {
            Expr::Ident(name) if !self.variables.iter().any(|(other, _)| other == name) => Some(name),
            _ => None,
        }
    }

    fn root_member(&self, offset: usize, root: &str, name: &str) -> Result<Node, Refusal> {
        match root {
            "auth" => auth_member(offset, name),
            "request" => request_member(offset, name),
            "doc" => field(offset, Which::Doc, self.roots.doc, name),
            _ => field(offset, Which::Old, self.roots.old, name),
        }
    }

    /// A field of the document that a lookup looks at.
    fn row_member(&self, offset: usize, variable: &str, name: &str) -> Result<Node, Refusal> {
        let Some(depth) = self.rows.iter().rposition(|(other, _)| other == variable) else {
            return Err(Refusal::new(offset, format!("unknown variable {variable:?}")));
        };
        field(offset, Which::Row(depth), Some(&self.rows[depth].1), name)
    }

    /// `collection("c").get(id).name`, if the operand is that.
    fn found(&mut self, offset: usize, operand: &IdedExpr, name: &str) -> Result<Option<Node>, Refusal> {
        let Expr::Call(call) = &operand.expr else { return Ok(None) };
        let (Some(target), "get", [id]) = (&call.target, call.func_name.as_str(), call.args.as_slice())
        else {
            return Ok(None);
        };
        let Some(collection) = self.collection(target)? else { return Ok(None) };
        let Some((index, declared)) = collection.field(name) else {
            let known = collection.fields.iter().map(|field| field.name.as_str());
            return Err(unknown_member(offset, &collection.name, name, known));
        };
        let ty = Type::of_field(&declared.kind);
        let id = self.node(id)?;
        if !id.ty.admits(&Type::Text) && id.ty != Type::Null {
            return Err(Refusal::new(id.offset, format!("an id is a string, not {}", id.ty)));
        }
        let field =
            FieldRef { which: Which::Row(self.rows.len()), index, name: name.to_owned(), ty: ty.clone() };
        let reads = id.reads.and(Reads::LOOKUP);
        Ok(Some(Node { kind: Kind::Found { collection, id: Box::new(id), field }, ty, offset, reads }))
    }

    /// `collection("c").exists(row, condition)`, if the range is that.
    pub(super) fn exists(
        &mut self,
        offset: usize,
        range: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Result<Option<Node>, Refusal> {
        let Some(collection) = self.collection(range)? else { return Ok(None) };
        let name = self.loop_variable(variable)?;
        if !self.variables.is_empty() {
            return Err(Refusal::new(offset, "exists() of a collection cannot stand inside a loop")
                .hint("use collection(name).get(id), or `in`"));
        }
        let depth = self.rows.len();
        if depth >= MACRO_DEPTH_MAX {
            return Err(Refusal::new(offset, format!("lookups are nested more than {MACRO_DEPTH_MAX} deep")));
        }
        self.rows.push((name, Arc::clone(&collection)));
        let body = self.node(body);
        self.rows.pop();
        let body = body?;
        if !body.ty.admits(&Type::Bool) {
            return Err(Refusal::new(body.offset, format!("a condition takes bool, not {}", body.ty)));
        }
        let reads = body.reads.without(Reads::row(depth)).and(Reads::LOOKUP);
        let kind = Kind::Exists(Exists { collection, depth, body: Box::new(body) });
        Ok(Some(Node { kind, ty: Type::Bool, offset, reads }))
    }

    /// The name that a macro gives to its items.
    pub(super) fn loop_variable(&self, variable: &IdedExpr) -> Result<String, Refusal> {
        let at = self.offset(variable);
        let Expr::Ident(name) = &variable.expr else {
            return Err(Refusal::new(at, "the first operand names the variable of the loop")
                .hint("write list.exists(item, condition)"));
        };
        let taken = ["auth", "request", "doc", "old"].contains(&name.as_str())
            || self.rows.iter().any(|(other, _)| other == name);
        if taken {
            return Err(
                Refusal::new(at, format!("{name:?} has a meaning already")).hint("choose another name")
            );
        }
        Ok(name.clone())
    }

    /// The collection that `collection("name")` names; `None` for any other expression.
    fn collection(&mut self, expr: &IdedExpr) -> Result<Option<Arc<Collection>>, Refusal> {
        let Expr::Call(call) = &expr.expr else { return Ok(None) };
        if call.func_name != "collection" || call.target.is_some() {
            return Ok(None);
        }
        let at = self.offset(expr);
        let [argument] = call.args.as_slice() else {
            return Err(Refusal::new(at, "collection() takes one name").hint("write collection(\"rooms\")"));
        };
        let Expr::Literal(LiteralValue::String(name)) = &argument.expr else {
            return Err(Refusal::new(at, "the name of the collection must be written out")
                .hint("write collection(\"rooms\")"));
        };
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Refusal::new(at, format!("more than {LOOKUPS_MAX} lookups in one rule")));
        }
        let Some(collections) = self.roots.collections else {
            return Err(Refusal::new(at, "other collections cannot be looked up here"));
        };
        match collections.get(name.inner()) {
            Some(collection) => Ok(Some(Arc::clone(collection))),
            None => {
                let refusal = Refusal::new(at, format!("there is no collection {:?}", name.inner()));
                Err(refusal.hint(suggest(name.inner(), collections.keys().map(String::as_str))))
            }
        }
    }

    fn list(&mut self, offset: usize, list: &ListExpr) -> Result<Node, Refusal> {
        let items: Vec<Node> = list.elements.iter().map(|item| self.node(item)).collect::<Result<_, _>>()?;
        let ty = items.iter().map(|item| &item.ty).fold(None, |joined: Option<Type>, ty| {
            Some(joined.map_or_else(|| ty.clone(), |joined| joined.join(ty)))
        });
        let ty = Type::List(Box::new(ty.unwrap_or(Type::Dynamic)));
        let reads = items.iter().fold(Reads::NOTHING, |reads, item| reads.and(item.reads));
        Ok(Node { kind: Kind::List(items), ty, offset, reads })
    }

    fn call(&mut self, offset: usize, call: &CallExpr) -> Result<Node, Refusal> {
        super::calls::call(self, offset, call)
    }
}

/// A node without operands that reads no document.
pub(super) fn leaf(kind: Kind, ty: Type, offset: usize) -> Node {
    Node { kind, ty, offset, reads: Reads::NOTHING }
}

fn auth_member(offset: usize, name: &str) -> Result<Node, Refusal> {
    let (fact, ty) = match name {
        "id" => (AuthFact::Id, Type::Text),
        "email" => (AuthFact::Email, Type::Text),
        "role" => (AuthFact::Role, Type::Text),
        "verified" => (AuthFact::Verified, Type::Bool),
        "metadata" => (AuthFact::Metadata, Type::Map(Box::new(Type::Dynamic))),
        "scopes" => (AuthFact::Scopes, Type::List(Box::new(Type::Text))),
        _ => {
            let known = ["id", "email", "role", "verified", "metadata", "scopes"];
            return Err(unknown_member(offset, "auth", name, known.into_iter()));
        }
    };
    Ok(leaf(Kind::Auth(fact), ty, offset))
}

fn request_member(offset: usize, name: &str) -> Result<Node, Refusal> {
    let (fact, ty) = match name {
        "method" => (RequestFact::Method, Type::Text),
        "path" => (RequestFact::Path, Type::Text),
        "ip" => (RequestFact::Ip, Type::Text),
        "time" => (RequestFact::Time, Type::Timestamp),
        "query" => (RequestFact::Query, Type::Map(Box::new(Type::Text))),
        "headers" => (RequestFact::Headers, Type::Map(Box::new(Type::Text))),
        "body" => (RequestFact::Body, Type::Dynamic),
        _ => {
            let known = ["method", "path", "ip", "time", "query", "headers", "body"];
            return Err(unknown_member(offset, "request", name, known.into_iter()));
        }
    };
    Ok(leaf(Kind::Request(fact), ty, offset))
}

fn field(offset: usize, which: Which, collection: Option<&Collection>, name: &str) -> Result<Node, Refusal> {
    let Some(collection) = collection else {
        return Err(Refusal::new(offset, "there is no document for this operation"));
    };
    let Some((index, field)) = collection.field(name) else {
        let known = collection.fields.iter().map(|field| field.name.as_str());
        return Err(unknown_member(offset, &collection.name, name, known));
    };
    let ty = Type::of_field(&field.kind);
    let kind = Kind::Field(FieldRef { which, index, name: name.to_owned(), ty: ty.clone() });
    let reads = match which {
        Which::Doc | Which::Old => Reads::DOCUMENT,
        Which::Row(depth) => Reads::row(depth),
    };
    Ok(Node { kind, ty, offset, reads })
}

fn unknown_member<'n>(
    offset: usize,
    owner: &str,
    name: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Refusal {
    Refusal::new(offset, format!("{owner} has no field {name:?}")).hint(suggest(name, known))
}
