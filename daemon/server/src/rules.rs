//! Rules for those who write them: tests of a file, explanations, and what is in force. Administrators
//! only; the endpoints are in `http/admin/rules`.

mod explain;
mod run;
mod scratch;

pub use explain::{Asked, explain, overview};
pub use run::run;
