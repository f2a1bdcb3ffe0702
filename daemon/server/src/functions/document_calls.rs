//! What user code asks of the daemon, carried out by the documents service: the same operations, rules and
//! problems as over HTTP, under the identity of the invocation.

use std::pin::Pin;
use std::time::Duration;

use alyx_core::identity::{Identity, RequestFacts};
use alyx_protocol::api::Problem;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::calls::{Asked, CallHandler, CallResult, Operation};
use super::transactions::Transactions;
use crate::documents::{Batch, Documents, Once, Precondition, Written};
use crate::problem::{ApiError, Code, problem};
use crate::tasks::Tasks;

/// Calls go to the documents service.
pub struct DocumentCalls {
    pub documents: Documents,
    /// Commits run here to their end, also if nobody waits for them any more.
    pub tasks: Tasks,
    /// How long a transaction may last.
    pub transaction_timeout: Duration,
}

impl CallHandler for DocumentCalls {
    fn run(&self, asked: Asked) -> Pin<Box<dyn Future<Output = CallResult> + Send>> {
        let Asked { identity, facts, transactions, within, operation } = asked;
        let documents = self.documents.clone();
        match (within, operation) {
            (None, Operation::Begin(_)) => {
                let (asked, limit) = (transactions.opening(), self.transaction_timeout);
                Box::pin(async move {
                    asked.map_err(|refused| *refused)?;
                    begin(&documents, limit, &transactions).await
                })
            }
            (None, Operation::Commit(_) | Operation::Rollback(_)) => refuse(outside()),
            (None, operation) => {
                if operation.writes()
                    && let Err(refused) = transactions.check_outside()
                {
                    return refuse(*refused);
                }
                Box::pin(async move {
                    let done = carry_out(&documents, &identity, &facts, operation).await;
                    done.map_err(ApiError::into_problem)
                })
            }
            (Some(_), Operation::Begin(_)) => match transactions.opening() {
                Err(refused) => refuse(*refused),
                // The transaction that it names is over, or it would be open.
                Ok(()) => {
                    transactions.opened(None);
                    refuse(outside())
                }
            },
            (Some(number), operation) => {
                let (mut turn, tasks) = (transactions.turn(), self.tasks.clone());
                Box::pin(async move {
                    turn.come().await;
                    match operation {
                        Operation::Commit(_) => commit(&transactions, number, &tasks).await,
                        Operation::Rollback(_) => {
                            transactions.take(number).map(drop).map_err(|refused| *refused)?;
                            Ok(Vec::new())
                        }
                        operation => {
                            let documents = transactions.documents(number).map_err(|refused| *refused)?;
                            let done = carry_out(&documents, &identity, &facts, operation).await;
                            done.map_err(ApiError::into_problem)
                        }
                    }
                })
            }
        }
    }
}

fn refuse(refused: Problem) -> Pin<Box<dyn Future<Output = CallResult> + Send>> {
    Box::pin(std::future::ready(Err(refused)))
}

fn outside() -> Problem {
    problem(Code::TransactionEnded, "There is no such transaction; it is over, or never was.")
}

async fn begin(documents: &Documents, limit: Duration, transactions: &Transactions) -> CallResult {
    let begun = documents.begin(limit).await;
    match begun {
        Ok(begun) => match transactions.opened(Some(begun)) {
            Some(number) => Ok(json!({ "transaction": number }).to_string().into_bytes()),
            None => Err(problem(Code::InvocationGone, "The invocation that this call acts for has ended.")),
        },
        Err(error) => {
            transactions.opened(None);
            Err(error.into_problem())
        }
    }
}

/// Commits in a task of its own: what is known of accounts must be forgotten after the commit, whatever
/// becomes of the worker.
async fn commit(transactions: &Transactions, number: u64, tasks: &Tasks) -> CallResult {
    let open = transactions.take(number).map_err(|refused| *refused)?;
    let (told, answer) = oneshot::channel();
    tasks.spawn(async move {
        // Nobody may be there any more to be told.
        drop(told.send(open.commit().await));
    });
    match answer.await {
        Ok(Ok(())) => Ok(Vec::new()),
        Ok(Err(error)) => Err(error.into_problem()),
        Err(_) => Err(problem(Code::FunctionsUnavailable, "The daemon is stopping.")),
    }
}

