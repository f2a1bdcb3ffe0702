//! `/api/auth/verify/…`: showing that an address is one's own.

pub mod confirm;
pub mod request;
