//! Versions of documents: the `ETag` of what a caller sees of one, and conditions on it (RFC 9110 §13).

use aws_lc_rs::digest::{SHA256, digest};

use crate::clock;
use crate::problem::{ApiError, Code};

/// What must hold of the document for a write to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    #[default]
    None,
    /// `If-Match` with these tags: it is at one of these versions.
    AtVersion(Vec<String>),
    /// `If-Match: *`: it exists.
    Exists,
    /// `If-None-Match: *`: it does not exist.
    Absent,
}

impl Precondition {
    /// Whether [`Precondition::check`] looks at what the caller sees of the document.
    pub const fn needs_version(&self) -> bool {
        matches!(self, Self::AtVersion(_))
    }

    /// Checks it. `current` is what the caller sees of the document, if there is one.
    pub fn check(&self, current: Option<&[u8]>) -> Result<(), ApiError> {
        let holds = match (self, current) {
            (Self::None, _) | (Self::Exists, Some(_)) | (Self::Absent, None) => true,
            (Self::AtVersion(tags), Some(current)) => tags.contains(&etag(current)),
            (Self::Exists | Self::AtVersion(_), None) | (Self::Absent, Some(_)) => false,
        };
        if holds {
            return Ok(());
        }
        let detail = match self {
            Self::Absent => "There is a document already.",
            _ => "The document is not at this version any more; get it again.",
        };
        Err(ApiError::new(Code::PreconditionFailed, detail))
    }

    /// The condition that the values of `If-Match` and `If-None-Match` make of a write.
    pub fn of(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, ApiError> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (Some(tags), None) => Ok(Self::at(tags)),
            (None, Some(tags)) if tags.trim() == "*" => Ok(Self::Absent),
            _ => {
                let detail = "A write takes If-Match with tags or *, or If-None-Match with *, not both.";
                Err(ApiError::new(Code::InvalidRequest, detail))
            }
        }
    }

    /// The condition that tags of `If-Match` make. A weak tag holds of no document.
    pub fn at(tags: &str) -> Self {
        match tags.trim() {
            "*" => Self::Exists,
            tags => Self::AtVersion(tags.split(',').map(|tag| tag.trim().to_owned()).collect()),
        }
    }
}

/// The strong tag of a representation: what differs in any byte has another.
pub fn etag(json: &[u8]) -> String {
    format!("\"{}\"", clock::hex(&digest(&SHA256, json).as_ref()[..12]))
}

/// Whether a tag stands in a list of `If-None-Match`, where weakness does not matter.
pub fn is_among(tag: &str, list: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|other| other.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::{Precondition, etag, is_among};

    #[test]
    fn conditions_are_about_what_is_there() {
        let check = |condition: Precondition, there: bool, holds: bool| {
            let current = there.then_some(b"{}".as_slice());
            assert_eq!(condition.check(current).is_ok(), holds, "{condition:?} {there}");
        };
        let tag = etag(b"{}");
        check(Precondition::None, true, true);
        check(Precondition::None, false, true);
        check(Precondition::at(&tag), true, true);
        check(Precondition::at(&format!("\"x\", {tag}")), true, true);
        check(Precondition::at(&format!("W/{tag}")), true, false);
        check(Precondition::at("\"x\""), true, false);
        check(Precondition::at(&tag), false, false);
        check(Precondition::at("*"), true, true);
        check(Precondition::at("*"), false, false);
        check(Precondition::Absent, true, false);
        check(Precondition::Absent, false, true);
        assert!(is_among(&tag, &format!("W/{tag}")) && is_among(&tag, "*") && !is_among(&tag, "\"x\""));
    }
}
