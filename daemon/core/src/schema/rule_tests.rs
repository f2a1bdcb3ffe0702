//! `rules.test.yaml`: what somebody expects of their rules. Read as a whole, like the schema; names are
//! resolved against it, so a misspelt collection is a diagnostic and never a test that passes.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::field_options::json;
use super::reader::{At, Reader, suggestion};
use super::{Collection, Diagnostic, Position, Schema};
use crate::identity::{ADMIN_ROLE, AdminIdentity, Identity, USER_ROLE, UserIdentity};
use crate::limits::RULE_TESTS_MAX;

/// A file of tests.
#[derive(Clone, Debug)]
pub struct RuleTests {
    /// What is in the database while the tests run.
    pub documents: Vec<TestDocument>,
    /// The tests, in order of the file.
    pub tests: Vec<RuleTest>,
}

/// A document of the file.
#[derive(Clone, Debug)]
pub struct TestDocument {
    /// `collection.name`.
    pub name: String,
    /// Its collection.
    pub collection: Arc<Collection>,
    /// As a client would send it.
    pub body: Json,
    /// Where it stands.
    pub position: Position,
}

/// One test: somebody, something, and what is expected.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// `name:`, may be empty.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    /// As in `as:`.
    pub who: String,
    /// Who that is.
    pub identity: Identity,
    /// What it is about.
    pub subject: Subject,
    /// Operations and whether they are allowed.
    pub operations: Vec<Expected<Operation>>,
    /// Fields and whether they are shown.
    pub fields: Vec<Expected<String>>,
}

/// What a test is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A document of the file, and the body of an update of it.
    Document {
        /// Place among [`RuleTests::documents`].
        place: usize,
        /// The body, `{}` where the test gives none.
        change: Json,
    },
    /// A document that is to be created.
    New {
        /// Its collection.
        collection: Arc<Collection>,
        /// As a client would send it.
        body: Json,
    },
    /// A function, by name.
    Function(String),
}

/// What is expected, and where that stands.
#[derive(Clone, Debug)]
pub struct Expected<T> {
    /// Of what.
    pub of: T,
    /// Whether it is allowed or shown.
    pub yes: bool,
    /// Where it stands.
    pub position: Position,
}

/// What may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make a document.
    Create,
    /// Get one.
    Get,
    /// See it in a list.
    List,
    /// Be told of its changes.
    Subscribe,
    /// Change it.
    Update,
    /// Delete it.
    Delete,
    /// Call a function.
    Invoke,
}

impl Operation {
    /// All of them by the name in files and commands.
    pub const ALL: [(&'static str, Self); 7] = [
        ("create", Self::Create),
        ("get", Self::Get),
        ("list", Self::List),
        ("subscribe", Self::Subscribe),
        ("update", Self::Update),
        ("delete", Self::Delete),
        ("invoke", Self::Invoke),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, operation)| *operation == self).map_or("", |(name, _)| name)
    }
}

/// Reads a file of tests.
///
/// # Errors
/// Everything that is wrong with it, in order of position.
pub fn parse_rule_tests(file_name: &str, text: &str, schema: &Schema) -> Result<RuleTests, Vec<Diagnostic>> {
    super::read(file_name, text, |reader, at| File { schema, identities: HashMap::new() }.read(reader, at))
}

struct File<'s> {
    schema: &'s Schema,
    identities: HashMap<String, Identity>,
}

