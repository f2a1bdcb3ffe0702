//! The schema in force with its rules compiled. It is built as a whole or not at all: while one rule
//! does not compile the previous catalog stays, so no operation is ever allowed for want of a rule.

use std::collections::HashMap;
use std::sync::Arc;

use crate::channel::{ChannelAct, ChannelEntry, shape};
use crate::document::{Access, FieldError};
use crate::identity::{Identity, RequestFacts};
use crate::rules::{Decision, Lookups, Rule, RuleInput, Scope, Sight};
use crate::schema::reader::{shorten, suggestion};
use crate::schema::{Channel, Collection, Diagnostic, Field, FunctionConfig, RuleSource, Schema};
use crate::scope::Touch;

/// A schema with its compiled rules.
#[derive(Debug)]
pub struct Catalog {
    /// The schema.
    pub schema: Schema,
    collections: HashMap<String, CollectionEntry>,
    functions: HashMap<String, FunctionEntry>,
    events: HashMap<String, Option<Arc<Rule>>>,
    channels: HashMap<String, Arc<ChannelEntry>>,
}

/// A collection with its compiled rules. `None` denies everyone but administrators.
#[derive(Debug)]
pub struct CollectionEntry {
    /// The collection.
    pub collection: Arc<Collection>,
    /// Who may create, with `doc`.
    pub create: Option<Arc<Rule>>,
    /// Who may get one document.
    pub get: Option<Arc<Rule>>,
    /// Who may see a document in a list; has an SQL form.
    pub list: Option<Arc<Rule>>,
    /// Who may be told of changes to a document.
    pub subscribe: Option<Arc<Rule>>,
    /// The same rule in the form of a list, for subscriptions; what has no SQL form is a post filter.
    pub watch: Option<Arc<Rule>>,
    /// Who may update, with `old` and `doc`.
    pub update: Option<Arc<Rule>>,
    /// Who may delete, with `old`.
    pub delete: Option<Arc<Rule>>,
    /// Rules of single fields.
    pub fields: FieldRules,
    /// Whether a rule reads `request.body`.
    pub reads_body: bool,
    /// Whether what may be seen depends on `request.time`, so that it changes by itself.
    pub reads_time: bool,
}

/// The compiled rules of a collection's fields, by place of the field. A field without one follows
/// the rules of the collection.
#[derive(Clone, Debug, Default)]
pub struct FieldRules {
    /// Who may see a field.
    pub read: Vec<(usize, Arc<Rule>)>,
    /// Who may set a field.
    pub write: Vec<(usize, Arc<Rule>)>,
}

/// A field that may not be set, and what to tell whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable {
    /// For the client.
    pub error: FieldError,
    /// For the log, if the rule failed.
    pub fault: Option<String>,
}

/// A function with its compiled rule. `None` denies everyone but administrators.
#[derive(Debug)]
pub struct FunctionEntry {
    /// The function.
    pub config: Arc<FunctionConfig>,
    /// Who may invoke it.
    pub invoke: Option<Arc<Rule>>,
}

impl Catalog {
    /// Compiles every rule of a schema.
    ///
    /// # Errors
    /// One diagnostic per rule that does not compile, in order of position. `file` is what they call
    /// the schema's file.
    pub fn build(file: &str, schema: Schema) -> Result<Self, Vec<Diagnostic>> {
        let mut compiler = Compiler { file, schema: &schema, diagnostics: Vec::new() };
        let collections = schema
            .collections
            .iter()
            .map(|(name, collection)| (name.clone(), compiler.collection(collection)))
            .collect();
        let functions =
            schema.functions.iter().map(|(name, config)| (name.clone(), compiler.function(config))).collect();
        let channels = schema
            .channels
            .iter()
            .map(|(name, config)| (name.clone(), Arc::new(compiler.channel(config))))
            .collect();
        let events = schema
            .events
            .iter()
            .map(|(name, event)| (name.clone(), compiler.compile(event.publish.as_ref(), Scope::Invoke)));
        let events = events.collect();
        compiler.uses();
        if compiler.diagnostics.is_empty() {
            Ok(Self { schema, collections, functions, events, channels })
        } else {
            compiler.diagnostics.sort_by_key(|diagnostic| diagnostic.position);
            Err(compiler.diagnostics)
        }
    }

    /// A collection by name.
    #[must_use]
    pub fn collection(&self, name: &str) -> Option<&CollectionEntry> {
        self.collections.get(name)
    }

    /// All collections.
    pub fn collections(&self) -> impl Iterator<Item = &CollectionEntry> {
        self.collections.values()
    }

