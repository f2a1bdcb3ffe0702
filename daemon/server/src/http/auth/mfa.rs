//! `/api/auth/mfa/…`: the second factor.

pub mod challenge;
pub mod confirm;
pub mod disable;
pub mod enroll;
pub mod recovery_codes;
pub mod status;
