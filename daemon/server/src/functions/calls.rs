//! What user code asks of the daemon: `ctx.db`.
//!
//! The identity comes from the daemon's own table of open invocations, never from the call. The
//! operations are the same service functions that HTTP requests use, so rules and validation are
//! the same as well.

use std::pin::Pin;
use std::sync::Arc;

use alyx_core::identity::{Identity, RequestFacts};
use alyx_protocol::api::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::limits::CALL_ARGS_MAX_BYTES;
use crate::problem::{Code, problem};

/// The answer to a call: JSON text.
pub type CallResult = Result<Vec<u8>, Problem>;

/// Answers calls. The daemon's is made of its documents service; tests have their own.
pub trait CallHandler: Send + Sync + 'static {
    /// Carries out one operation.
    fn run(
        &self,
        identity: Identity,
        facts: Arc<RequestFacts>,
        operation: Operation,
    ) -> Pin<Box<dyn Future<Output = CallResult> + Send>>;
}

/// An operation with its arguments checked for shape.
#[derive(Debug)]
pub enum Operation {
    /// `db.create {collection, data}`.
    Create {
        /// Collection.
        collection: String,
        /// The document.
        data: Box<RawValue>,
    },
    /// `db.get {collection, id, query}`.
    Get {
        /// Collection.
        collection: String,
        /// Id.
        id: String,
        /// Parameters as in the query of a get request.
        params: Vec<(String, String)>,
    },
    /// `db.aggregate {collection, query}`.
    Aggregate {
        /// Collection.
        collection: String,
        /// Parameters as in the query of an aggregate request.
        params: Vec<(String, String)>,
    },
    /// `db.list {collection, query}`.
    List {
        /// Collection.
        collection: String,
        /// Parameters as in the query of a list request.
        params: Vec<(String, String)>,
    },
    /// `db.update {collection, id, data}`.
    Update {
        /// Collection.
        collection: String,
        /// Id.
        id: String,
        /// The changes.
        data: Box<RawValue>,
    },
    /// `db.delete {collection, id}`.
    Delete {
        /// Collection.
        collection: String,
        /// Id.
        id: String,
    },
}

impl Operation {
    /// Reads an operation.
    pub fn parse(op: &str, args: &RawValue) -> Result<Self, Box<Problem>> {
        if args.get().len() > CALL_ARGS_MAX_BYTES {
            let detail = format!("The arguments of {op} are over {CALL_ARGS_MAX_BYTES} bytes.");
            return Err(Box::new(problem(Code::BodyTooLarge, detail)));
        }
        match op {
            "db.create" => {
                args_of(op, args).map(|DataArgs { collection, data }| Self::Create { collection, data })
            }
            "db.get" => args_of(op, args).and_then(|GetArgs { collection, id, query }| {
                Ok(Self::Get { collection, id, params: params(query)? })
            }),
            "db.aggregate" => args_of(op, args).and_then(|ListArgs { collection, query }| {
                Ok(Self::Aggregate { collection, params: params(query)? })
            }),
            "db.list" => args_of(op, args).and_then(|ListArgs { collection, query }| {
                Ok(Self::List { collection, params: params(query)? })
            }),
            "db.update" => args_of(op, args).map(|UpdateArgs { collection, id, data }| Self::Update {
                collection,
                id,
                data,
            }),
            "db.delete" => args_of(op, args).map(|IdArgs { collection, id }| Self::Delete { collection, id }),
            _ => Err(Box::new(problem(Code::InvalidRequest, format!("There is no operation {op:.64}.")))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdArgs {
    collection: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArgs {
    collection: String,
    id: String,
    #[serde(default)]
    query: indexmap::IndexMap<String, Parameter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataArgs {
    collection: String,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateArgs {
    collection: String,
    id: String,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArgs {
    collection: String,
    #[serde(default)]
    query: indexmap::IndexMap<String, Parameter>,
}

/// A parameter of a query as the JSON it came in: text, number, flag, several texts, or the object of
/// `where`, whose text is kept so that its numbers stay exact.
type Parameter = Box<RawValue>;

fn args_of<'a, T: Deserialize<'a>>(op: &str, args: &'a RawValue) -> Result<T, Box<Problem>> {
    serde_json::from_str(args.get()).map_err(|error| {
        Box::new(problem(Code::InvalidRequest, format!("The arguments of {op} are wrong: {error}.")))
    })
}

fn params(query: indexmap::IndexMap<String, Parameter>) -> Result<Vec<(String, String)>, Box<Problem>> {
    let mut params = Vec::new();
    let wrong = |name: &str| {
        let detail =
            format!("The parameter {name:.64?} is a text, a number, true, false or a list of texts.");
        Box::new(problem(Code::InvalidRequest, detail))
    };
    for (name, value) in query {
        let raw = value.get().trim();
        match raw.as_bytes().first() {
            Some(b'n') => {}
            Some(b'"') => params.push((name.clone(), serde_json::from_str(raw).map_err(|_| wrong(&name))?)),
            Some(b'[') => {
                let texts: Vec<String> = serde_json::from_str(raw).map_err(|_| wrong(&name))?;
                params.extend(texts.into_iter().map(|text| (name.clone(), text)));
            }
            Some(b'{') if name != "where" => return Err(wrong(&name)),
            _ => params.push((name, raw.to_owned())),
        }
        if params.len() > crate::limits::QUERY_PARAMETERS_MAX {
            return Err(Box::new(problem(Code::InvalidRequest, "There are too many parameters.")));
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::Operation;

    #[test]
    fn operations_have_exactly_their_arguments() {
        let check = |op: &str, args: &str, valid: bool| {
            let args = RawValue::from_string(args.to_owned()).unwrap();
            assert_eq!(Operation::parse(op, &args).is_ok(), valid, "{op} {args}");
        };
        check("db.get", r#"{"collection":"posts","id":"1"}"#, true);
        check("db.get", r#"{"collection":"posts","id":1}"#, false);
        check("db.get", r#"{"collection":"posts","id":"1","admin":true}"#, false);
        check("db.create", r#"{"collection":"posts","data":{"a":1}}"#, true);
        check("db.create", r#"{"collection":"posts"}"#, false);
        check("db.update", r#"{"collection":"posts","id":"1","data":{}}"#, true);
        check("db.delete", r#"{"collection":"posts","id":"1"}"#, true);
        check("db.delete", "null", false);
        check("db.list", r#"{"collection":"posts"}"#, true);
        check(
            "db.list",
            r#"{"collection":"posts","query":{"limit":5,"count":true,"filter":["a:eq:1"]}}"#,
            true,
        );
        check("db.list", r#"{"collection":"posts","query":{"limit":{}}}"#, false);
        check("db.list", r#"{"collection":"posts","query":{"where":{"views":{"$gt":1}}}}"#, true);
        check("db.list", r#"{"collection":"posts","query":{"filter":[1]}}"#, false);
        check("db.get", r#"{"collection":"posts","id":"1","query":{"expand":"author"}}"#, true);
        check("db.aggregate", r#"{"collection":"posts","query":{"sum":"views"}}"#, true);
        check("db.drop", r#"{"collection":"posts"}"#, false);
        check("sql", r#""DROP TABLE users""#, false);
    }
}
