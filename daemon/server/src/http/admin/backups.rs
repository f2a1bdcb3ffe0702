//! `/api/admin/backups`: copies of the database.

pub mod create;
pub mod list;
pub mod prune;
pub mod status;
pub mod verify;

use crate::backups::BackupError;
use crate::problem::{ApiError, Code, error_chain, internal};

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NotFound => Self::new(Code::BackupNotFound, "There is no such backup."),
            BackupError::Damaged(what) => {
                Self::new(Code::BackupDamaged, format!("The backup is damaged: {what}."))
            }
            BackupError::S3(error) => {
                tracing::warn!("the bucket of backups was of no use: {}", error_chain(&error));
                Self::new(Code::BackupTargetFailing, format!("Backups are not reached: {error}."))
            }
            BackupError::Store(error) => error.into(),
            BackupError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(Code::DatabaseFull, "There is no space left for the backup.")
            }
            error @ BackupError::File { .. } => internal("use the backups", &error).into(),
        }
    }
}
