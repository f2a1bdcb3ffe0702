//! Whether somebody may invoke a function.

use std::sync::Arc;

use alyx_core::catalog::FunctionEntry;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::rules::{Decision, Rule, RuleInput};
use alyx_store::Store;
use serde_json::value::RawValue;

use super::Invocation;
use crate::problem::{ApiError, Code};

/// Refuses a call that the function's rule does not allow. A rule that fails denies and is logged.
pub(super) async fn check(store: &Store, entry: &FunctionEntry, call: &Invocation) -> Result<(), ApiError> {
    if call.identity.invokes_freely(&call.function) {
        return Ok(());
    }
    match decide(store, entry.invoke.as_ref(), (&call.identity, &call.facts), &call.input).await? {
        Some(Decision::Allow) => return Ok(()),
        Some(Decision::Error(reason)) => {
            let function = &entry.config.name;
            tracing::warn!(function, reason, "the invoke rule of {function} failed and denied: {reason}");
        }
        Some(Decision::Deny) | None => {}
    }
    Err(match call.identity.effective() {
        Identity::Anonymous => ApiError::new(Code::Unauthenticated, "Sign in to call this function."),
        _ => ApiError::new(Code::FunctionDenied, "The rules of this function do not allow this."),
    })
}

/// What a rule says of a request that carries `body`, JSON; nothing if there is no rule.
pub async fn decide(
    store: &Store,
    rule: Option<&Arc<Rule>>,
    (identity, facts): (&Identity, &RequestFacts),
    body: &RawValue,
) -> Result<Option<Decision>, ApiError> {
    let Some(rule) = rule else { return Ok(None) };
    let mut facts = facts.clone();
    if rule.reads_body() {
        facts.body = serde_json::from_str(body.get()).ok().map(Arc::new);
    }
    if !rule.has_lookups() {
        let input = RuleInput { identity, request: &facts, doc: None, old: None };
        return Ok(Some(rule.check(&input)));
    }
    let (rule, identity) = (Arc::clone(rule), identity.clone());
    let decided = store.with_lookups(move |lookups| {
        let input = RuleInput { identity: &identity, request: &facts, doc: None, old: None };
        rule.check_with(&input, lookups)
    });
    Ok(Some(decided.await?))
}