impl File<'_> {
    fn read(mut self, reader: &mut Reader<'_>, at: &At<'_>) -> Option<RuleTests> {
        let mut section = reader.section(at)?;
        let (identities, documents, tests) =
            (section.take("identities"), section.take("documents"), section.take("tests"));
        section.finish(reader);
        for at in identities.iter() {
            for (name, at) in reader.named(at, RULE_TESTS_MAX, "identities") {
                let identity = read_identity(reader, &at, name);
                self.identities.extend(identity.map(|identity| (name.to_owned(), identity)));
            }
        }
        let mut known = IndexMap::new();
        for at in documents.iter() {
            for (name, at) in reader.named(at, RULE_TESTS_MAX, "collections") {
                self.read_documents(reader, &at, name, &mut known);
            }
        }
        let Some(tests) = tests else {
            reader.report(
                at.key,
                &at.path,
                "there are no tests",
                "add tests: [{ as: …, document: …, allow: […] }]",
            );
            return None;
        };
        let items = reader.list(&tests, RULE_TESTS_MAX)?;
        let tests = items.iter().filter_map(|item| self.read_test(reader, item, &known)).collect();
        Some(RuleTests { documents: known.into_values().collect(), tests })
    }

    fn read_documents(
        &self,
        reader: &mut Reader<'_>,
        at: &At<'_>,
        collection: &str,
        known: &mut IndexMap<String, TestDocument>,
    ) {
        let Some(collection) = self.collection(reader, at, collection) else { return };
        for (name, at) in reader.named(at, RULE_TESTS_MAX, "documents") {
            let name = format!("{}.{name}", collection.name);
            if let Some(body) = json(reader, &at) {
                let collection = Arc::clone(&collection);
                known.insert(name.clone(), TestDocument { name, collection, body, position: at.key });
            }
        }
    }

    fn collection(&self, reader: &mut Reader<'_>, at: &At<'_>, name: &str) -> Option<Arc<Collection>> {
        let found = self.schema.collections.get(name);
        if found.is_none() {
            let names: Vec<&str> = self.schema.collections.keys().map(String::as_str).collect();
            let message = format!("there is no collection \"{}\"", super::reader::shorten(name));
            reader.report(at.key, &at.path, message, &suggestion(name, &names));
        }
        found.map(Arc::clone)
    }

    fn read_test(
        &self,
        reader: &mut Reader<'_>,
        at: &At<'_>,
        documents: &IndexMap<String, TestDocument>,
    ) -> Option<RuleTest> {
        let mut section = reader.section(at)?;
        let name = section.take("name").and_then(|at| reader.text(&at).map(str::to_owned));
        let who = section.take("as");
        let keys = ["document", "change", "collection", "create", "function"];
        let [document, change, collection, create, function] = keys.map(|key| section.take(key));
        let [allow, deny, sees, hides] = ["allow", "deny", "sees", "hides"].map(|key| section.take(key));
        section.finish(reader);
        let who = match who {
            Some(at) => self.identity(reader, &at),
            None => {
                reader.report(
                    at.key,
                    &at.path,
                    "as is missing",
                    "write as: anonymous, or a name of identities",
                );
                None
            }
        };
        let subject = match (document, collection, function) {
            (Some(document), None, None) => {
                let place = self.document(reader, &document, documents);
                let body = change.map_or(Some(Json::Object(serde_json::Map::new())), |at| json(reader, &at));
                place.zip(body).map(|(place, change)| Subject::Document { place, change })
            }
            (None, Some(collection), None) => {
                let name = reader.text(&collection).map(str::to_owned);
                let found = name.and_then(|name| self.collection(reader, &collection, &name));
                let Some(create) = create else {
                    reader.report(
                        at.key,
                        &at.path,
                        "create is missing",
                        "write create: { … } beside collection",
                    );
                    return None;
                };
                found.zip(json(reader, &create)).map(|(collection, body)| Subject::New { collection, body })
            }
            (None, None, Some(function)) => self.function(reader, &function),
            _ => {
                let message = "a test is about one of document, collection and function";
                reader.report(
                    at.key,
                    &at.path,
                    message,
                    "write document: collection.name, with the name of documents",
                );
                None
            }
        };
        let (identity, subject) = (who?, subject?);
        let mut operations = read_operations(reader, allow.as_ref(), true, &subject);
        operations.extend(read_operations(reader, deny.as_ref(), false, &subject));
        let mut fields = read_fields(reader, sees.as_ref(), true, &subject, documents);
        fields.extend(read_fields(reader, hides.as_ref(), false, &subject, documents));
        if operations.is_empty() && fields.is_empty() {
            reader.report(at.key, &at.path, "the test expects nothing", "add allow, deny, sees or hides");
        }
        let (who, identity) = identity;
        let name = name.unwrap_or_default();
        Some(RuleTest { name, position: at.key, who, identity, subject, operations, fields })
    }

    fn identity(&self, reader: &mut Reader<'_>, at: &At<'_>) -> Option<(String, Identity)> {
        let name = reader.text(at)?;
        if name == "anonymous" {
            return Some((name.to_owned(), Identity::Anonymous));
        }
        let found = self.identities.get(name);
        if found.is_none() {
            let mut names: Vec<&str> = self.identities.keys().map(String::as_str).collect();
            names.push("anonymous");
            names.sort_unstable();
            reader.refuse(
                at,
                format!("there is no identity \"{}\"", super::reader::shorten(name)),
                &suggestion(name, &names),
            );
        }
        Some((name.to_owned(), found?.clone()))
    }

    fn document(
        &self,
        reader: &mut Reader<'_>,
        at: &At<'_>,
        documents: &IndexMap<String, TestDocument>,
    ) -> Option<usize> {
        let name = reader.text(at)?;
        let place = documents.get_index_of(name);
        if place.is_none() {
            let names: Vec<&str> = documents.keys().map(String::as_str).collect();
            reader.refuse(
                at,
                format!("there is no document \"{}\"", super::reader::shorten(name)),
                &suggestion(name, &names),
            );
        }
        place
    }

    fn function(&self, reader: &mut Reader<'_>, at: &At<'_>) -> Option<Subject> {
        let name = reader.text(at)?;
        if self.schema.functions.contains_key(name) {
            return Some(Subject::Function(name.to_owned()));
        }
        let names: Vec<&str> = self.schema.functions.keys().map(String::as_str).collect();
        reader.refuse(
            at,
            format!("there is no function \"{}\"", super::reader::shorten(name)),
            &suggestion(name, &names),
        );
        None
    }
}

