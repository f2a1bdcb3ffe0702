//! `/api/admin/…`: accounts and the daemon itself, for administrators.

pub mod create_user;
pub mod isolation;
pub mod list_users;
pub mod status;
