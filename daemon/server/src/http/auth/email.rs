//! `/api/auth/email/…`: another address.

pub mod change;
pub mod confirm;
