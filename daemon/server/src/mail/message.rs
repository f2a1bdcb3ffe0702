//! A filled template as a message (RFC 5322). The library encodes every header and refuses addresses
//! that are none, so no value can add a header.

use alyx_store::DueJob;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::template::Filled;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the address of the receiver is not one that mail can be sent to")]
    Address(#[from] lettre::address::AddressError),
    #[error("write the message")]
    Message(#[from] lettre::error::Error),
}

/// Puts the message of a job to an address together. Its id is that of the job, so one that is sent again after a crash can be
/// told from another.
pub fn message(
    (job, recipient): (&DueJob, &str),
    from: &Mailbox,
    filled: Filled,
) -> Result<Message, MessageError> {
    let to: Address = recipient.trim().parse()?;
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(filled.subject)
        .message_id(Some(format!("<{}@{}>", job.id, from.email.domain())))
        .date(job.created_at.into())
        // RFC 3834 §5: nobody's out-of-office note comes back.
        .raw_header(HeaderValue::new(auto, "auto-generated".to_owned()));
    Ok(match filled.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(filled.text, html))?,
        None => builder.singlepart(SinglePart::plain(filled.text))?,
    })
}
