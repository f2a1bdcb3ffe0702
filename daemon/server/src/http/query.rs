//! Query strings as pairs, strictly decoded. A parameter that means one thing may come once.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::app::App;
use crate::limits::QUERY_PARAMETERS_MAX;
use crate::problem::{ApiError, Code};

/// The query parameters in order, percent-decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPairs(pub Vec<(String, String)>);

impl QueryPairs {
    /// Reads a query string, `a=1&b=2`.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == QUERY_PARAMETERS_MAX {
                return Err(invalid(format!(
                    "At most {QUERY_PARAMETERS_MAX} query parameters are accepted."
                )));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = decode(name).zip(decode(value));
            pairs.push(decoded.ok_or_else(|| invalid("The query string is not percent-encoded UTF-8."))?);
        }
        Ok(Self(pairs))
    }

    /// Checks that nothing but `known` is there.
    pub fn known(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(invalid(format!("Unknown query parameter {name:?}."))),
            None => Ok(()),
        }
    }

    /// The same, and that nothing is there twice.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        self.known(known)?;
        for (index, (name, _)) in self.0.iter().enumerate() {
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(format!("The query parameter {name:?} may be given once.")));
            }
        }
        Ok(())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within bounds, or its default.
    pub fn number(&self, name: &str, default: u32, most: u32) -> Result<u32, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let parsed = text.parse().ok().filter(|number| (1..=most).contains(number));
        parsed.ok_or_else(|| invalid(format!("{name} must be a whole number from 1 to {most}.")))
    }
}

fn invalid(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidParameter, detail)
}

/// `application/x-www-form-urlencoded` decoding; `None` for a broken escape or invalid UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = digit(rest.next()).zip(digit(rest.next()))?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

impl FromRequestParts<App> for QueryPairs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{QueryPairs, decode};
    use crate::limits::QUERY_PARAMETERS_MAX;

    #[test]
    fn decoding_is_strict() {
        let check = |text, expected: Option<&str>| assert_eq!(decode(text).as_deref(), expected, "{text}");
        check("a+b%20c", Some("a b c"));
        check("%F0%9F%8E%89", Some("🎉"));
        check("%2B", Some("+"));
        check("%", None);
        check("%4", None);
        check("%zz", None);
        check("%ff", None);
        check("%00", Some("\0"));
    }

    #[test]
    fn pairs_keep_their_order() {
        let pairs = QueryPairs::parse("b=2&a=1&&b=3&flag").unwrap();
        let expected = [("b", "2"), ("a", "1"), ("b", "3"), ("flag", "")];
        assert!(pairs.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
        assert!(pairs.only(&["a", "b", "flag"]).is_err());
        assert!(QueryPairs::parse("a=1").unwrap().only(&["b"]).is_err());
        assert!(QueryPairs::parse("a=1").unwrap().only(&["a"]).is_ok());
    }

    #[test]
    fn numbers_have_bounds() {
        let check = |query, expected: Option<u32>| {
            let pairs = QueryPairs::parse(query).unwrap();
            assert_eq!(pairs.number("limit", 30, 100).ok(), expected, "{query}");
        };
        check("", Some(30));
        check("limit=1", Some(1));
        check("limit=100", Some(100));
        check("limit=101", None);
        check("limit=0", None);
        check("limit=-1", None);
        check("limit=x", None);
        check("limit=", None);
        check("limit=99999999999999999999", None);
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        assert!(QueryPairs::parse(&"a&".repeat(QUERY_PARAMETERS_MAX)).is_ok());
        assert!(QueryPairs::parse(&"a&".repeat(QUERY_PARAMETERS_MAX + 1)).is_err());
    }
}
