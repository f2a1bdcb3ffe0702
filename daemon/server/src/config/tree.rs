//! A YAML document of sections, keys and plain values, with the place of each.
//!
//! Values stay text until the setting they belong to reads them, so that `${PORT}` works for a
//! number as well as for a name.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A place in a file, both counted from 1; 0 where the parser does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

/// A node and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A key without a value.
    Empty,
    /// A scalar, as text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their places, in order of the file.
    Map(Vec<(String, Place, Node)>),
}

/// Why a file is not YAML.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntaxError {
    pub place: Place,
    pub message: String,
}

/// Reads a document. An empty one is an empty map.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node { place: Place::default(), kind: Kind::Map(Vec::new()) });
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let parsed: Result<Spanned<KindReader>, _> = serde_saphyr::from_str_with_options(text, options);
    match parsed {
        Ok(spanned) => Ok(node(spanned)),
        Err(error) => Err(SyntaxError {
            place: error.location().map_or_else(Place::default, |location| place(&location)),
            message: first_line(&error.to_string()),
        }),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("not YAML").to_owned()
}

fn place(location: &serde_saphyr::Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

fn node(spanned: Spanned<KindReader>) -> Node {
    Node { place: place(&spanned.referenced), kind: spanned.value.0 }
}

struct KindReader(Kind);

impl<'de> Deserialize<'de> for KindReader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor).map(Self)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a section, a list or a plain value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Empty)
    }

    fn visit_none<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Empty)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        KindReader::deserialize(deserializer).map(|reader| reader.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<KindReader>>()? {
            items.push(node(item));
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let value = access.next_value::<Spanned<KindReader>>()?;
            entries.push((key.value, place(&key.referenced), node(value)));
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Place, parse};

    #[test]
    fn keys_and_values_know_their_place() {
        let tree = parse("server:\n  listen: 127.0.0.1:1\n  body_limit: 10\n").unwrap();
        let Kind::Map(sections) = tree.kind else { panic!("not a map") };
        let (name, place, section) = &sections[0];
        assert_eq!((name.as_str(), *place), ("server", Place { line: 1, column: 1 }));
        let Kind::Map(keys) = &section.kind else { panic!("not a map") };
        assert_eq!(keys[1].0, "body_limit");
        assert_eq!(keys[1].1, Place { line: 3, column: 3 });
        assert_eq!(keys[1].2.kind, Kind::Text("10".to_owned()));
        assert_eq!(keys[1].2.place, Place { line: 3, column: 15 });
    }

    #[test]
    fn what_is_not_yaml_says_where() {
        let error = parse("server:\n  listen: [1,\n").unwrap_err();
        assert!(error.place.line >= 2, "{error:?}");
        let error = parse("a: 1\na: 2\n").unwrap_err();
        assert!(error.message.to_lowercase().contains("duplicate"), "{error:?}");
    }
}
