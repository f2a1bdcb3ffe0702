//! What there was at every place in the change feed, and what a list of it shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use alyx_tests::Client;
use serde_json::{Value, json};

/// What subscribers ask.
#[derive(Debug)]
pub struct Question {
    pub collection: &'static str,
    /// JSON of `where`, if there is a condition.
    pub condition: Option<&'static str>,
    /// The same as code.
    holds: fn(&Value) -> bool,
    pub sort: &'static str,
    pub limit: usize,
}

/// All of them.
pub const QUESTIONS: [Question; 7] = [
    Question { collection: "items", condition: None, holds: |_| true, sort: "-n,id", limit: 500 },
    Question { collection: "items", condition: None, holds: |_| true, sort: "n,id", limit: 3 },
    Question {
        collection: "items",
        condition: Some(r#"{"team":"a"}"#),
        holds: |doc| doc["team"] == "a",
        sort: "id",
        limit: 100,
    },
    Question {
        collection: "items",
        condition: Some(r#"{"n":{"$gt":50},"public":true}"#),
        holds: |doc| doc["n"].as_i64() > Some(50) && doc["public"] == true,
        sort: "-n,id",
        limit: 5,
    },
    Question { collection: "notes", condition: None, holds: |_| true, sort: "id", limit: 100 },
    Question {
        collection: "notes",
        condition: Some(r#"{"room":"r1"}"#),
        holds: |doc| doc["room"] == "r1",
        sort: "-n,id",
        limit: 4,
    },
    Question { collection: "items", condition: None, holds: |_| true, sort: "team,-n,id", limit: 8 },
];

/// All documents at one place.
#[derive(Clone, Debug, Default)]
pub struct State(BTreeMap<(String, String), Arc<Value>>);

/// The states by place.
#[derive(Debug, Default)]
pub struct Model {
    states: BTreeMap<u64, State>,
    next: Option<String>,
    end: u64,
}

impl Model {
    /// Reads on in the change feed, and forgets the rounds before.
    pub async fn follow(&mut self, admin: &Client) {
        let last = self.states.pop_last();
        self.states = last.into_iter().collect();
        loop {
            let since = self.next.as_deref().unwrap_or("start");
            let page = admin.get_path(&format!("/api/changes?limit=1000&since={since}")).await.expect_ok();
            for change in page["changes"].as_array().expect("changes") {
                self.apply(change);
            }
            let next = page["next"].as_str().expect("a place");
            self.end =
                next.rsplit_once('.').and_then(|(_, seq)| seq.parse().ok()).expect("a place has a number");
            self.next = Some(next.to_owned());
            if page["at_end"] == true {
                return;
            }
        }
    }

    fn apply(&mut self, change: &Value) {
        let mut state = self.states.last_key_value().map(|(_, state)| state.clone()).unwrap_or_default();
        let text = |name: &str| change[name].as_str().expect("a text").to_owned();
        let key = (text("collection"), text("id"));
        match change.get("after").filter(|after| !after.is_null()) {
            Some(after) => state.0.insert(key, Arc::new(after.clone())),
            None => state.0.remove(&key),
        };
        let seq = change["seq"].as_u64().expect("a number");
        assert!(
            self.states.last_key_value().is_none_or(|(last, _)| *last < seq),
            "{seq} is told out of order"
        );
        self.states.insert(seq, state);
    }

    /// What there was.
    pub fn at(&self, seq: u64) -> &State {
        assert!(seq <= self.end, "{seq} is beyond the end, {}", self.end);
        let (_, state) = self.states.range(..=seq).next_back().unwrap_or_else(|| panic!("{seq} is long ago"));
        state
    }

    /// How many places there are.
    pub fn commits(&self) -> usize {
        self.states.len()
    }
}

impl State {
    /// The role of an account.
    pub fn role(&self, who: Option<&str>) -> Option<&str> {
        let account = self.0.get(&("users".to_owned(), who?.to_owned()))?;
        account["role"].as_str()
    }

    fn all<'s>(&'s self, collection: &'s str) -> impl Iterator<Item = &'s Value> {
        let own = self.0.iter().filter(move |((name, _), _)| name == collection);
        own.map(|(_, doc)| &**doc)
    }

    fn may_see(&self, collection: &str, doc: &Value, who: Option<&str>) -> bool {
        if collection == "notes" {
            let is_it = |member: &Value| who.is_some_and(|who| member["person"] == who);
            return self.all("members").any(|member| member["room"] == doc["room"] && is_it(member));
        }
        let is_owner = who.is_some_and(|who| doc["owner"] == who);
        doc["public"] == true || is_owner || self.role(who) == Some("editor")
    }

    /// What a list shows somebody, as one text.
    pub fn shown(&self, question: &Question, who: Option<&str>) -> String {
        let all = self.all(question.collection);
        let mut docs: Vec<&Value> =
            all.filter(|doc| (question.holds)(doc) && self.may_see(question.collection, doc, who)).collect();
        docs.sort_by(|a, b| {
            let by = |key: &str| match key.strip_prefix('-') {
                Some(key) => compare(&b[key], &a[key]),
                None => compare(&a[key], &b[key]),
            };
            question.sort.split(',').map(by).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        docs.truncate(question.limit);
        let docs: Vec<Value> = docs.into_iter().cloned().collect();
        super::text_of(&docs)
    }
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    a.as_i64().cmp(&b.as_i64()).then_with(|| a.as_str().cmp(&b.as_str()))
}

impl Question {
    /// As a message `subscribe`.
    pub fn message(&self, since: Option<&str>) -> Value {
        let mut message = json!({
            "id": "s", "collection": self.collection, "sort": self.sort, "limit": self.limit,
        });
        if let Some(condition) = self.condition {
            message["where"] = serde_json::from_str(condition).expect("conditions are JSON");
        }
        if let Some(since) = since {
            message["since"] = json!(since);
        }
        message
    }

    /// As the query of a list.
    pub fn query(&self) -> String {
        let condition = self.condition.map(|text| format!("&where={}", escape(text))).unwrap_or_default();
        format!("sort={}&limit={}{condition}", self.sort, self.limit)
    }
}

/// For a URL.
pub fn escape(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
