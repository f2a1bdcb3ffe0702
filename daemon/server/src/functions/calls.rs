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
use super::transactions::Transactions;
use crate::problem::{ApiError, Code, problem};

/// The answer to a call: JSON text.
pub type CallResult = Result<Vec<u8>, Problem>;

/// Answers calls. The daemon's is made of its documents service; tests have their own.
pub trait CallHandler: Send + Sync + 'static {
    /// Carries out one call. What must keep the order of calls happens before this returns.
    fn run(&self, asked: Asked) -> Pin<Box<dyn Future<Output = CallResult> + Send>>;
}

/// A call with what the daemon knows of who makes it.
#[derive(Debug)]
pub struct Asked {
    /// Who is acting.
    pub identity: Identity,
    /// The request behind the invocation.
    pub facts: Arc<RequestFacts>,
    /// The transactions of the invocation.
    pub transactions: Transactions,
    /// Number of the transaction that the call is part of.
    pub within: Option<u64>,
    /// What to do.
    pub operation: Operation,
}

/// An operation with its arguments checked for shape. `runtimes/README.md` lists them.
#[derive(Debug)]
pub enum Operation {
    /// `db.get`.
    Get(Get),
    /// `db.list`.
    List(Selection),
    /// `db.aggregate`.
    Aggregate(Selection),
    /// `db.create`.
    Create(Create),
    /// `db.upsert`.
    Upsert(Upsert),
    /// `db.update`.
    Update(Update),
    /// `db.replace`.
    Replace(Update),
    /// `db.delete`.
    Delete(Delete),
    /// `db.update_many`.
    UpdateMany(UpdateMany),
    /// `db.delete_many`.
    DeleteMany(Selection),
    /// `db.batch`.
    Batch(Batch),
    /// `events.publish`.
    Publish(Publish),
    /// `db.begin`.
    Begin(Nothing),
    /// `db.commit`.
    Commit(Nothing),
    /// `db.rollback`.
    Rollback(Nothing),
}

impl Operation {
    /// Reads an operation.
    pub fn parse(op: &str, args: &RawValue) -> Result<Self, Box<Problem>> {
        if args.get().len() > CALL_ARGS_MAX_BYTES {
            let detail = format!("The arguments of {op} are over {CALL_ARGS_MAX_BYTES} bytes.");
            return Err(Box::new(problem(Code::BodyTooLarge, detail)));
        }
        Ok(match op {
            "db.get" => Self::Get(args_of(op, args)?),
            "db.list" => Self::List(args_of(op, args)?),
            "db.aggregate" => Self::Aggregate(args_of(op, args)?),
            "db.create" => Self::Create(args_of(op, args)?),
            "db.upsert" => Self::Upsert(args_of(op, args)?),
            "db.update" => Self::Update(args_of(op, args)?),
            "db.replace" => Self::Replace(args_of(op, args)?),
            "db.delete" => Self::Delete(args_of(op, args)?),
            "db.update_many" => Self::UpdateMany(args_of(op, args)?),
            "db.delete_many" => Self::DeleteMany(args_of(op, args)?),
            "db.batch" => Self::Batch(args_of(op, args)?),
            "events.publish" => Self::Publish(args_of(op, args)?),
            "db.begin" => Self::Begin(args_of(op, args)?),
            "db.commit" => Self::Commit(args_of(op, args)?),
            "db.rollback" => Self::Rollback(args_of(op, args)?),
            _ => {
                let detail = format!("There is no operation {op:.64}.");
                return Err(Box::new(problem(Code::InvalidRequest, detail)));
            }
        })
    }

    /// Whether it changes documents.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Get(_) | Self::List(_) | Self::Aggregate(_) => false,
            Self::Begin(_) | Self::Commit(_) | Self::Rollback(_) => false,
            Self::Create(_) | Self::Upsert(_) | Self::Update(_) | Self::Replace(_) => true,
            Self::Delete(_)
            | Self::UpdateMany(_)
            | Self::DeleteMany(_)
            | Self::Batch(_)
            | Self::Publish(_) => true,
        }
    }
}

/// Arguments of `db.get`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// Collection.
    pub collection: String,
    /// Id.
    pub id: String,
    /// Parameters as in the query of a get request.
    #[serde(default)]
    pub query: Query,
    /// Whether the answer tells the version as well.
    #[serde(default)]
    pub versioned: bool,
}

/// Arguments of `db.list`, `db.aggregate` and `db.delete_many`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Collection.
    pub collection: String,
    /// Parameters as in the query of such a request.
    #[serde(default)]
    pub query: Query,
}

/// Arguments of `events.publish`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Name of the event.
    pub name: String,
    /// What it tells.
    pub payload: Box<RawValue>,
}

/// Arguments of `db.create`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Collection.
    pub collection: String,
    /// The document.
    pub data: Box<RawValue>,
    /// Under which it is done once.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Whether the answer tells the version as well.
    #[serde(default)]
    pub versioned: bool,
}

