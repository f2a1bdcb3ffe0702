//! One condition: a path, an operator, its values. Both spellings of a filter become these, and here
//! they become SQL.
//!
//! A condition never has the value NULL for "true unless absent": `ne`, `nin` and `is_null` hold for
//! null, all others do not. NULL itself counts as false, also under `$not`.

use super::QueryError;
use super::operand::{Operand, Scalar, escape};
use super::path::Path;
use super::reading::Reading;
use crate::schema::FieldKind;
use crate::sql::{SqlExpr, column};
use crate::value::Value;

/// What is asked of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Order(&'static str),
    Like,
    Contains,
    Starts,
    In,
    NotIn,
    IsNull,
    NotNull,
}

/// The operators by name; `where` writes `$` before it.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("gt", Operator::Order(">")),
    ("gte", Operator::Order(">=")),
    ("lt", Operator::Order("<")),
    ("lte", Operator::Order("<=")),
    ("like", Operator::Like),
    ("in", Operator::In),
    ("nin", Operator::NotIn),
    ("contains", Operator::Contains),
    ("starts", Operator::Starts),
    ("is_null", Operator::IsNull),
    ("not_null", Operator::NotNull),
];

impl Operator {
    pub(super) fn of(name: &str) -> Option<Self> {
        OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
    }

    fn name(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(name, _)| name)
    }

    /// The operator that holds exactly where this one does not; of such a pair the one that holds
    /// for something is built, so that what lies behind a relation is asked for, never its absence.
    fn opposite(self) -> Option<Self> {
        match self {
            Self::NotEqual => Some(Self::Equal),
            Self::NotIn => Some(Self::In),
            Self::IsNull => Some(Self::NotNull),
            _ => None,
        }
    }
}

/// One condition as SQL. `operands` are as many as the operator takes.
pub(super) fn build(
    reading: Reading<'_>,
    param: &str,
    path: &str,
    operator: Operator,
    operands: &[Operand],
) -> Result<SqlExpr, QueryError> {
    let resolved = Path::resolve(reading, param, path)?;
    if !applies(operator, &resolved) {
        let kind = resolved.field.kind.as_str();
        let message = format!("{} does not apply to \"{path}\", which is of type {kind}", operator.name());
        return Err(QueryError::new(param, "unsupported_operator", message));
    }
    let leaf = |operator| match &resolved.inside {
        Some(inside) => inside_json(param, &column(&resolved.field.name), inside, operator, operands),
        None if resolved.field.kind == FieldKind::Json && operator == Operator::Contains => {
            inside_json(param, &column(&resolved.field.name), "$", operator, operands)
        }
        None => on_field(param, &resolved, operator, operands),
    };
    if resolved.hops.is_empty() {
        return leaf(operator);
    }
    match operator.opposite() {
        None => Ok(resolved.reach(leaf(operator)?)),
        Some(opposite) => Ok(negate(resolved.reach(leaf(opposite)?))),
    }
}

/// Holds where the condition does not, NULL included.
pub(super) fn negate(expr: SqlExpr) -> SqlExpr {
    SqlExpr { text: format!("(({}) IS NOT TRUE)", expr.text), params: expr.params }
}

fn applies(operator: Operator, path: &Path<'_>) -> bool {
    let kind = &path.field.kind;
    let several = matches!(kind, FieldKind::Select(options) if options.max_select > 1);
    match operator {
        _ if path.inside.is_some() => true,
        Operator::IsNull | Operator::NotNull => true,
        Operator::Contains if several || *kind == FieldKind::Json => true,
        _ if several || matches!(kind, FieldKind::Json | FieldKind::Blob) => false,
        Operator::Like | Operator::Contains | Operator::Starts => {
            !matches!(kind, FieldKind::Int | FieldKind::Float | FieldKind::Bool)
        }
        Operator::Order(_) => *kind != FieldKind::Bool,
        Operator::Equal | Operator::NotEqual | Operator::In | Operator::NotIn => true,
    }
}

fn one(text: String, param: Value) -> SqlExpr {
    SqlExpr { text, params: vec![param] }
}

fn first<'o>(param: &str, operands: &'o [Operand]) -> Result<&'o Operand, QueryError> {
    operands.first().ok_or_else(|| QueryError::new(param, "invalid_value", "the operator takes a value"))
}

fn on_field(
    param: &str,
    path: &Path<'_>,
    operator: Operator,
    operands: &[Operand],
) -> Result<SqlExpr, QueryError> {
    let (field, column) = (path.field, column(&path.field.name));
    let typed = || first(param, operands)?.typed(param, field);
    let text = || first(param, operands)?.text(param);
    let like = |pattern: String| one(format!("{column} LIKE ? ESCAPE '\\'"), Value::Text(pattern));
    Ok(match operator {
        Operator::IsNull => SqlExpr::plain(format!("{column} IS NULL")),
        Operator::NotNull => SqlExpr::plain(format!("{column} IS NOT NULL")),
        // `IS` holds for nulls as well; a value is never null here, so `ne` includes absent ones.
        Operator::Equal => one(format!("{column} IS ?"), typed()?),
        Operator::NotEqual => one(format!("{column} IS NOT ?"), typed()?),
        Operator::Order(sign) => one(format!("{column} {sign} ?"), typed()?),
        Operator::Like => like(text()?),
        Operator::Contains if field.kind.is_json_text() => {
            let text_of = format!("EXISTS (SELECT 1 FROM json_each({column}) AS j WHERE j.value IS ?)");
            one(text_of, Value::Text(text()?))
        }
        Operator::Contains => like(format!("%{}%", escape(&text()?))),
        Operator::Starts => like(format!("{}%", escape(&text()?))),
        Operator::In | Operator::NotIn => {
            let values: Vec<Value> =
                operands.iter().map(|operand| operand.typed(param, field)).collect::<Result<_, _>>()?;
            if operator == Operator::In {
                members(&values, "0", |set| format!("{column} IN {set}"))
            } else {
                members(&values, "1", |set| format!("({column} IS NULL OR {column} NOT IN {set})"))
            }
        }
    })
}

