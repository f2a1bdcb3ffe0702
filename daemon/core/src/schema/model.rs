//! The model of a valid schema. Values of these types are made by `parse` only, so whoever holds
//! one may rely on every statement here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use regex::{Regex, RegexBuilder};

use super::{Channel, EventConfig, FunctionUse, Hook, Inbound, Webhook};
use crate::limits::PATTERN_MAX_BYTES;
use crate::schedule::Schedule;

/// A valid schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// By name, in order of the file. `users` is always among them.
    pub collections: IndexMap<String, Arc<Collection>>,
    /// By name, in order of the file.
    pub functions: IndexMap<String, Arc<FunctionConfig>>,
    /// Events that the project itself names, in order of the file.
    pub events: IndexMap<String, EventConfig>,
    /// In order of the file.
    pub hooks: Vec<Hook>,
    /// In order of the file.
    pub webhooks: Vec<Webhook>,
    /// In order of the file.
    pub inbound: Vec<Inbound>,
    /// Where functions are named that may have files of their own; a [`Catalog`](crate::catalog::Catalog)
    /// has them all.
    pub uses: Vec<FunctionUse>,
    /// Where clients talk to each other, by name, in order of the file.
    pub channels: IndexMap<String, Arc<Channel>>,
    /// By name, in order of the file.
    pub schedules: IndexMap<String, Schedule>,
}

/// A collection of documents, stored as one table of the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// `^[a-z][a-z0-9_-]*$`, up to 63 bytes, not starting with `_alyx`.
    pub name: String,
    /// In order of the file; a document's values have the same order. Exactly one is primary.
    pub fields: Vec<Field>,
    /// Declared indexes, without those that `index` and `unique` of a field imply.
    pub indexes: Vec<Index>,
    /// Access rules as written.
    pub rules: CollectionRules,
    /// Where it is declared.
    pub position: Position,
}

/// A field of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Same form as a collection's name.
    pub name: String,
    /// Its type with the options that only this type has.
    pub kind: FieldKind,
    /// The document's id. Never nullable.
    pub primary: bool,
    /// No two documents have the same value; nulls do not count.
    pub unique: bool,
    /// May be null.
    pub nullable: bool,
    /// Has an index of its own.
    pub index: bool,
    /// Part of the collection's full-text index. Text types only, never `internal` or `hidden`.
    pub search: bool,
    /// What an absent value becomes.
    pub default: Option<DefaultValue>,
    /// Set to the current time by every update. `timestamp` only.
    pub on_update_now: bool,
    /// A client may set a value that the server would otherwise set (`default: auto | now`).
    pub client: bool,
    /// Never leaves the server and cannot be set, filtered or sorted by clients. Administrators may.
    pub internal: bool,
    /// May be set, but is never returned, filtered or sorted for clients. Administrators may.
    pub hidden: bool,
    /// Written by accounts and administration only; the documents API refuses to set it.
    pub system: bool,
    /// Further conditions on the value.
    pub validation: Validation,
    /// Who may see and set it, beside the rules of the collection.
    pub rules: FieldRules,
    /// Where it is declared.
    pub position: Position,
}

/// Type of a field with the options that only this type has.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    /// Short, url-safe, time-ordered id.
    Id,
    /// UUID; version 7 where the server makes it.
    Uuid,
    /// Text that is meant to be short; stored like `text`.
    String,
    /// Text of any length.
    Text,
    /// HTML that was cleaned when it was written.
    RichText(RichText),
    /// 64-bit integer.
    Int,
    /// Finite double.
    Float,
    /// True or false.
    Bool,
    /// RFC 3339, stored in UTC with microseconds: `2026-01-02T03:04:05.000006Z`.
    Timestamp,
    /// `YYYY-MM-DD`.
    Date,
    /// Any JSON value.
    Json,
    /// Bytes; base64 in JSON.
    Blob,
    /// E-mail address, stored in lower case.
    Email,
    /// `http` or `https` URL.
    Url,
    /// One or several of a list of values.
    Select(SelectOptions),
    /// The id of a document of another collection.
    Relation {
        /// Name of the other collection; it exists.
        collection: String,
        /// What happens to this document when the other one is deleted.
        on_delete: OnDelete,
        /// Type of the other collection's primary field.
        target: PrimaryKind,
    },
}

/// Which HTML a `richtext` field keeps; the lists stand in `docs/schema.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RichText {
    /// Emphasis, links, lists and quotes.
    Basic,
    /// The same with headings, images, tables and code blocks.
    #[default]
    Standard,
    /// The same with classes, folding sections and text direction.
    Full,
}