/// Arguments of `db.upsert`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsert {
    /// Collection.
    pub collection: String,
    /// The unique field that tells whether there is one.
    pub field: String,
    /// The document.
    pub data: Box<RawValue>,
    /// Under which it is done once.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Whether the answer tells the version as well.
    #[serde(default)]
    pub versioned: bool,
}

/// Arguments of `db.update` and `db.replace`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Collection.
    pub collection: String,
    /// Id.
    pub id: String,
    /// The changes, or the document.
    pub data: Box<RawValue>,
    /// As the header `If-Match`.
    #[serde(default)]
    pub if_match: Option<String>,
    /// As the header `If-None-Match`.
    #[serde(default)]
    pub if_none_match: Option<String>,
    /// Whether the answer tells the version as well.
    #[serde(default)]
    pub versioned: bool,
}

/// Arguments of `db.delete`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Collection.
    pub collection: String,
    /// Id.
    pub id: String,
    /// As the header `If-Match`.
    #[serde(default)]
    pub if_match: Option<String>,
}

/// Arguments of `db.update_many`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateMany {
    /// Collection.
    pub collection: String,
    /// Parameters as in the query of such a request.
    #[serde(default)]
    pub query: Query,
    /// The changes.
    pub data: Box<RawValue>,
}

/// Arguments of `db.batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// As in the body of a batch.
    pub operations: Box<RawValue>,
    /// Under which it is done once.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// No arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Parameters of a query.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Query(indexmap::IndexMap<String, Parameter>);

impl Query {
    /// As the parameters of a request.
    pub fn params(self) -> Result<Vec<(String, String)>, ApiError> {
        params(self.0)
    }
}

/// A parameter of a query as the JSON it came in: text, number, flag, several texts, or the object of
/// `where`, whose text is kept so that its numbers stay exact.
type Parameter = Box<RawValue>;

fn args_of<'a, T: Deserialize<'a>>(op: &str, args: &'a RawValue) -> Result<T, Box<Problem>> {
    serde_json::from_str(args.get()).map_err(|error| {
        Box::new(problem(Code::InvalidRequest, format!("The arguments of {op} are wrong: {error}.")))
    })
}

fn params(query: indexmap::IndexMap<String, Parameter>) -> Result<Vec<(String, String)>, ApiError> {
    let mut params = Vec::new();
    let wrong = |name: &str| {
        let detail =
            format!("The parameter {name:.64?} is a text, a number, true, false or a list of texts.");
        ApiError::new(Code::InvalidRequest, detail)
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
            return Err(ApiError::new(Code::InvalidRequest, "There are too many parameters."));
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
        check("db.list", r#"{"collection":"posts","query":{"where":{"views":{"$gt":1}}}}"#, true);
        check("db.create", r#"{"collection":"posts","data":{},"if_match":"x"}"#, false);
        check("db.begin", "{}", true);
        check("db.begin", r#"{"timeout":1}"#, false);
        check("db.get", r#"{"collection":"posts","id":"1","query":{"expand":"author"}}"#, true);
        check("db.aggregate", r#"{"collection":"posts","query":{"sum":"views"}}"#, true);
        check("db.drop", r#"{"collection":"posts"}"#, false);
        check("sql", r#""DROP TABLE users""#, false);
    }

    #[test]
    fn parameters_become_those_of_a_request() {
        let check = |query: &str, expected: Option<&[(&str, &str)]>| {
            let args = RawValue::from_string(format!(r#"{{"collection":"p","query":{query}}}"#)).unwrap();
            let Ok(Operation::List(list)) = Operation::parse("db.list", &args) else { panic!("{query}") };
            let params = list.query.params().ok();
            let params: Option<Vec<_>> =
                params.as_ref().map(|params| params.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect());
            assert_eq!(params.as_deref(), expected, "{query}");
        };
        check(r#"{"limit":5,"count":true,"cursor":null}"#, Some(&[("limit", "5"), ("count", "true")]));
        check(r#"{"filter":["a:eq:1","b:eq:2"]}"#, Some(&[("filter", "a:eq:1"), ("filter", "b:eq:2")]));
        check(r#"{"where":{"a":1.50}}"#, Some(&[("where", r#"{"a":1.50}"#)]));
        check(r#"{"limit":{}}"#, None);
        check(r#"{"filter":[1]}"#, None);
    }

    /// The shims are tested against the same frames.
    #[test]
    fn every_operation_has_a_golden_frame() {
        let text = include_str!("../../../../protocol/vectors/from_worker.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for vector in vectors.iter().filter(|vector| vector["type"] == "call") {
            let message = &vector["message"];
            let args = RawValue::from_string(message["args"].to_string()).unwrap();
            let op = message["op"].as_str().unwrap();
            assert!(Operation::parse(op, &args).is_ok(), "{vector}");
            seen.insert(op.to_owned());
        }
        let source = include_str!("calls.rs");
        let known: std::collections::BTreeSet<String> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("\"db.")?.split_once("\" => Self::"))
            .map(|(op, _)| format!("db.{op}"))
            .collect();
        assert_eq!(seen, known);
    }
}
