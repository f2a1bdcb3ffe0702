//! Running the function of a hook: what it is told and what its answer means.

use std::collections::BTreeMap;

use alyx_core::identity::{AdminIdentity, Identity, RequestFacts};
use alyx_core::schema::{Hook, HookOn};
use alyx_protocol::api::Problem;
use alyx_store::DueJob;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::table::word_of_audited;
use super::{Doer, KIND, Moment, Told};
use crate::clock;
use crate::functions::{Answer, Functions, Invocation, InvokeError};
use crate::problem::{ApiError, Code};

/// One run of a hook.
pub struct Call<'a> {
    pub hook: &'a Hook,
    pub facts: RequestFacts,
    pub input: Box<RawValue>,
    pub request_id: String,
}

impl Call<'_> {
    /// Runs the function, for the project.
    pub async fn run(self, functions: &Functions) -> Result<Answer, InvokeError> {
        let invocation = Invocation {
            function: self.hook.function.clone(),
            identity: Identity::Admin(AdminIdentity::Project { cause: format!("hook:{}", self.hook.id) }),
            facts: self.facts,
            input: self.input,
            trigger: KIND,
            request_id: self.request_id,
            trace_id: clock::random_hex::<16>(),
        };
        functions.invoke(invocation).await
    }
}

/// What the function of a job is told: what happened, and which job this is.
pub fn input_of_job(hook: &Hook, job: &DueJob) -> Result<Box<RawValue>, serde_json::Error> {
    let mut told: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&job.payload)?;
    if let (HookOn::Auth(_), Some(audited)) = (&hook.on, told.remove("audit")) {
        let audited: String = serde_json::from_str(audited.get())?;
        told.insert("action".to_owned(), to_raw_value(word_of_audited(&audited))?);
    }
    told.insert("hook".to_owned(), to_raw_value(&hook.id)?);
    told.insert("job".to_owned(), to_raw_value(&job.id)?);
    told.insert("attempt".to_owned(), to_raw_value(&job.attempt)?);
    to_raw_value(&told)
}

/// What the function is told of something that somebody waits with.
pub fn input_of_moment(hook: &Hook, told: &Told, doer: &Doer) -> Box<RawValue> {
    let (collection, action) = match &told.moment {
        Moment::Document(collection, action) => (Some(collection), action.as_str()),
        Moment::Auth(action) => (None, action.as_str()),
    };
    let auth = doer.identity.user().map(
        |user| json!({ "id": user.id, "email": user.email, "role": user.role, "verified": user.verified }),
    );
    let raw = |json: &Option<std::sync::Arc<str>>| {
        json.as_deref().and_then(|json| RawValue::from_string(json.to_owned()).ok())
    };
    let input = Input {
        hook: &hook.id,
        collection,
        action,
        id: &told.id,
        doc: raw(&told.doc),
        old: raw(&told.old),
        auth,
        identity: doer.identity.label(),
        at: clock::now_text(),
    };
    to_raw_value(&input).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[derive(serde::Serialize)]
struct Input<'a> {
    hook: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a String>,
    action: &'a str,
    id: &'a str,
    doc: Option<Box<RawValue>>,
    old: Option<Box<RawValue>>,
    auth: Option<Value>,
    identity: String,
    at: String,
}

/// What a function answers that has something to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a `doc`")]
struct Said {
    #[serde(default)]
    doc: Option<Box<RawValue>>,
}

/// What an answer means: fields to change, nothing, or a refusal. A hook that fails refuses.
pub fn changes(
    functions: &Functions,
    hook: &Hook,
    answer: Result<Answer, InvokeError>,
) -> Result<Option<Box<RawValue>>, ApiError> {
    let id = &hook.id;
    let failed = |reason: String| {
        tracing::warn!(hook = id, "the hook {id} failed: {reason}");
        ApiError::new(Code::HookFailed, format!("The hook {id} failed. The reason is in its log."))
    };
    // What is wrong with an answer no invocation knows; the author looks for it in the log.
    let wrong = |reason: String| {
        functions.complain(&hook.function, format!("the hook {id} failed: {reason}"));
        failed(reason)
    };
    let answer = match answer {
        Ok(answer) => answer,
        // The function's own refusal goes to whoever asked, as it is, and so does the end of a chain.
        Err(InvokeError { problem, .. })
            if problem.code == Code::HookLoop.as_str()
                || (400..500).contains(&problem.status) && is_own(&problem) =>
        {
            return Err(ApiError::from(Problem { hint: None, ..*problem }));
        }
        Err(error) => return Err(failed(error.summary())),
    };
    match answer.status {
        400..500 => {
            let detail = format!("The hook {id} refused this.");
            Err(ApiError::from(Problem::new(answer.status, "refused", detail)))
        }
        500.. => Err(wrong(format!("it answered {}", answer.status))),
        _ if answer.body.is_empty() || *answer.body == *b"null" => Ok(None),
        _ => {
            let said: Said = serde_json::from_slice(&answer.body)
                .map_err(|error| wrong(format!("it must return nothing or {{ doc: {{ … }} }}: {error}")))?;
            Ok(said.doc.filter(|doc| doc.get() != "null"))
        }
    }
}

/// Whether a function said this, not the daemon about the function.
fn is_own(problem: &Problem) -> bool {
    let codes = [Code::FunctionNotFound, Code::FunctionDenied];
    !codes.iter().any(|code| code.as_str() == problem.code)
}
