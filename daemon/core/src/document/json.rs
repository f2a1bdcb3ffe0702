//! JSON text as it comes from a client: an object taken apart without reading its values, and a
//! value checked strictly and stored without space. Numbers stay the text they are, so none loses
//! digits.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DocumentError;
use super::convert::Fault;
use crate::limits::{DOCUMENT_MAX_BYTES, JSON_DEPTH_MAX};

/// The members of an object in order, no name twice.
///
/// # Errors
/// [`DocumentError::NotAnObject`] and [`DocumentError::InvalidJson`].
pub fn members(body: &[u8]) -> Result<Vec<(String, &RawValue)>, DocumentError> {
    if body.len() > DOCUMENT_MAX_BYTES {
        return Err(DocumentError::InvalidJson(format!("it is larger than {DOCUMENT_MAX_BYTES} bytes")));
    }
    stored_members(body)
}

/// The same of an object that may have grown over the years.
pub(super) fn stored_members(body: &[u8]) -> Result<Vec<(String, &RawValue)>, DocumentError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        DocumentError::InvalidJson(format!("it is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let members = (&mut json).deserialize_map(Members).and_then(|members| json.end().map(|()| members));
    let members = members.map_err(|error| match error.is_data() {
        true => DocumentError::NotAnObject,
        false => DocumentError::InvalidJson(error.to_string()),
    })?;
    let mut seen = HashSet::with_capacity(members.len());
    match members.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        Some((name, _)) => Err(DocumentError::InvalidJson(format!("it names \"{}\" twice", cut(name)))),
        None => Ok(members),
    }
}

/// The name of a field for messages, cut to what a name may be long.
pub(super) fn cut(name: &str) -> String {
    name.chars().take(crate::limits::NAME_MAX_BYTES).collect()
}

/// Checks that a JSON text means the same to whoever reads it: no number outside of the doubles, no
/// half of a surrogate pair, no name twice in one object, at most `depth_max` levels.
///
/// # Errors
/// [`DocumentError::InvalidJson`] with what is wrong and where.
pub fn check_json(text: &[u8], depth_max: usize) -> Result<(), DocumentError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let checked =
        Strict { levels_left: depth_max, depth_max }.deserialize(&mut json).and_then(|()| json.end());
    checked.map_err(|error| DocumentError::InvalidJson(error.to_string()))
}

/// The text of a JSON value without space between its tokens, checked as [`check_json`] does.
///
/// # Errors
/// What is wrong and where.
pub fn compact_json(raw: &str) -> Result<String, String> {
    compact(raw).map_err(|fault| fault.message)
}

/// Checks a JSON value strictly and drops the space between its tokens.
pub(super) fn compact(raw: &str) -> Result<String, Fault> {
    let mut json = serde_json::Deserializer::from_str(raw);
    let checked = Strict { levels_left: JSON_DEPTH_MAX, depth_max: JSON_DEPTH_MAX }
        .deserialize(&mut json)
        .and_then(|()| json.end());
    checked.map_err(|error| Fault::new("invalid_json", error.to_string()))?;
    let mut out = String::with_capacity(raw.len());
    let (mut inside, mut escaped) = (false, false);
    for character in raw.chars() {
        if inside || !character.is_ascii_whitespace() {
            out.push(character);
        }
        inside = if escaped { inside } else { inside ^ (character == '"') };
        escaped = inside && !escaped && character == '\\';
    }
    Ok(out)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// Accepts any value that is not too deep and has no name twice in one object.
#[derive(Clone, Copy)]
struct Strict {
    levels_left: usize,
    depth_max: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left, ..self }),
            None => Err(E::custom(format!("nested deeper than {} levels", self.depth_max))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("names \"{}\" twice", cut(&name))));
            }
            seen.insert(name);
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{compact, members};

    #[test]
    fn compact_keeps_the_value() {
        let check = |raw: &str, expected: Option<&str>| {
            assert_eq!(compact(raw).ok().as_deref(), expected, "{raw}");
        };
        check("null", Some("null"));
        check("{ \"a\" : [ 1 , 2.50 ,\n -0 ] }", Some("{\"a\":[1,2.50,-0]}"));
        check(r#"" a \" b \\" "#, Some(r#"" a \" b \\""#));
        check(r#"["\\", " \\\" ", 1]"#, Some(r#"["\\"," \\\" ",1]"#));
        check("123456789012345678901234567890", Some("123456789012345678901234567890"));
        check("{\"a\":1,\"a\":2}", None);
        check("[{\"b\":{\"a\":1,\"a\":2}}]", None);
        check(r#""\ud800""#, None);
        check("1e999", None);
        check("01", None);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check(&nested(64), Some(&nested(64)));
        check(&nested(65), None);
        check(&nested(100_000), None);
    }

    #[test]
    fn members_of_an_object() {
        let check = |body: &str, expected: Result<&str, &str>| {
            let found = members(body.as_bytes()).map(|members| {
                let show = |(name, raw): &(String, &super::RawValue)| format!("{name}={}", raw.get());
                members.iter().map(show).collect::<Vec<_>>().join(" ")
            });
            let found = found.map_err(|error| error.to_string());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{body}: {found}"),
                _ => panic!("{body}: {found:?}"),
            }
        };
        check("{}", Ok(""));
        check(" {\"a\" : 1, \"b\": [ 2 ]} ", Ok("a=1 b=[ 2 ]"));
        check("{\"a\":1,\"\\u0061\":2}", Err("it names \"a\" twice"));
        check("[]", Err("must be a JSON object"));
        check("null", Err("must be a JSON object"));
        check("\"{}\"", Err("must be a JSON object"));
        check("", Err("not valid JSON"));
        check("{", Err("not valid JSON"));
        check("{} {}", Err("not valid JSON"));
        check("{\"a\":}", Err("not valid JSON"));
        check("{a:1}", Err("not valid JSON"));
        check("\u{feff}{}", Err("not valid JSON"));
        assert!(members(b"{\"a\":\"\xff\"}").is_err());
        assert!(members(&vec![b' '; crate::limits::DOCUMENT_MAX_BYTES + 1]).is_err());
    }
}
