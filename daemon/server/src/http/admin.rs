//! `/api/admin/…`: accounts and the daemon itself, for administrators.

pub mod api_keys;
pub mod audit;
pub mod backups;
pub mod create_user;
pub mod delete_user;
pub mod end_user_sessions;
pub mod get_user;
pub mod isolation;
pub mod jobs;
pub mod list_users;
pub mod lockouts;
pub mod mail;
pub mod metrics;
pub mod migrations;
pub mod reload;
pub mod remove_factors;
pub mod rotate_keys;
pub mod rules;
pub mod secrets;
pub mod set_password;
pub mod signing_keys;
pub mod status;
pub mod update_user;
pub mod user_sessions;

use crate::app::App;
use crate::problem::ApiError;

/// Does to its end what must not stop half-way, also if the administrator does not wait for the answer.
async fn carried_through<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    app: &App,
    work: impl FnOnce(App) -> F,
) -> Result<T, ApiError> {
    app.tasks.finish(work(app.clone())).await.ok_or_else(|| alyx_store::Error::Closed.into())
}
