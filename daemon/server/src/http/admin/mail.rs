//! `/api/admin/mail…`: mails on their way.

pub mod list;
pub mod retry;
