//! `/api/collections/…`: documents.

pub mod aggregate;
pub mod create;
pub mod delete;
pub mod delete_many;
pub mod get;
pub mod list;
pub mod replace;
pub mod update;
pub mod update_many;
