//! `/api/auth/otp/…`: signing in by a code sent by mail.

pub mod request;
pub mod verify;