fn read_identity(reader: &mut Reader<'_>, at: &At<'_>, name: &str) -> Option<Identity> {
    let mut section = reader.section(at)?;
    let [id, email, role] = ["id", "email", "role"].map(|key| section.take(key));
    let (verified, metadata, scopes) =
        (section.take("verified"), section.take("metadata"), section.take("scopes"));
    section.finish(reader);
    let mut text = |at: Option<At<'_>>, default: &str| {
        at.map_or(Some(default.to_owned()), |at| reader.text(&at).map(str::to_owned))
    };
    let (id, email, role) =
        (text(id, name), text(email, &format!("{name}@example.org")), text(role, USER_ROLE));
    let metadata = match metadata.map(|at| (json(reader, &at), at)) {
        None => Some(serde_json::Map::new()),
        Some((Some(Json::Object(metadata)), _)) => Some(metadata),
        Some((_, at)) => {
            reader.refuse(&at, "must be a mapping", "");
            None
        }
    };
    let scopes = match scopes {
        None => Vec::new(),
        Some(at) => {
            let items = reader.list(&at, RULE_TESTS_MAX).unwrap_or_default();
            items.iter().filter_map(|item| reader.text(item).map(str::to_owned)).collect()
        }
    };
    let user = UserIdentity {
        id: id?,
        email: email?,
        role: role?,
        verified: verified.map_or(Some(false), |at| reader.bool(&at))?,
        session: String::new(),
        metadata: Arc::new(metadata?),
        scopes: scopes.into(),
    };
    let admin = user.role == ADMIN_ROLE;
    Some(if admin { Identity::Admin(AdminIdentity::User(user)) } else { Identity::User(user) })
}

fn read_operations(
    reader: &mut Reader<'_>,
    at: Option<&At<'_>>,
    yes: bool,
    subject: &Subject,
) -> Vec<Expected<Operation>> {
    let accepted: &[&str] = match subject {
        Subject::Document { .. } => &["get", "list", "subscribe", "update", "delete"],
        Subject::New { .. } => &["create"],
        Subject::Function(_) => &["invoke"],
    };
    let words: Vec<_> = Operation::ALL.into_iter().filter(|(name, _)| accepted.contains(name)).collect();
    let items = at.and_then(|at| reader.list(at, RULE_TESTS_MAX)).unwrap_or_default();
    let read = items.iter().filter_map(|item| {
        let of = reader.word(item, "operation here", &words)?;
        Some(Expected { of, yes, position: item.node.position })
    });
    read.collect()
}

fn read_fields(
    reader: &mut Reader<'_>,
    at: Option<&At<'_>>,
    yes: bool,
    subject: &Subject,
    documents: &IndexMap<String, TestDocument>,
) -> Vec<Expected<String>> {
    let Some(at) = at else { return Vec::new() };
    let Subject::Document { place, .. } = subject else {
        reader.report(at.key, &at.path, "only a document has fields to see", "name a document");
        return Vec::new();
    };
    let Some((_, document)) = documents.get_index(*place) else { return Vec::new() };
    let names: Vec<(&str, &str)> =
        document.collection.fields.iter().map(|field| (field.name.as_str(), field.name.as_str())).collect();
    let items = reader.list(at, RULE_TESTS_MAX).unwrap_or_default();
    let read = items.iter().filter_map(|item| {
        let of = reader.word(item, "field", &names)?.to_owned();
        Some(Expected { of, yes, position: item.node.position })
    });
    read.collect()
}