/// A membership; `empty` is what holds for a list of nothing. The last value is repeated up to a power
/// of two, so that lists of many lengths share a few prepared statements.
fn members(values: &[Value], empty: &str, text: impl Fn(String) -> String) -> SqlExpr {
    let Some(last) = values.last() else { return SqlExpr::plain(empty) };
    let mut params = values.to_vec();
    params.resize(values.len().next_power_of_two(), last.clone());
    let marks = vec!["?"; params.len()].join(", ");
    SqlExpr { text: text(format!("({marks})")), params }
}

/// A condition on what lies in a `json` field. Values of different types are never equal and have no
/// order, so the type is looked at before the value.
fn inside_json(
    param: &str,
    column: &str,
    inside: &str,
    operator: Operator,
    operands: &[Operand],
) -> Result<SqlExpr, QueryError> {
    let item = Inside {
        kind: SqlExpr { text: format!("json_type({column}, ?)"), params: vec![path_value(inside)] },
        value: SqlExpr { text: format!("json_extract({column}, ?)"), params: vec![path_value(inside)] },
    };
    let like = |pattern: String| item.is("= 'text'", " LIKE ? ESCAPE '\\'", Value::Text(pattern));
    let text = || first(param, operands)?.text(param);
    let scalar = || first(param, operands)?.scalar(param);
    Ok(match operator {
        Operator::IsNull => item.null("="),
        Operator::NotNull => item.null("<>"),
        Operator::Equal => item.equal(&scalar()?),
        Operator::NotEqual => negate(item.equal(&scalar()?)),
        Operator::Order(sign) => match scalar()? {
            Scalar::Number(number) => item.is("IN ('integer', 'real')", &format!(" {sign} ?"), number),
            Scalar::Text(text) => item.is("= 'text'", &format!(" {sign} ?"), Value::Text(text)),
            Scalar::Bool(_) => {
                let message = "true and false have no order";
                return Err(QueryError::new(param, "invalid_value", message));
            }
        },
        Operator::Like => like(text()?),
        Operator::Starts => like(format!("{}%", escape(&text()?))),
        Operator::Contains => {
            let wanted = scalar()?;
            let each = Inside { kind: SqlExpr::plain("j.type"), value: SqlExpr::plain("j.atom") };
            let each = each.equal(&wanted);
            let mut found = item.kind.clone();
            found.text = format!(
                "CASE {} WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each({column}, ?) AS j WHERE {})",
                item.kind.text, each.text
            );
            found.params.push(path_value(inside));
            found.params.extend(each.params);
            if let Scalar::Text(text) = &wanted {
                found.text.push_str(&format!(" WHEN 'text' THEN {} LIKE ? ESCAPE '\\'", item.value.text));
                found.params.extend(item.value.params.iter().cloned());
                found.params.push(Value::Text(format!("%{}%", escape(text))));
            }
            found.text.push_str(" END");
            found
        }
        Operator::In | Operator::NotIn => {
            let mut any = SqlExpr::plain("0");
            for operand in operands {
                let equal = item.equal(&operand.scalar(param)?);
                any.text.push_str(&format!(" OR {}", equal.text));
                any.params.extend(equal.params);
            }
            any.text = format!("({})", any.text);
            if operator == Operator::In { any } else { negate(any) }
        }
    })
}

fn path_value(inside: &str) -> Value {
    Value::Text(inside.to_owned())
}

/// Type and value of something inside JSON.
struct Inside {
    kind: SqlExpr,
    value: SqlExpr,
}

impl Inside {
    /// It is of a type, and its value compares so with a parameter.
    fn is(&self, kind: &str, test: &str, param: Value) -> SqlExpr {
        let text = format!("({} {kind} AND {}{test})", self.kind.text, self.value.text);
        let params = self.kind.params.iter().chain(&self.value.params).cloned().chain([param]).collect();
        SqlExpr { text, params }
    }

    fn equal(&self, wanted: &Scalar) -> SqlExpr {
        match wanted {
            Scalar::Text(text) => self.is("= 'text'", " = ?", Value::Text(text.clone())),
            Scalar::Number(number) => self.is("IN ('integer', 'real')", " = ?", number.clone()),
            Scalar::Bool(value) => {
                let text = format!("({} = '{value}')", self.kind.text);
                SqlExpr { text, params: self.kind.params.clone() }
            }
        }
    }

    /// Absent and the JSON value null are the same.
    fn null(&self, sign: &str) -> SqlExpr {
        let text = format!("(coalesce({}, 'null') {sign} 'null')", self.kind.text);
        SqlExpr { text, params: self.kind.params.clone() }
    }
}
