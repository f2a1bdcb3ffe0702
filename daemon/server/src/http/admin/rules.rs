//! `/api/admin/rules/…`: for those who write rules.

pub mod explain;
pub mod list;
pub mod test;
