//! The secrets that one function is given, and their removal from what it logs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::secrets::Secret;

/// Shorter texts are not looked for: they stand in lines by chance.
const LOOKED_FOR_MIN_BYTES: usize = 6;

/// The mark of a line that was cut.
const CUT: &str = "…";

/// The secrets of one function.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FunctionSecrets {
    values: BTreeMap<String, Arc<str>>,
    missing: Vec<String>,
    /// What is looked for in lines, longest first, and what stands there instead.
    needles: Vec<(String, String)>,
}

impl FunctionSecrets {
    /// Those of `all` that are in `names`.
    pub fn new(names: &[String], all: &BTreeMap<String, Secret>) -> Self {
        let mut secrets = Self::default();
        for name in names {
            match all.get(name).and_then(|secret| secret.value.as_ref()) {
                Some(value) => {
                    secrets.look_for(name, value);
                    secrets.values.insert(name.clone(), Arc::clone(value));
                }
                None => secrets.missing.push(name.clone()),
            }
        }
        secrets.needles.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        secrets
    }

    /// By name, for the worker.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    }

    /// Why the function cannot be given its secrets.
    pub fn lack(&self) -> Option<String> {
        let first = self.missing.first()?;
        let (verb, names) = match self.missing.len() {
            1 => ("The secret", first.clone()),
            _ => ("The secrets", self.missing.join(", ")),
        };
        let is = if self.missing.len() == 1 { "is" } else { "are" };
        Some(format!("{verb} {names} {is} not set; `alyx secrets set {first}` sets it."))
    }

    /// The text without any of the secrets. A value over several lines is looked for line by line, and
    /// one that a cut has halved up to the cut.
    pub fn redact(&self, text: String) -> String {
        let mut text = text;
        for (needle, instead) in &self.needles {
            if text.contains(needle.as_str()) {
                text = text.replace(needle.as_str(), instead);
            }
        }
        let Some(kept) = text.strip_suffix(CUT) else { return text };
        let halved = self.needles.iter().find_map(|(needle, instead)| {
            let lengths = (LOOKED_FOR_MIN_BYTES..needle.len()).rev();
            let found =
                lengths.filter_map(|length| needle.get(..length)).find(|part| kept.ends_with(part))?;
            Some((kept.len() - found.len(), instead))
        });
        match halved {
            Some((length, instead)) => format!("{}{instead}{CUT}", &kept[..length]),
            None => text,
        }
    }

    fn look_for(&mut self, name: &str, value: &str) {
        let json = serde_json::Value::from(value).to_string();
        let forms = value.lines().chain([value, &json[1..json.len() - 1]]);
        for form in forms.filter(|form| form.len() >= LOOKED_FOR_MIN_BYTES) {
            if !self.needles.iter().any(|(text, _)| text == form) {
                self.needles.push((form.to_owned(), format!("[secret {name}]")));
            }
        }
    }
}

impl fmt::Debug for FunctionSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.values.keys().collect();
        out.debug_struct("FunctionSecrets").field("names", &names).field("missing", &self.missing).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::FunctionSecrets;
    use crate::secrets::Secret;

    fn secrets(values: &[(&str, &str)]) -> FunctionSecrets {
        let secret = |value: &str| Secret {
            value: Some(value.into()),
            created_at: String::new(),
            updated_at: String::new(),
        };
        let all: BTreeMap<String, Secret> =
            values.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect();
        let names: Vec<String> = all.keys().cloned().collect();
        FunctionSecrets::new(&names, &all)
    }

    #[test]
    fn values_do_not_stay_in_lines() {
        let found = secrets(&[
            ("A", "sk_live_12345"),
            ("B", "sk_live_1234567"),
            ("SHORT", "ab"),
            ("Q", "a\"b\"cdef"),
        ]);
        let check = |text: &str, shown: &str| assert_eq!(found.redact(text.to_owned()), shown);
        check("nothing", "nothing");
        check("key sk_live_12345!", "key [secret A]!");
        check("key sk_live_1234567sk_live_12345", "key [secret B][secret A]");
        check("ab", "ab");
        check(r#"{"q":"a\"b\"cdef"}"#, r#"{"q":"[secret Q]"}"#);
        check("cut sk_live_1…", "cut [secret B]…");
        check("cut sk_l…", "cut sk_l…");
        check("cut sk_live_1 …", "cut sk_live_1 …");
    }

    #[test]
    fn every_line_of_a_long_value_is_looked_for() {
        let found = secrets(&[("KEY", "-----BEGIN-----\nabcdefghij\nxyz\n-----END-----\n")]);
        assert_eq!(found.redact("abcdefghij".to_owned()), "[secret KEY]");
        assert_eq!(found.redact("xyz".to_owned()), "xyz");
    }

    #[test]
    fn nothing_shows_a_value() {
        let found = secrets(&[("A", "sk_live_12345")]);
        assert_eq!(format!("{found:?}"), r#"FunctionSecrets { names: ["A"], missing: [] }"#);
        let names = ["A".to_owned(), "B".to_owned()];
        let lack = FunctionSecrets::new(&names, &BTreeMap::new()).lack();
        assert_eq!(lack.unwrap(), "The secrets A, B are not set; `alyx secrets set A` sets it.");
    }
}
