//! The domain of Alyx as pure values. No I/O, no clock, no randomness of its own: time and ids come
//! in as arguments, so every decision can be tested by itself.
//!
//! | module | job |
//! |---|---|
//! | [`schema`] | `schema.yaml`: parsing, validation, the model everything else reads |
//! | [`document`] | a client's JSON to stored values and back |
//! | [`query`] | list parameters to a typed, bounded question |
//! | [`rules`] | access rules: CEL in memory and as SQL, which agree |
//! | [`catalog`] | the schema in force with its rules compiled |
//! | [`channel`] | names of channels, and what their rules know |
//! | [`migration`] | what separates two schemas |
//! | [`schedule`] | when a function is to run |
//! | [`sql`] | building blocks of SQL expressions |
//! | [`value`] | a stored value, in the five forms SQLite knows |
//! | [`identity`] | who is acting, and what a rule may know of the request |
//! | [`limits`] | every bound |
#![warn(missing_docs)]

pub mod catalog;
pub mod channel;
pub mod document;
pub mod identity;
pub mod limits;
pub mod migration;
pub mod query;
pub mod rules;
pub mod schedule;
pub mod schema;
pub mod scope;
pub mod sql;
pub mod value;
