//! `/api/schedules`: functions that run by the clock, for administrators.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod pause;
pub mod resume;
pub mod trigger;
