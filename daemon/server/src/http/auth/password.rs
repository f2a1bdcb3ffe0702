//! `/api/auth/password/…`: a new password for who forgot theirs.

pub mod forgot;
pub mod reset;
