//! `/api/auth/passkey/…` and `/api/auth/passkeys`: passkeys.

pub mod delete;
pub mod list;
pub mod login_begin;
pub mod login_finish;
pub mod prove_begin;
pub mod register_begin;
pub mod register_finish;
pub mod rename;