async fn carry_out(
    documents: &Documents,
    who: &Identity,
    facts: &RequestFacts,
    operation: Operation,
) -> Result<Vec<u8>, ApiError> {
    match operation {
        Operation::Get(get) => {
            let params = get.query.params()?;
            let document = documents.get(who, facts, &get.collection, &get.id, &params).await;
            document.map(|json| shown(Written { status: 200, id: get.id, json }, get.versioned))
        }
        Operation::List(list) => {
            let params = list.query.params()?;
            documents.list(who, facts, &list.collection, &params).await
        }
        Operation::Aggregate(asked) => {
            let params = asked.query.params()?;
            documents.aggregate(who, facts, &asked.collection, &params).await
        }
        Operation::UpdateMany(many) => {
            let (params, body) = (many.query.params()?, many.data.get().as_bytes());
            let done = documents.update_many(who, facts, &many.collection, &params, body).await;
            done.map(|outcome| json!(outcome).to_string().into_bytes())
        }
        Operation::DeleteMany(many) => {
            let params = many.query.params()?;
            let done = documents.delete_many(who, facts, &many.collection, &params).await;
            done.map(|outcome| json!(outcome).to_string().into_bytes())
        }
        Operation::Publish(publish) => documents.publish(who, facts, &publish.name, &publish.payload).await,
        operation => write(documents, who, facts, operation).await,
    }
}

/// Writes of documents that are named.
async fn write(
    documents: &Documents,
    who: &Identity,
    facts: &RequestFacts,
    operation: Operation,
) -> Result<Vec<u8>, ApiError> {
    let once = |key: Option<&String>, what: &[&str], data: &RawValue| {
        let request = || format!("{}\n{}", what.join("\n"), data.get());
        key.map(|key| Once::of_call(key, who, facts, &request())).transpose()
    };
    match operation {
        Operation::Create(create) => {
            let key = once(create.idempotency_key.as_ref(), &["create", &create.collection], &create.data)?;
            let body = create.data.get().as_bytes();
            let made = documents.create(who, facts, &create.collection, body, key).await?;
            Ok(shown(made, create.versioned))
        }
        Operation::Upsert(upsert) => {
            let (collection, field) = (upsert.collection.as_str(), upsert.field.as_str());
            let key = once(upsert.idempotency_key.as_ref(), &["upsert", collection, field], &upsert.data)?;
            let body = upsert.data.get().as_bytes();
            let made = documents.upsert(who, facts, collection, field, body, key).await?;
            Ok(shown(made, upsert.versioned))
        }
        Operation::Update(update) => {
            let condition = Precondition::of(update.if_match.as_deref(), update.if_none_match.as_deref())?;
            let (collection, id, body) = (&update.collection, &update.id, update.data.get().as_bytes());
            let changed = documents.update(who, facts, collection, id, body, condition).await?;
            Ok(shown(changed, update.versioned))
        }
        Operation::Replace(update) => {
            let condition = Precondition::of(update.if_match.as_deref(), update.if_none_match.as_deref())?;
            let (collection, id, body) = (&update.collection, &update.id, update.data.get().as_bytes());
            let changed = documents.replace(who, facts, collection, id, body, condition).await?;
            Ok(shown(changed, update.versioned))
        }
        Operation::Delete(delete) => {
            let condition = Precondition::of(delete.if_match.as_deref(), None)?;
            documents.delete(who, facts, &delete.collection, &delete.id, condition).await?;
            Ok(Vec::new())
        }
        Operation::Batch(batch) => {
            let key = once(batch.idempotency_key.as_ref(), &["batch"], &batch.operations)?;
            let body = format!("{{\"operations\":{}}}", batch.operations.get());
            documents.batch(who, facts, Batch::parse(body.as_bytes())?, key).await
        }
        other => Err(ApiError::new(Code::InvalidRequest, format!("{other:?} writes nothing."))),
    }
}

/// A document, with its version if that is wanted.
fn shown(written: Written, versioned: bool) -> Vec<u8> {
    if versioned { written.to_result() } else { written.json }
}
