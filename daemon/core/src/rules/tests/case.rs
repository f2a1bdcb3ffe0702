//! A case of cel-spec and its values, as protobuf writes them in JSON.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::rules::time;
use crate::rules::val::Val;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) file: String,
    pub(super) section: String,
    pub(super) name: String,
    pub(super) expr: String,
    value: Option<Json>,
    typed_result: Option<Json>,
    eval_error: Option<Json>,
    any_eval_errors: Option<Json>,
    #[serde(default)]
    bindings: BTreeMap<String, Json>,
}

/// What the standard says.
pub(super) enum Expected {
    Value(Val<'static>),
    /// A value that rules do not have.
    Foreign,
    Error,
}

impl Case {
    pub(super) fn expected(&self) -> Expected {
        let typed = self.typed_result.as_ref().map(|result| &result["result"]);
        match self.value.as_ref().or(typed) {
            _ if self.eval_error.is_some() || self.any_eval_errors.is_some() => Expected::Error,
            Some(value) => read(value).map_or(Expected::Foreign, Expected::Value),
            None => Expected::Value(Val::Bool(true)),
        }
    }

    /// Whether the standard names the type of the result and no value.
    pub(super) fn expects_type_only(&self) -> bool {
        self.typed_result.as_ref().is_some_and(|result| result.get("result").is_none())
    }

    /// The variables with their values; `None` for a value that rules do not have.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, Option<Val<'static>>)> + '_ {
        self.bindings.iter().map(|(name, bound)| (name.clone(), read(&bound["value"])))
    }

    /// The result and the variables as text, to search for kinds of values.
    pub(super) fn values(&self) -> String {
        format!("{:?} {:?} {:?}", self.value, self.typed_result, self.bindings)
    }
}

/// `{ "int64Value": "1" }` and the like.
fn read(value: &Json) -> Option<Val<'static>> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = || value.as_str().map(str::to_owned);
    match kind.as_str() {
        "nullValue" => Some(Val::Null),
        "boolValue" => value.as_bool().map(Val::Bool),
        "int64Value" => text()?.parse().ok().map(Val::Int),
        "doubleValue" => text()?.parse().ok().map(Val::Float),
        "stringValue" => text().map(|text| Val::Text(text.into())),
        "bytesValue" => STANDARD.decode(text()?).ok().map(|bytes| Val::Bytes(bytes.into())),
        "listValue" => {
            let items = value["values"].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().map(read).collect::<Option<_>>().map(Val::List)
        }
        "mapValue" => {
            let entries = value["entries"].as_array().map_or(&[][..], Vec::as_slice);
            let entry = |entry: &Json| Some((text_of(&entry["key"])?, to_json(&read(&entry["value"])?)?));
            entries.iter().map(entry).collect::<Option<Map<_, _>>>().map(Val::Map)
        }
        "objectValue" => {
            let text = value["value"].as_str()?;
            match value["@type"].as_str()? {
                "type.googleapis.com/google.protobuf.Timestamp" => {
                    time::parse_timestamp(text).ok().map(Val::Timestamp)
                }
                "type.googleapis.com/google.protobuf.Duration" => {
                    time::parse_duration(text).ok().map(Val::Duration)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn text_of(value: &Json) -> Option<String> {
    value["stringValue"].as_str().map(str::to_owned)
}

fn to_json(val: &Val<'_>) -> Option<Json> {
    match val {
        Val::Null => Some(Json::Null),
        Val::Bool(value) => Some((*value).into()),
        Val::Int(value) => Some((*value).into()),
        Val::Float(value) => Some((*value).into()),
        Val::Text(text) => Some(text.as_ref().into()),
        Val::List(items) => items.iter().map(to_json).collect::<Option<_>>().map(Json::Array),
        Val::Map(map) => Some(Json::Object(map.clone())),
        Val::Bytes(_) | Val::Timestamp(_) | Val::Duration(_) => None,
    }
}

/// Whether two values are equal and of one type.
pub(super) fn is_same(found: &Val<'_>, wanted: &Val<'_>) -> bool {
    match (found, wanted) {
        (Val::List(found), Val::List(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| is_same(found, wanted))
        }
        _ => found.ty() == wanted.ty() && found.equals(wanted),
    }
}