    /// A function by name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&FunctionEntry> {
        self.functions.get(name)
    }

    /// Who may publish an event, by its name; nothing for an unknown one. No rule denies everyone but
    /// administrators.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<Option<&Arc<Rule>>> {
        self.events.get(name).map(Option::as_ref)
    }

    /// A channel by name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Arc<ChannelEntry>> {
        self.channels.get(name)
    }
}

impl CollectionEntry {
    /// What a caller may see of this collection's documents.
    #[must_use]
    pub fn sight(&self, who: &Identity, request: &RequestFacts) -> Sight {
        if who.is_admin() {
            return Access::Admin.into();
        }
        if who.is_free_of_rules(&self.collection.name, Touch::Read) {
            return Access::Client.into();
        }
        Sight::of_client(self.fields.read.iter().map(|(place, rule)| (*place, rule)), who, request)
    }
}

impl FieldRules {
    /// The fields among `named` that the caller may not set. A body that names a field sets it, also
    /// to the value it has: otherwise trying values would reveal one that cannot be read. For a
    /// replacement pass those that change as well.
    #[must_use]
    pub fn unwritable(
        &self,
        collection: &Collection,
        named: &[usize],
        input: &RuleInput<'_>,
        lookups: &dyn Lookups,
    ) -> Vec<Unwritable> {
        if input.identity.is_free_of_rules(&collection.name, Touch::Write) {
            return Vec::new();
        }
        let named = self.write.iter().filter(|(place, _)| named.contains(place));
        let refused = named.filter_map(|(place, rule)| {
            let fault = match rule.check_with(input, lookups) {
                Decision::Allow => return None,
                Decision::Deny => None,
                Decision::Error(fault) => Some(fault),
            };
            let error = FieldError {
                field: collection.fields[*place].name.clone(),
                code: "field_not_writable",
                message: "may not be set by you".to_owned(),
            };
            Some(Unwritable { error, fault })
        });
        refused.collect()
    }
}

