//! One collection, one document, two people.

use std::collections::BTreeMap;
use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::identity::{Identity, RequestFacts, UserIdentity};
use alyx_core::rules::{Decision, DocRef, Rule, RuleInput, Scope};
use alyx_core::schema::{
    Collection, CollectionRules, Field, FieldKind, FieldRules, Position, RuleSource, SelectOptions,
    Validation,
};
use alyx_core::value::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Allow,
    Deny,
    Error,
}

pub struct World {
    pub collection: Collection,
    pub request: RequestFacts,
}

pub fn ada() -> Identity {
    user("ada", "user")
}

pub fn bob() -> Identity {
    user("bob", "editor")
}

fn user(id: &str, role: &str) -> Identity {
    Identity::User(UserIdentity {
        id: id.to_owned(),
        email: format!("{id}@example.org"),
        role: role.to_owned(),
        verified: true,
        session: "s".to_owned(),
        metadata: Arc::default(),
        scopes: Arc::default(),
    })
}

pub fn source(text: &str) -> RuleSource {
    RuleSource {
        text: text.to_owned(),
        position: Position { line: 10, column: 20 },
        path: "collections.posts.rules.x".to_owned(),
        post_filter: false,
    }
}

impl World {
    pub fn new() -> Self {
        let values = ["red", "green", "blue"].map(str::to_owned).to_vec();
        let kinds = [
            ("id", FieldKind::Id),
            ("title", FieldKind::String),
            ("author", FieldKind::String),
            ("status", FieldKind::String),
            ("note", FieldKind::Text),
            ("tags", FieldKind::Select(SelectOptions { values, max_select: 3 })),
            ("views", FieldKind::Int),
            ("rank", FieldKind::Int),
            ("score", FieldKind::Float),
            ("flag", FieldKind::Bool),
            ("created-at", FieldKind::Timestamp),
            ("meta", FieldKind::Json),
            ("data", FieldKind::Blob),
        ];
        let collection = Collection {
            name: "posts".to_owned(),
            fields: kinds.into_iter().map(|(name, kind)| field(name, kind)).collect(),
            indexes: Vec::new(),
            rules: CollectionRules::default(),
            position: Position::default(),
        };
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let request = RequestFacts {
            method: "GET".to_owned(),
            path: "/api/collections/posts".to_owned(),
            ip: "127.0.0.1".to_owned(),
            time: "2026-02-01T00:00:00.000000Z".to_owned(),
            query: map("page", "2"),
            headers: map("x-tenant", "acme"),
            ..RequestFacts::default()
        };
        Self { collection, request }
    }

    pub fn document_of(&self, author: &str) -> Document {
        let text = |text: &str| Value::Text(text.to_owned());
        let big: Vec<u32> = (0..1000).collect();
        let meta = format!(
            "{{\"owner\":\"ada\",\"level\":3,\"public\":true,\"list\":[1,2]{}}}",
            if author == "big" {
                format!(",\"big\":{}", serde_json::to_string(&big).unwrap())
            } else {
                String::new()
            }
        );
        let values = vec![
            text("0123456789abcdefghjk"),
            text("Größe 😀"),
            text(author),
            text("draft"),
            Value::Null,
            text("[\"red\",\"blue\"]"),
            Value::Integer(7),
            Value::Null,
            Value::Real(1.5),
            Value::Integer(1),
            text("2026-01-01T00:00:00.000000Z"),
            text(&meta),
            Value::Blob(vec![0, 255]),
        ];
        Document { values, rev: 1 }
    }

    pub fn doc<'a>(&'a self, document: &'a Document) -> DocRef<'a> {
        DocRef { collection: &self.collection, document }
    }

    pub fn check_get(&self, rule: &str, identity: &Identity, expected: Outcome) {
        self.check(rule, Scope::Get(&self.collection), identity, None, expected);
    }

    /// The new document is ada's.
    pub fn check(
        &self,
        rule: &str,
        scope: Scope<'_>,
        identity: &Identity,
        old: Option<&Document>,
        expected: Outcome,
    ) {
        let compiled = Rule::compile(&source(rule), scope).unwrap_or_else(|error| panic!("{rule}: {error}"));
        let document = self.document_of(if rule.contains("meta.big") { "big" } else { "ada" });
        let input = RuleInput {
            identity,
            request: &self.request,
            doc: Some(self.doc(&document)),
            old: old.map(|old| self.doc(old)),
        };
        let decision = compiled.check(&input);
        let found = match decision {
            Decision::Allow => Outcome::Allow,
            Decision::Deny => Outcome::Deny,
            Decision::Error(_) => Outcome::Error,
        };
        assert_eq!(found, expected, "{rule}: {decision:?}");
    }
}

fn field(name: &str, kind: FieldKind) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        primary: name == "id",
        unique: false,
        nullable: name != "id",
        index: false,
        search: false,
        default: None,
        on_update_now: false,
        client: false,
        internal: false,
        hidden: false,
        system: false,
        validation: Validation::default(),
        rules: FieldRules::default(),
        position: Position::default(),
    }
}
