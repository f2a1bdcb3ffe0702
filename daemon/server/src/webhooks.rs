//! Webhooks: signed requests to others when something happens, each a job of the transaction in which it
//! happened.
//!
//! | module | job |
//! |---|---|
//! | [`log`] | what was delivered, and delivering it again |
//! | [`message`] | what is told |
//! | [`signature`] | who told it |

mod log;
mod message;
mod signature;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alyx_core::schema::{Retry, Webhook};
use alyx_store::{DeliveryRow, DueJob, Store, Topic, Trigger};
use arc_swap::ArcSwap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use self::message::Message;
use crate::app::App;
use crate::audit::Action;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::config;
use crate::hooks::topics;
use crate::jobs::{Attempt, Handler};
use crate::limits::{DELIVERIES_AT_ONCE, DELIVERY_REQUEST_MAX_BYTES};
use crate::made::{Keeper, Registry};
use crate::outbound::{Guard, Outbound, OutboundError, Response};
use crate::problem::error_chain;
use crate::secrets::Secrets;
use crate::triggers::Triggers;

pub use self::signature::Secret;

/// Kind of the jobs of webhooks.
pub const KIND: &str = "webhook";

/// The webhooks. A cheap clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Service>);

struct Service {
    store: Store,
    catalog: CatalogHandle,
    secrets: Secrets,
    triggers: Triggers,
    outbound: Outbound,
    registry: Registry<Webhook>,
    /// Those that are in force.
    webhooks: ArcSwap<Vec<Arc<Webhook>>>,
    /// One renewal at a time, so that the last one has seen the last schema.
    renewing: Mutex<()>,
}

impl Webhooks {
    /// The webhooks of the schema in force and those made at run time.
    pub async fn start(
        (store, catalog, secrets): (&Store, &CatalogHandle, &Secrets),
        triggers: Triggers,
        config: &config::Webhooks,
    ) -> Result<Self, alyx_store::Error> {
        let webhooks = Self(Arc::new(Service {
            store: store.clone(),
            catalog: catalog.clone(),
            secrets: secrets.clone(),
            triggers,
            outbound: Outbound::new(Guard { allow: config.allow.clone() }),
            registry: Registry::load(store.clone(), catalog.clone()).await?,
            webhooks: ArcSwap::default(),
            renewing: Mutex::default(),
        }));
        webhooks.renew();
        Ok(webhooks)
    }
}

impl Webhooks {
    /// The secrets that those in force sign with.
    pub fn names_of_secrets(&self) -> Vec<String> {
        self.0.webhooks.load().iter().flat_map(|webhook| webhook.secrets.clone()).collect()
    }
}

impl Keeper for Webhooks {
    type Kept = Webhook;
    const PLURAL: &'static str = "webhooks";
    const ACTIONS: [Action; 3] = [Action::WebhookCreate, Action::WebhookUpdate, Action::WebhookDelete];

    fn of(app: &App) -> &Self {
        &app.webhooks
    }

    fn registry(&self) -> &Registry<Webhook> {
        &self.0.registry
    }

    fn renew(&self) {
        let service = &self.0;
        let _one = service.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let webhooks = service.registry.in_force();
        let of_one = |webhook: &Arc<Webhook>| {
            let trigger = Trigger { kind: KIND, target: webhook.id.clone(), ordered: false };
            topics(&webhook.on).into_iter().map(move |topic: Topic| (topic, trigger.clone()))
        };
        service.triggers.set(KIND, webhooks.iter().flat_map(of_one).collect());
        service.webhooks.store(Arc::new(webhooks));
    }

    fn problem(&self, id: &str) -> Option<String> {
        let webhook = self.0.get(id)?;
        let refused = self.0.outbound.judge(&webhook.url).err();
        refused.map(|refused| format!("refused: {refused}")).or_else(|| self.0.secrets_of(&webhook).err())
    }
}

impl Service {
    fn get(&self, id: &str) -> Option<Arc<Webhook>> {
        self.webhooks.load().iter().find(|webhook| webhook.id == id).cloned()
    }