struct Compiler<'a> {
    file: &'a str,
    schema: &'a Schema,
    diagnostics: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn collection(&mut self, collection: &Arc<Collection>) -> CollectionEntry {
        let rules = &collection.rules;
        let reported = self.diagnostics.len();
        let get = self.compile(rules.get.as_ref(), Scope::Get(collection));
        let list = self.compile(rules.list.as_ref(), Scope::List(collection));
        let subscribe = self.compile(rules.subscribe.as_ref(), Scope::Get(collection));
        // `read` stands for several; the same rule is reported once.
        let mut seen: Vec<Diagnostic> = Vec::new();
        for diagnostic in self.diagnostics.split_off(reported) {
            if !seen.iter().any(|other| other.path == diagnostic.path) {
                seen.push(diagnostic);
            }
        }
        self.diagnostics.extend(seen);
        let watch = rules.subscribe.as_ref().and_then(|source| self.watch_rule(source, collection));
        let create = self.compile(rules.create.as_ref(), Scope::Create(collection));
        let update = self.compile(rules.update.as_ref(), Scope::Update(collection));
        let delete = self.compile(rules.delete.as_ref(), Scope::Delete(collection));
        let fields = FieldRules {
            read: self.field_rules(collection, |field| field.rules.read.as_ref(), Scope::FieldRead),
            write: self.field_rules(collection, |field| field.rules.write.as_ref(), Scope::FieldWrite),
        };
        let operations = [&create, &get, &list, &subscribe, &update, &delete].into_iter().flatten();
        let of_fields = fields.read.iter().chain(&fields.write).map(|(_, rule)| rule);
        let reads_body = operations.chain(of_fields).any(|rule| rule.reads_body());
        let shown = [&list, &watch].into_iter().flatten().chain(fields.read.iter().map(|(_, rule)| rule));
        let reads_time = shown.into_iter().any(|rule| rule.reads_time());
        let collection = Arc::clone(collection);
        CollectionEntry {
            collection,
            create,
            get,
            list,
            subscribe,
            watch,
            update,
            delete,
            fields,
            reads_body,
            reads_time,
        }
    }

    /// A rule that is compiled, and reported, as that of `subscribe` already.
    fn watch_rule(&self, source: &RuleSource, collection: &Arc<Collection>) -> Option<Arc<Rule>> {
        let source = RuleSource { post_filter: true, ..source.clone() };
        Rule::compile_in(self.schema, &source, Scope::List(collection)).ok().map(Arc::new)
    }

    fn field_rules<'c>(
        &mut self,
        collection: &'c Collection,
        source: impl Fn(&Field) -> Option<&RuleSource>,
        scope: impl Fn(&'c Collection) -> Scope<'c>,
    ) -> Vec<(usize, Arc<Rule>)> {
        let fields = collection.fields.iter().enumerate();
        let rules = fields.filter_map(|(place, field)| {
            let rule = self.compile(source(field), scope(collection))?;
            Some((place, rule))
        });
        rules.collect()
    }

    fn function(&mut self, config: &Arc<FunctionConfig>) -> FunctionEntry {
        let invoke = self.compile(config.rules.invoke.as_ref(), Scope::Invoke);
        FunctionEntry { config: Arc::clone(config), invoke }
    }

    /// Reports functions that are named and not there.
    fn uses(&mut self) {
        let names: Vec<&str> = self.schema.functions.keys().map(String::as_str).collect();
        let unknown = self.schema.uses.iter().filter(|used| !names.contains(&used.function.as_str()));
        self.diagnostics.extend(unknown.map(|used| Diagnostic {
            file: self.file.to_owned(),
            position: used.position,
            path: used.path.clone(),
            message: format!("there is no function \"{}\"", shorten(&used.function)),
            hint: Some(suggestion(&used.function, &names)),
        }));
    }

    fn channel(&mut self, config: &Arc<Channel>) -> ChannelEntry {
        let rules = &config.rules;
        let mut compile = |source: &Option<RuleSource>, act| {
            // What is said is as much a document as one that is read.
            self.compile(source.as_ref(), Scope::Get(shape(act)))
        };
        ChannelEntry {
            config: Arc::clone(config),
            subscribe: compile(&rules.subscribe, ChannelAct::Subscribe),
            broadcast: compile(&rules.broadcast, ChannelAct::Broadcast),
            presence: compile(&rules.presence, ChannelAct::Presence),
        }
    }

    /// `None` for a rule that is absent or, with a diagnostic, wrong; a catalog with a diagnostic is
    /// never handed out.
    fn compile(&mut self, source: Option<&RuleSource>, scope: Scope<'_>) -> Option<Arc<Rule>> {
        match Rule::compile_in(self.schema, source?, scope) {
            Ok(rule) => Some(Arc::new(rule)),
            Err(diagnostic) => {
                self.diagnostics.push(Diagnostic { file: self.file.to_owned(), ..diagnostic });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Catalog;
    use crate::schema::parse;

    fn build(rules: &str, invoke: &str) -> Result<Catalog, Vec<String>> {
        let text = format!(
            "version: 1\ncollections:\n  c:\n    fields: {{ id: {{ type: id, primary: true, default: auto }}, n: {{ type: int }} }}\n    rules:\n{rules}functions:\n  f: {{ runtime: node, rules: {{ {invoke} }} }}\n"
        );
        let schema = parse("schema.yaml", &text).expect("the schema itself is valid");
        Catalog::build("schema.yaml", schema).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_missing_rule_is_none() {
        let catalog = build("      read: \"doc.n > 1\"\n      list: \"doc.n > 2\"\n", "").expect("valid");
        let entry = catalog.collection("c").expect("declared");
        assert!(entry.get.is_some() && entry.list.is_some());
        assert!(entry.create.is_none() && entry.update.is_none() && entry.delete.is_none());
        assert!(catalog.collection("users").expect("always there").get.is_none());
        assert!(catalog.function("f").expect("declared").invoke.is_none());
        assert!(catalog.collection("d").is_none() && catalog.function("g").is_none());
    }

    #[test]
    fn every_wrong_rule_is_reported_once() {
        let problems = build(
            "      create: \"doc.\"\n      read: \"doc.nope == 1\"\n      delete: \"true\"\n",
            "invoke: \"auth.\"",
        )
        .expect_err("three rules are wrong");
        let places = ["collections.c.rules.create", "collections.c.rules.read", "functions.f.rules.invoke"];
        assert_eq!(problems.len(), 3, "{problems:#?}");
        for (problem, place) in problems.iter().zip(places) {
            assert!(problem.starts_with("schema.yaml:") && problem.contains(place), "{problem}");
        }
    }

    #[test]
    fn a_hook_names_a_function_that_is_there() {
        let build = |function: &str| {
            let text = format!(
                "version: 1\nfunctions: {{ f: {{ runtime: node }} }}\nhooks: [{{ on: users, function: {function} }}]\n"
            );
            Catalog::build("schema.yaml", parse("schema.yaml", &text).expect("valid by itself"))
        };
        assert!(build("f").is_ok());
        let problems = build("g").expect_err("there is no such function");
        assert_eq!(
            problems[0].to_string().lines().next().unwrap_or_default(),
            "schema.yaml:3:32: hooks[0].function: there is no function \"g\""
        );
    }
}