/// Types that a primary field may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrimaryKind {
    /// See [`FieldKind::Id`].
    Id,
    /// See [`FieldKind::Uuid`].
    Uuid,
    /// See [`FieldKind::String`].
    String,
}

/// Options of `select`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectOptions {
    /// Allowed values, at least one, no duplicates.
    pub values: Vec<String>,
    /// How many may be chosen. 1: the value is a string; more: it is an array of strings.
    pub max_select: u32,
}

/// What happens to a document whose relation's target is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion of the target is refused.
    Restrict,
    /// It is deleted as well.
    Cascade,
    /// The field becomes null; the field is nullable.
    SetNull,
}

/// What an absent value becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultValue {
    /// A new id. `id` and `uuid` only.
    Auto,
    /// The current time. `timestamp` and `date` only.
    Now,
    /// This value, valid for the field, in the JSON form a client would send.
    Literal(serde_json::Value),
}

/// Conditions on a value beyond its type. Lengths count Unicode scalar values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation {
    /// Shortest text.
    pub min_length: Option<u64>,
    /// Longest text.
    pub max_length: Option<u64>,
    /// Smallest number.
    pub min: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// Must match somewhere; anchor it to match all.
    pub pattern: Option<Pattern>,
    /// A well-known form.
    pub format: Option<Format>,
    /// Allowed values, in the JSON form a client would send.
    pub one_of: Option<Vec<serde_json::Value>>,
}

/// A regular expression (crate `regex`) with its compiled form. Equal if the text is.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A well-known form of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// E-mail address.
    Email,
    /// `http` or `https` URL.
    Url,
    /// UUID.
    Uuid,
}

/// A declared index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Unique in the database.
    pub name: String,
    /// Names of fields, at least one.
    pub fields: Vec<String>,
    /// Refuses a second document with the same values.
    pub unique: bool,
    /// Order of every field in it.
    pub order: SortOrder,
}

/// Direction of an index or a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// Access rules of a collection as written. `None` denies everyone but administrators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectionRules {
    /// Who may create, with `doc`.
    pub create: Option<RuleSource>,
    /// Who may get one document: `get`, else `read`.
    pub get: Option<RuleSource>,
    /// Who may see a document in a list: `list`, else `read`. Has an SQL form.
    pub list: Option<RuleSource>,
    /// Who may be told of changes: `subscribe`, else `read`, with `doc`.
    pub subscribe: Option<RuleSource>,
    /// Who may update, with `old` and `doc`.
    pub update: Option<RuleSource>,
    /// Who may delete, with `old` (and `doc`, the same).
    pub delete: Option<RuleSource>,
}

/// Access rules of a field as written. `None` leaves it to the rules of the collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRules {
    /// Who may see it, with `doc`.
    pub read: Option<RuleSource>,
    /// Who may set it, with `doc` and `old`.
    pub write: Option<RuleSource>,
}

/// A rule as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSource {
    /// CEL text.
    pub text: String,
    /// Where the text starts.
    pub position: Position,
    /// `collections.posts.rules.create` and the like.
    pub path: String,
    /// A list may read documents and check them one by one where the rule has no SQL form.
    pub post_filter: bool,
}

/// Language of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Node.js.
    Node,
    /// CPython.
    Python,
    /// Go, compiled.
    Go,
}

/// A function as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionConfig {
    /// Same form as a collection's name; also the name of its directory below `functions/`.
    pub name: String,
    /// Language.
    pub runtime: Runtime,
    /// File with the handler, relative to the function's directory, inside it. Empty for Go.
    pub entrypoint: String,
    /// Wall clock per invocation.
    pub timeout: Duration,
    /// Limits of a worker and of an invocation.
    pub limits: FunctionLimits,
    /// Invocations at once in one worker.
    pub concurrency: Concurrency,
    /// Workers.
    pub instances: Instances,
    /// Environment, names and values validated.
    pub env: BTreeMap<String, String>,
    /// Names of the secrets that it is given, in order, none twice.
    pub secrets: Vec<String>,
    /// What of an invocation its record keeps.
    pub record: Record,
    /// Access.
    pub rules: FunctionRules,
    /// Where it is declared.
    pub position: Position,
}

/// What the record of an invocation keeps of what came in and went out; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The beginning of its input.
    pub input: bool,
    /// The beginning of its output.
    pub output: bool,
}

/// At least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency(pub u32);