    async fn carry_out(&self, job: DueJob) -> Attempt {
        let hopeless = |error: String| Attempt::Hopeless { error };
        let Some(webhook) = self.get(&job.target) else {
            return hopeless(format!("there is no webhook {:?} any more", job.target));
        };
        let message = match Message::new(&self.catalog.load(), &webhook.on, &job.payload) {
            Ok(message) => message,
            Err(error) => return hopeless(format!("its payload is damaged: {error}")),
        };
        let body = message.body();
        if let Some(condition) = webhook.condition.clone() {
            // On a thread of its own: what its evaluation does takes time, and nothing else with it.
            let holds = tokio::task::spawn_blocking(move || condition.holds(&message.data)).await;
            match holds.unwrap_or_else(|_| Err("it cannot be evaluated".to_owned())) {
                Ok(true) => {}
                Ok(false) => return Attempt::Done,
                Err(error) => return hopeless(format!("its condition fails: {error}")),
            }
        }
        self.deliver(&webhook, &job, body).await
    }

    /// The secrets that sign, the newest first.
    fn secrets_of(&self, webhook: &Webhook) -> Result<Vec<Secret>, String> {
        let kept = self.secrets.all();
        let one = |name: &String| {
            let value = kept.get(name).and_then(|secret| secret.value.clone());
            let value = value.ok_or_else(|| format!("the secret {name} is not set"))?;
            let wrong = || format!("the secret {name} is not whsec_ and base64 of 24 to 64 bytes");
            Secret::parse(&value).ok_or_else(wrong)
        };
        webhook.secrets.iter().map(one).collect()
    }

    async fn deliver(&self, webhook: &Webhook, job: &DueJob, body: String) -> Attempt {
        let (at, started) = (Timestamp::now(), Instant::now());
        let request = beginning(&body);
        let (attempt, answer) = match self.secrets_of(webhook) {
            // Nothing of this is the receiver's doing: it costs none of the attempts that it has.
            Err(error) => (Attempt::Setback { error }, None),
            Ok(secrets) => {
                let signature = signature::sign(&secrets, &job.id, at.as_second(), body.as_bytes());
                match headers(webhook, job, at, signature) {
                    Err(error) => (Attempt::Hopeless { error: error.to_string() }, None),
                    Ok(headers) => {
                        let body = body.into();
                        let answer = self.outbound.post(&webhook.url, headers, body, webhook.timeout).await;
                        (judge(&answer), answer.ok())
                    }
                }
            }
        };
        let error = match &attempt {
            Attempt::Done => None,
            Attempt::Failed { error, .. } | Attempt::Setback { error } | Attempt::Hopeless { error } => {
                Some(error.clone())
            }
        };
        let row = DeliveryRow {
            seq: 0,
            job: job.id.clone(),
            webhook: webhook.id.clone(),
            attempt: job.attempt,
            at: clock::text(at),
            url: webhook.url.to_string(),
            request,
            status: answer.as_ref().map(|answer| answer.status.as_u16()),
            response: answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()),
            error,
            duration_ms: u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX),
        };
        if let Err(error) = self.store.record_delivery(row).await {
            tracing::warn!("a delivery of {} was not noted: {}", webhook.id, error_chain(&error));
        }
        attempt
    }
}

fn headers(
    webhook: &Webhook,
    job: &DueJob,
    at: Timestamp,
    signature: String,
) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &webhook.headers {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::try_from(&job.id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(at.as_second()));
    headers.insert("webhook-signature", HeaderValue::try_from(signature)?);
    Ok(headers)
}

/// What an answer, or none, means for the job.
fn judge(answer: &Result<Response, OutboundError>) -> Attempt {
    let response = match answer {
        Ok(response) => response,
        // What is not public now will not be after a while either.
        Err(OutboundError::Refused(refused)) => {
            return Attempt::Hopeless { error: format!("refused: {refused}") };
        }
        Err(error) => return Attempt::Failed { error: error.to_string(), wait: None },
    };
    let status = response.status;
    if status.is_success() {
        return Attempt::Done;
    }
    let error = match status.is_redirection() {
        true => format!("it answered {}; redirects are not followed", status.as_u16()),
        false => format!("it answered {}", status.as_u16()),
    };
    if status == http::StatusCode::GONE {
        return Attempt::Hopeless { error };
    }
    Attempt::Failed { error, wait: retry_after(&response.headers) }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(at.duration_since(Timestamp::now())).ok()
}

/// What is kept of a request.
fn beginning(body: &str) -> String {
    let mut end = body.len().min(DELIVERY_REQUEST_MAX_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    body[..end].to_owned()
}

impl Handler for Webhooks {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        DELIVERIES_AT_ONCE
    }

    fn policy(&self, target: &str) -> Retry {
        self.0.get(target).map_or(Retry::default(), |webhook| webhook.retry)
    }

    fn run(&self, job: DueJob) -> Pin<Box<dyn Future<Output = Attempt> + Send>> {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.carry_out(job).await })
    }
}
