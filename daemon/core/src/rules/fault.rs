//! Why an evaluation failed. A failed evaluation denies; the text goes to the log, never to a client.

use super::lookups::LookupFailed;

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{operation} cannot take {found}")]
    Operand { operation: &'static str, found: String },
    #[error("there is no key {0:?}")]
    NoSuchKey(String),
    #[error("index {0} is out of range")]
    OutOfRange(i64),
    #[error("a number is out of range")]
    Overflow,
    #[error("division by zero")]
    DivisionByZero,
    #[error("{text:?} is not a valid {wanted}")]
    Conversion { text: String, wanted: &'static str },
    #[error("a text with a zero character has no size here")]
    ZeroCharacter,
    #[error("the evaluation takes too many steps")]
    TooManySteps,
    #[error("too many lookups")]
    TooManyLookups,
    #[error("look up another document: {0}")]
    Lookup(LookupFailed),
    #[error("the condition on another document fails")]
    LookedUp,
    #[error("the condition on another document has no SQL form")]
    NoSqlForm,
    #[error("there is no document to look at")]
    NoDocument,
    #[error("a stored value does not fit its field")]
    Stored,
}
