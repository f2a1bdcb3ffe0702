//! What a query showed at one place in the feed, and the difference between two such places.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use alyx_store::{Position, Since, Watched};

use crate::changes::{from_token, to_token};

/// Ids in order, each with a print of its document: enough to tell what is different later, without the
/// documents themselves.
#[derive(Clone, Debug)]
pub struct View {
    pub position: Position,
    /// The same as clients have it, for the question that was asked.
    pub token: String,
    docs: Vec<(Box<str>, u64)>,
}

/// A view and the documents in it.
#[derive(Debug)]
pub struct Seen {
    pub view: View,
    docs: Vec<Vec<u8>>,
}

impl Seen {
    /// What a query found. Prints of one `hasher` can be compared.
    pub fn new(watched: Watched, print: &str, hasher: &RandomState) -> Self {
        let Watched { position, docs } = watched;
        let (ids, docs): (Vec<String>, Vec<Vec<u8>>) = docs.into_iter().unzip();
        let prints = docs.iter().map(|json| hasher.hash_one(json));
        let view = View {
            token: format!("{}.{print}", to_token(&position)),
            position,
            docs: ids.into_iter().map(String::into_boxed_str).zip(prints).collect(),
        };
        Self { view, docs }
    }

    /// The rest of a message `snapshot`, after its id.
    pub fn snapshot(&self) -> String {
        let mut out = format!("\"type\":\"snapshot\",\"seq\":\"{}\",\"docs\":", self.view.token);
        self.list(&mut out, 0..self.docs.len());
        out.push('}');
        out
    }

    /// The rest of a message `delta` that leads from a view to this one, after its id; `None` if they are
    /// the same.
    pub fn delta(&self, from: &View) -> Option<String> {
        let Difference { inserts, updates, deletes } = self.difference(from);
        if inserts.is_empty() && updates.is_empty() && deletes.is_empty() {
            return None;
        }
        let mut out = format!("\"type\":\"delta\",\"seq\":\"{}\",\"inserts\":", self.view.token);
        self.list(&mut out, inserts.iter().copied());
        out.push_str(",\"updates\":");
        self.list(&mut out, updates.iter().copied());
        let places: Vec<usize> = inserts.into_iter().chain(updates).collect();
        let deletes = serde_json::to_string(&deletes).unwrap_or_default();
        out.push_str(&format!(",\"deletes\":{deletes},\"at\":{places:?}}}"));
        Some(out)
    }

    /// The same with nothing in it: what was there is still so.
    pub fn nothing_new(&self) -> String {
        let token = &self.view.token;
        format!(
            "\"type\":\"delta\",\"seq\":\"{token}\",\"inserts\":[],\"updates\":[],\"deletes\":[],\"at\":[]}}"
        )
    }

    fn list(&self, out: &mut String, places: impl Iterator<Item = usize>) {
        out.push('[');
        for (number, place) in places.enumerate() {
            if number > 0 {
                out.push(',');
            }
            out.push_str(str::from_utf8(&self.docs[place]).unwrap_or("null"));
        }
        out.push(']');
    }

    fn difference<'v>(&self, from: &'v View) -> Difference<'v> {
        let mut before: HashMap<&str, (usize, u64)> =
            from.docs.iter().enumerate().map(|(place, (id, print))| (&**id, (place, *print))).collect();
        let (mut inserts, mut updates, mut behind) = (Vec::new(), Vec::new(), 0);
        for (place, (id, print)) in self.view.docs.iter().enumerate() {
            match before.remove(&**id) {
                None => inserts.push(place),
                // Those that stay must keep their order, else they are told of as well.
                Some((old, known)) if known == *print && old >= behind => behind = old,
                Some(_) => updates.push(place),
            }
        }
        let gone = |id: &str| before.contains_key(id);
        let deletes = from.docs.iter().map(|(id, _)| &**id).filter(|id| gone(id)).collect();
        Difference { inserts, updates, deletes }
    }
}

/// The place that a client names, and the print of the question it was told of.
pub fn place_of(token: &str) -> Option<(Since, &str)> {
    let (place, print) = token.rsplit_once('.')?;
    let place = from_token(place).filter(|since| matches!(since, Since::After(_)))?;
    Some((place, print))
}

struct Difference<'v> {
    inserts: Vec<usize>,
    updates: Vec<usize>,
    deletes: Vec<&'v str>,
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use alyx_store::{Position, Watched};
    use serde_json::{Value, json};

    use super::Seen;

    fn seen(hasher: &RandomState, seq: u64, docs: &[(&str, i64)]) -> Seen {
        let docs = docs
            .iter()
            .map(|(id, n)| ((*id).to_owned(), json!({ "id": id, "n": n }).to_string().into_bytes()));
        let position = Position { incarnation: "0".repeat(32), seq };
        Seen::new(Watched { position, docs: docs.collect() }, "print", hasher)
    }

    fn apply(docs: &mut Vec<Value>, delta: &str) {
        let delta: Value = serde_json::from_str(&format!("{{{delta}")).unwrap();
        let list = |name: &str| delta[name].as_array().unwrap().clone();
        let gone: Vec<Value> = list("deletes");
        let changed: Vec<Value> = list("inserts").into_iter().chain(list("updates")).collect();
        docs.retain(|doc| !gone.contains(&doc["id"]) && changed.iter().all(|new| new["id"] != doc["id"]));
        let places = list("at").into_iter().map(|at| usize::try_from(at.as_u64().unwrap()).unwrap());
        let mut put: Vec<(usize, Value)> = places.zip(changed).collect();
        put.sort_by_key(|(at, _)| *at);
        put.into_iter().for_each(|(at, doc)| docs.insert(at, doc));
    }

    #[test]
    fn deltas_lead_from_any_view_to_any_other() {
        let hasher = RandomState::new();
        let lists: &[&[(&str, i64)]] = &[
            &[],
            &[("a", 1)],
            &[("a", 1), ("b", 1), ("c", 1)],
            &[("c", 1), ("b", 1), ("a", 1)],
            &[("b", 2), ("d", 1), ("a", 1)],
            &[("e", 1), ("c", 1), ("a", 2), ("f", 1), ("b", 1)],
        ];
        for from in lists {
            for to in lists {
                let (from, to) = (seen(&hasher, 1, from), seen(&hasher, 2, to));
                let read = |seen: &Seen| -> Value {
                    serde_json::from_str::<Value>(&format!("{{{}", seen.snapshot())).unwrap()["docs"].clone()
                };
                let mut docs = read(&from).as_array().unwrap().clone();
                match to.delta(&from.view) {
                    Some(delta) => apply(&mut docs, &delta),
                    None => assert_eq!(read(&from), read(&to)),
                }
                assert_eq!(Value::from(docs), read(&to));
            }
        }
    }
}
