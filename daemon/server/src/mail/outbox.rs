//! Sends what is due. The table is the truth: a wake-up only says that there may be something, and a
//! mail that was being sent when the process ended is due again after the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use alyx_store::{DueMail, MailOutcome, Store};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;

use super::message::{MessageError, message};
use super::templates::TemplatesError;
use super::transport::SendError;
use super::{Mail, owner};
use crate::limits::{MAIL_ERROR_MAX_CHARS, MAIL_RETRY_MAX, MAIL_STOP_GRACE, MAILS_AT_ONCE};
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// Time after which the table is looked at again, also if it could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no mail is sent")]
    Off,
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

/// Sends until it is told to stop.
pub async fn run(mail: Mail, store: Store, mut stopped: watch::Receiver<bool>) {
    while mail.is_on() {
        let mut stop = stopped.clone();
        let hurry = async {
            told_to_stop(&mut stop).await;
            tokio::time::sleep(MAIL_STOP_GRACE).await;
        };
        let wait = tokio::select! {
            wait = send_due(mail.clone(), store.clone(), stopped.clone()) => wait,
            () = hurry => return,
        };
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            () = mail.0.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Sends everything that is due. Gives the time until more is.
async fn send_due(mail: Mail, store: Store, stopped: watch::Receiver<bool>) -> Duration {
    while !*stopped.borrow() {
        let due = match store.due_mails(Timestamp::now(), u32::try_from(MAILS_AT_ONCE).unwrap_or(1)).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!("mails that are due cannot be read: {}", error_chain(&error));
                return LOOK_AGAIN;
            }
        };
        if due.is_empty() {
            break;
        }
        let attempts = due.into_iter().map(|due| attempt(mail.clone(), store.clone(), due));
        let settled = join_all(attempts).await;
        if settled.contains(&false) {
            // What is not noted would be sent again and again.
            return LOOK_AGAIN;
        }
    }
    match store.next_mail_due().await {
        Ok(Some(due)) => Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default(),
        _ => LOOK_AGAIN,
    }
}

/// Tries to send one mail. Answers whether the outcome is noted.
async fn attempt(mail: Mail, store: Store, due: DueMail) -> bool {
    let now = Timestamp::now();
    let outcome = if due.expires_at <= now {
        let error = "what it says has expired before it could be sent".to_owned();
        MailOutcome::Dead { error }
    } else {
        match send(&mail, &due).await {
            Ok(()) => MailOutcome::Sent,
            Err(error) => judge(&mail, &due, &error, now),
        }
    };
    if let MailOutcome::Dead { error } = &outcome {
        tracing::error!(mail.id = due.id, "mail {} is given up: {error}", due.id);
    }
    let noted = store.settle_mail(&due.id, outcome).await;
    if let Err(error) = &noted {
        tracing::warn!("what became of mail {} was not noted: {}", due.id, error_chain(error));
    }
    noted.is_ok()
}

fn judge(mail: &Mail, due: &DueMail, error: &Failed, now: Timestamp) -> MailOutcome {
    let settings = &mail.0.settings;
    let is_final = matches!(error, Failed::Message(MessageError::Address(_)) | Failed::Sealed(_))
        || matches!(error, Failed::Send(error) if error.is_final());
    let error: String = error_chain(error).chars().take(MAIL_ERROR_MAX_CHARS).collect();
    if is_final || due.attempts + 1 >= settings.attempts {
        return MailOutcome::Dead { error };
    }
    let factor = 4_u32.saturating_pow(due.attempts);
    let wait = settings.retry_after.saturating_mul(factor).min(MAIL_RETRY_MAX);
    tracing::warn!(mail.id = due.id, "mail {} waits for {} s: {error}", due.id, wait.as_secs());
    MailOutcome::Retry { due_at: now + wait, error }
}

async fn send(mail: &Mail, due: &DueMail) -> Result<(), Failed> {
    let parts = &mail.0;
    let transport = parts.transport.as_ref().ok_or(Failed::Off)?;
    let text = parts.sealer.open(&owner(&due.id), &due.sealed)?;
    let mut values: BTreeMap<String, String> = serde_json::from_slice(&text)?;
    values.insert("app".to_owned(), parts.settings.app_name.clone());
    values.insert("email".to_owned(), due.recipient.clone());
    let filled = parts.templates.fill(&due.template, &due.locale, &values)?.ok_or(Failed::NoTemplate)?;
    let text = filled.text.clone();
    let message = message(due, &parts.settings.from, filled)?;
    Ok(transport.send(&due.id, message, &text).await?)
}
