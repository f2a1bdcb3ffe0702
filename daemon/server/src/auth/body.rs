//! The body of what makes or changes an account: a document of `users` with secrets beside its fields.
//!
//! Everything is kept as it was written, twice if it was there twice; the document parser is the one
//! that judges. Only the secrets, which it never sees, are checked here.

use std::fmt;

use alyx_core::document::FieldError;
use alyx_core::schema::ACCOUNT_MEMBERS;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::{ApiError, internal};

/// A body.
#[derive(Debug)]
pub struct AccountBody {
    fields: Vec<(String, Box<RawValue>)>,
}

impl AccountBody {
    /// Takes a secret out. An error if it is no text.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        self.take_as(name, "It must be text.")
    }

    /// Takes a member out that is more than text; `rule` is told to who sent something else.
    pub fn take_as<T: DeserializeOwned>(&mut self, name: &str, rule: &str) -> Result<Option<T>, FieldError> {
        let Some(place) = self.fields.iter().position(|(found, _)| found == name) else { return Ok(None) };
        let (_, raw) = self.fields.remove(place);
        let wrong = |_| FieldError { field: name.to_owned(), code: "invalid_type", message: rule.to_owned() };
        serde_json::from_str(raw.get()).map(Some).map_err(wrong)
    }

    /// Whether there is such a member.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(found, _)| found == name)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Option<String> {
        let (_, raw) = self.fields.iter().find(|(found, _)| found == name)?;
        serde_json::from_str(raw.get()).ok()
    }

    /// The fields as the JSON they came as.
    pub fn json(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>, ApiError> {
        let mut out = vec![b'{'];
        for (name, value) in self.fields.iter().filter(|(name, _)| wanted(name)) {
            if out.len() > 1 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, name).map_err(|error| internal("copy a body", &error))?;
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Ok(out)
    }
}

impl<'de> Deserialize<'de> for AccountBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = AccountBody;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<AccountBody, A::Error> {
                let mut body = AccountBody { fields: Vec::new() };
                while let Some((name, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    if ACCOUNT_MEMBERS.contains(&name.as_str()) && body.has(&name) {
                        return Err(serde::de::Error::custom(format!("{name} is there twice")));
                    }
                    body.fields.push((name, value));
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::AccountBody;

    #[test]
    fn bodies_keep_what_was_written() {
        let text = r#"{"email":"a@b.c","n":12345678901234567890.5,"password":"x","n":1}"#;
        let mut body: AccountBody = serde_json::from_str(text).unwrap();
        assert_eq!(body.take("password").unwrap().as_deref(), Some("x"));
        assert_eq!(body.take("password").unwrap(), None);
        assert_eq!(body.text("email").as_deref(), Some("a@b.c"));
        let json = String::from_utf8(body.json(|_| true).unwrap()).unwrap();
        assert_eq!(json, r#"{"email":"a@b.c","n":12345678901234567890.5,"n":1}"#);
        assert!(serde_json::from_str::<AccountBody>(r#"{"password":"x","password":"y"}"#).is_err());
        assert!(serde_json::from_str::<AccountBody>("[]").is_err());
        let mut wrong: AccountBody = serde_json::from_str(r#"{"password":7}"#).unwrap();
        assert_eq!(wrong.take("password").unwrap_err().code, "invalid_type");
    }
}
