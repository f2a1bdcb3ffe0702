//! Sends mails: each is a job of the transaction that caused it.

use std::collections::BTreeMap;
use std::pin::Pin;

use alyx_core::schema::Retry;
use alyx_store::{DueJob, MAIL_JOB, MailContent, Store};
use jiff::Timestamp;

use super::message::{MessageError, message};
use super::templates::TemplatesError;
use super::transport::SendError;
use super::{Mail, owner};
use crate::jobs::{Attempt, Handler};
use crate::limits::{MAIL_RETRY_MAX, MAILS_AT_ONCE};
use crate::problem::error_chain;

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no mail is sent")]
    Off,
    #[error("it could not be read")]
    Store(#[from] alyx_store::Error),
    #[error("what it says has expired before it could be sent")]
    Expired,
    #[error("what it says could not be read: {0}")]
    Sealed(#[from] crate::seal::NotOurs),
    #[error("what it says is damaged")]
    Values(#[from] serde_json::Error),
    #[error("its template cannot be used")]
    Template(#[from] TemplatesError),
    #[error("there is no template of its name")]
    NoTemplate,
    #[error("it cannot be written")]
    Message(#[from] MessageError),
    #[error("it was not taken")]
    Send(#[from] SendError),
}

impl Failed {
    /// Whether it would fail again.
    fn is_final(&self) -> bool {
        match self {
            Self::Expired | Self::Sealed(_) | Self::Message(MessageError::Address(_)) => true,
            Self::Send(error) => error.is_final(),
            _ => false,
        }
    }
}

/// Carries out the jobs that send mails.
pub struct MailJobs {
    pub mail: Mail,
    pub store: Store,
}

impl Handler for MailJobs {
    fn kind(&self) -> &'static str {
        MAIL_JOB
    }

    fn at_once(&self) -> u32 {
        MAILS_AT_ONCE
    }

    fn policy(&self, _: &str) -> Retry {
        let settings = &self.mail.0.settings;
        let longest = MAIL_RETRY_MAX.max(settings.retry_after);
        Retry { attempts: settings.attempts, first: settings.retry_after, longest }
    }

    fn run(&self, job: DueJob) -> Pin<Box<dyn Future<Output = Attempt> + Send>> {
        let (mail, store) = (self.mail.clone(), self.store.clone());
        Box::pin(async move {
            match attempt(&mail, &store, &job).await {
                Ok(()) => Attempt::Done,
                Err(error) if error.is_final() => Attempt::Hopeless { error: error_chain(&error) },
                Err(error) => Attempt::Failed { error: error_chain(&error), wait: None },
            }
        })
    }
}

async fn attempt(mail: &Mail, store: &Store, job: &DueJob) -> Result<(), Failed> {
    let content = store.mail(&job.id).await?;
    match content.filter(|content| !content.recipient.is_empty()) {
        // To nobody, or to one who has gone since.
        None => Ok(()),
        Some(content) if content.expires_at <= Timestamp::now() => Err(Failed::Expired),
        Some(content) => send(mail, job, &content).await,
    }
}

async fn send(mail: &Mail, job: &DueJob, content: &MailContent) -> Result<(), Failed> {
    let parts = &mail.0;
    let transport = parts.transport.as_ref().ok_or(Failed::Off)?;
    let text = parts.sealer.open(&owner(&job.id), &content.sealed)?;
    let mut values: BTreeMap<String, String> = serde_json::from_slice(&text)?;
    values.insert("app".to_owned(), parts.settings.app_name.clone());
    values.insert("email".to_owned(), content.recipient.clone());
    let filled =
        parts.templates.fill(&content.template, &content.locale, &values)?.ok_or(Failed::NoTemplate)?;
    let text = filled.text.clone();
    let message = message((job, &content.recipient), &parts.settings.from, filled)?;
    Ok(transport.send(&job.id, message, &text).await?)
}
