//! Between the domain's values and SQLite's. No conversion: both know the same five forms.

use alyx_core::value::{Value, ValueRef};
use rusqlite::types::{ToSqlOutput, Type, Value as SqliteValue, ValueRef as SqliteRef};
use rusqlite::{Row, ToSql};

use crate::Error;

/// A value as a parameter, without a copy.
pub(crate) struct Bound<'a>(pub(crate) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => SqliteRef::Null,
            Value::Integer(value) => SqliteRef::Integer(*value),
            Value::Real(value) => SqliteRef::Real(*value),
            Value::Text(value) => SqliteRef::Text(value.as_bytes()),
            Value::Blob(value) => SqliteRef::Blob(value),
        }))
    }
}

/// Parameters for a statement.
pub(crate) fn bound(values: &[Value]) -> impl Iterator<Item = Bound<'_>> {
    values.iter().map(Bound)
}

/// A column, borrowed from the row.
pub(crate) fn column<'a>(row: &'a Row<'_>, index: usize) -> Result<ValueRef<'a>, Error> {
    Ok(borrowed(row.get_ref(index)?)?)
}

/// The domain's view of what SQLite holds.
pub(crate) fn borrowed(value: SqliteRef<'_>) -> rusqlite::Result<ValueRef<'_>> {
    Ok(match value {
        SqliteRef::Null => ValueRef::Null,
        SqliteRef::Integer(value) => ValueRef::Integer(value),
        SqliteRef::Real(value) => ValueRef::Real(value),
        SqliteRef::Text(value) => ValueRef::Text(
            std::str::from_utf8(value)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))?,
        ),
        SqliteRef::Blob(value) => ValueRef::Blob(value),
    })
}

/// The same value as SQLite's own.
pub(crate) fn owned(value: Value) -> SqliteValue {
    match value {
        Value::Null => SqliteValue::Null,
        Value::Integer(value) => SqliteValue::Integer(value),
        Value::Real(value) => SqliteValue::Real(value),
        Value::Text(value) => SqliteValue::Text(value),
        Value::Blob(value) => SqliteValue::Blob(value),
    }
}