/// Limits of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionLimits {
    /// `memory`: all processes of a worker together.
    pub memory_bytes: u64,
    /// `cpu`: percent of one core.
    pub cpu_percent: u32,
    /// `cpu_time`: processor time per invocation.
    pub cpu_time: Duration,
    /// `processes`: processes and threads of a worker.
    pub processes: u32,
    /// `files`: open descriptors per process.
    pub files: u32,
    /// `tmp`: size of `/tmp`.
    pub tmp_bytes: u64,
    /// `output`: size of what an invocation returns.
    pub output_bytes: u64,
    /// `logs`: log text kept per invocation.
    pub logs_bytes: u64,
}

/// How many workers a function may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// Kept even when idle.
    pub min: u32,
    /// At once; at least 1.
    pub max: u32,
    /// A worker idle for this long is stopped.
    pub idle: Duration,
    /// A worker is replaced after this many invocations.
    pub recycle_after: u64,
}

/// Access rules of a function. `None` denies everyone but administrators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionRules {
    /// Who may invoke it.
    pub invoke: Option<RuleSource>,
}

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// Something wrong with a schema or configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// File as the caller named it.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// Path of keys, such as `collections.posts.fields.title.type`; may be empty.
    pub path: String,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What would be accepted, if we know.
    pub hint: Option<String>,
}

impl Collection {
    /// A field and its place among the values of a document.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// The primary field and its place.
    ///
    /// # Panics
    /// Never: the parser refuses a collection without exactly one primary field.
    #[must_use]
    pub fn primary(&self) -> (usize, &Field) {
        self.fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.primary)
            .expect("the parser refuses a collection without a primary field")
    }

    /// Every index of the table: those implied by fields in order of the fields, then the declared
    /// ones. A unique field and a plain indexed or relation field imply one index each, named
    /// `_alyx_unique.<collection>.<field>` or `_alyx_index.<collection>.<field>`; no declared name
    /// looks like that.
    #[must_use]
    pub fn all_indexes(&self) -> Vec<Index> {
        let implied = self.fields.iter().filter(|field| !field.primary).filter_map(|field| {
            let relation = matches!(field.kind, FieldKind::Relation { .. });
            let word = match (field.unique, field.index || relation) {
                (true, _) => "unique",
                (false, true) => "index",
                (false, false) => return None,
            };
            Some(Index {
                name: format!("_alyx_{word}.{}.{}", self.name, field.name),
                // The id behind it gives the order in which a list reads what it finds.
                fields: match field.unique {
                    true => vec![field.name.clone()],
                    false => vec![field.name.clone(), self.primary().1.name.clone()],
                },
                unique: field.unique,
                order: SortOrder::Ascending,
            })
        });
        implied.chain(self.indexes.iter().cloned()).collect()
    }
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is no valid expression, or larger than
    /// [`PATTERN_MAX_BYTES`](crate::limits::PATTERN_MAX_BYTES) when compiled.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(text)
            .size_limit(PATTERN_MAX_BYTES)
            .dfa_size_limit(PATTERN_MAX_BYTES)
            .build()
            .map(Self)
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches somewhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Schema {
    /// The schema with one more function, such as one declared beside its code. A function of the
    /// same name is replaced; the caller refuses that where it matters.
    #[must_use]
    pub fn with_function(mut self, function: FunctionConfig) -> Self {
        self.functions.insert(function.name.clone(), Arc::new(function));
        self
    }
}

impl Field {
    /// Whether the server sets it, so that nobody else may.
    #[must_use]
    pub const fn is_server_set(&self) -> bool {
        let by_default = matches!(self.default, Some(DefaultValue::Auto | DefaultValue::Now));
        (by_default || self.on_update_now) && !self.client
    }
}

impl FieldKind {
    /// Whether it is text that people read, so that it can be searched.
    #[must_use]
    pub const fn is_prose(&self) -> bool {
        matches!(self, Self::String | Self::Text | Self::RichText(_) | Self::Email | Self::Url)
    }

    /// Whether its stored text is JSON: `json`, and `select` with several values.
    #[must_use]
    pub const fn is_json_text(&self) -> bool {
        match self {
            Self::Json => true,
            Self::Select(options) => options.max_select > 1,
            _ => false,
        }
    }

    /// The name in `schema.yaml`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Uuid => "uuid",
            Self::String => "string",
            Self::Text => "text",
            Self::RichText(_) => "richtext",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
            Self::Blob => "blob",
            Self::Email => "email",
            Self::Url => "url",
            Self::Select(_) => "select",
            Self::Relation { .. } => "relation",
        }
    }
}

impl Runtime {
    /// The name in `schema.yaml`, on the wire and in the supervisor's configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Go => "go",
        }
    }
}

/// `schema.yaml:12:7: collections.posts.fields.title: unknown type "strng"` and the hint below it.
impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: ", self.file, self.position.line, self.position.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(out, "\n  hint: {hint}"))
    }
}
