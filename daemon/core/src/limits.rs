//! Every bound of the domain: how large a schema, a document and a query may be. A bound is checked
//! where foreign text is read; behind that, code relies on it.

use std::time::Duration;

/// Largest `schema.yaml` or `function.yaml`. Unit: bytes.
pub const SCHEMA_MAX_BYTES: usize = 1024 * 1024;

/// Nodes of a parsed YAML file, aliases counted each time they are used. Keeps alias bombs small.
pub const YAML_NODES_MAX: usize = 100_000;

/// Depth of nested collections in a YAML file. No valid schema comes near it.
pub const YAML_DEPTH_MAX: usize = 32;

/// Problems reported for one schema file; the rest is cut.
pub const DIAGNOSTICS_MAX: usize = 200;

/// Length of a name of a collection, field, index or function. Unit: bytes.
pub const NAME_MAX_BYTES: usize = 63;

/// Collections in a schema.
pub const COLLECTIONS_MAX: usize = 500;

/// Fields in a collection. SQLite's own limit is 2,000 columns.
pub const FIELDS_MAX: usize = 500;

/// Declared indexes of a collection.
pub const INDEXES_MAX: usize = 32;

/// Fields in one index.
pub const INDEX_FIELDS_MAX: usize = 8;

/// Functions in a schema.
pub const FUNCTIONS_MAX: usize = 500;

/// Schedules in a schema.
pub const SCHEDULES_MAX: usize = 500;

/// Shortest and longest interval of a schedule.
pub const EVERY_MIN: Duration = Duration::from_secs(1);

/// See [`EVERY_MIN`].
pub const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Longest jitter of a schedule.
pub const JITTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Most missed runs that a schedule catches up with.
pub const CATCH_UP_MAX: u32 = 100;

/// A run that is due for longer than this is a missed one. Longer than a restart takes, shorter than
/// what somebody would call on time.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);

/// Largest input of a schedule, as JSON. Unit: bytes.
pub const SCHEDULE_INPUT_MAX_BYTES: usize = 64 * 1024;

/// Values of a `select` and of an `enum`.
pub const SELECT_VALUES_MAX: usize = 200;

/// Length of one value of a `select`. Unit: bytes.
pub const SELECT_VALUE_MAX_BYTES: usize = 200;

/// Compiled size of a `pattern`, and the memory its matcher may use. Unit: bytes.
pub const PATTERN_MAX_BYTES: usize = 256 * 1024;

/// Variables in the environment of a function.
pub const ENV_MAX: usize = 100;

/// Events of a schema.
pub const EVENTS_MAX: usize = 200;

/// Length of the name of an event.
pub const EVENT_NAME_MAX_BYTES: usize = 63;

/// Channels of a schema.
pub const CHANNELS_MAX: usize = 200;

/// Length of the part of a channel's name that clients choose. Unit: bytes.
pub const CHANNEL_KEY_MAX_BYTES: usize = 128;

/// Hooks of a schema.
pub const HOOKS_MAX: usize = 200;

/// Webhooks of a schema.
pub const WEBHOOKS_MAX: usize = 200;

/// Length of the address of a webhook. Unit: bytes.
pub const WEBHOOK_URL_MAX_BYTES: usize = 2_048;

/// Headers of its own that a webhook sends.
pub const WEBHOOK_HEADERS_MAX: usize = 20;

/// Secrets that a webhook signs with.
pub const WEBHOOK_SECRETS_MAX: usize = 4;

/// Inbound webhooks.
pub const INBOUND_MAX: usize = 200;

/// Length of the path of an inbound webhook. Unit: bytes.
pub const INBOUND_PATH_MAX_BYTES: usize = 100;

/// Secrets that a function is given.
pub const SECRETS_MAX: usize = 100;

/// Length of the value of an environment variable. Unit: bytes.
pub const ENV_VALUE_MAX_BYTES: usize = 8 * 1024;

/// Longest `timeout` of a function. Unit: seconds.
pub const TIMEOUT_MAX_SECONDS: u64 = 900;

/// Most invocations at once in one worker.
pub const CONCURRENCY_MAX: u64 = 64;

/// Most workers of one function.
pub const INSTANCES_MAX: u64 = 64;

/// Largest body of a document. Unit: bytes.
pub const DOCUMENT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Depth of arrays and objects in a value of a `json` field.
pub const JSON_DEPTH_MAX: usize = 64;

/// Field errors reported for one document; the rest is cut.
pub const FIELD_ERRORS_MAX: usize = 100;

/// Length of a value of type `id` that a client chose. Unit: bytes.
pub const ID_MAX_BYTES: usize = 64;

/// Longest e-mail address, RFC 5321 section 4.5.3.1.3. Unit: bytes.
pub const EMAIL_MAX_BYTES: usize = 254;

/// Longest URL. Unit: bytes.
pub const URL_MAX_BYTES: usize = 2_048;

/// Documents in a list where the client names no `limit`.
pub const LIST_LIMIT_DEFAULT: u32 = 30;

/// Most documents in a list.
pub const LIST_LIMIT_MAX: u32 = 1_000;

/// Largest `offset`; a cursor reaches further and is faster.
pub const LIST_OFFSET_MAX: u64 = 1_000_000;

/// `filter` parameters of a list.
pub const FILTERS_MAX: usize = 50;

/// Length of one `filter` parameter. Unit: bytes. SQLite refuses `LIKE` patterns over 50,000.
pub const FILTER_MAX_BYTES: usize = 16 * 1024;

/// Length of a `where` parameter. Unit: bytes.
pub const WHERE_MAX_BYTES: usize = 64 * 1024;

/// Nested objects of a `where`.
pub const WHERE_DEPTH_MAX: usize = 8;

/// Conditions of `filter` and `where` together.
pub const TERMS_MAX: usize = 100;

/// Values that all conditions of a list bind together, those of rules of related collections
/// included. SQLite takes 32,766 in a statement.
pub const CONDITION_VALUES_MAX: usize = 30_000;

/// Relations that a path such as `author.team.name` may follow.
pub const PATH_HOPS_MAX: usize = 3;

/// Keys and places behind a `json` field in a path.
pub const JSON_PATH_MAX: usize = 16;

/// Levels of `expand`.
pub const EXPAND_DEPTH_MAX: usize = 3;

/// Relations that one `expand` follows, all levels together.
pub const EXPAND_MAX: usize = 20;

/// Documents that refer to one document, as `expand` shows them.
pub const EXPAND_MANY_MAX: u32 = 100;

/// Length of `search`. Unit: bytes.
pub const SEARCH_MAX_BYTES: usize = 512;

/// Words and phrases of `search`.
pub const SEARCH_TERMS_MAX: usize = 32;

/// Fields that an aggregate names, by all parameters together.
pub const AGGREGATES_MAX: usize = 20;

/// Values of one `in` or `nin`.
pub const IN_VALUES_MAX: usize = 200;

/// Keys of `sort`, without the primary key that ends every sort.
pub const SORT_KEYS_MAX: usize = 8;

/// Length of a cursor. Unit: bytes.
pub const CURSOR_MAX_BYTES: usize = 64 * 1024;

/// Most tests, identities and documents in a file of rule tests.
pub const RULE_TESTS_MAX: usize = 1_000;

/// Steps of one migration file.
pub const MIGRATION_STEPS_MAX: usize = 200;

/// Length of the SQL of one step of a migration file. Unit: bytes.
pub const SQL_MAX_BYTES: usize = 100_000;
