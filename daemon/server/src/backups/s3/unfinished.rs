//! Uploads that a process began and did not end. Their parts are invisible, but kept and paid for, so the
//! next process ends them.

use std::fs;
use std::path::PathBuf;

use super::S3;
use crate::backups::{BackupError, at};
use crate::clock;

const SUFFIX: &str = ".upload";

impl S3 {
    /// Notes an upload that is begun.
    pub(super) fn note(&self, key: &str, id: &str) -> Result<PathBuf, BackupError> {
        let path = self.notes.join(format!("s3-{}-{}{SUFFIX}", self.process, clock::random_hex::<4>()));
        let text = format!("{}\n{key}\n{id}\n", self.bucket.base_url());
        fs::write(&path, text).map_err(at(&path))?;
        Ok(path)
    }

    /// Ends what processes before this one left.
    pub async fn end_unfinished(&self) -> Result<(), BackupError> {
        for entry in fs::read_dir(&self.notes).map_err(at(&self.notes))? {
            let path = entry.map_err(at(&self.notes))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let process = name.strip_prefix("s3-").filter(|name| name.ends_with(SUFFIX));
            if process.is_none_or(|process| process.starts_with(&self.process)) {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(at(&path))?;
            if let [base, key, id] = text.lines().collect::<Vec<_>>()[..]
                && base == self.bucket.base_url().as_str()
            {
                self.abort(key, id).await?;
            }
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }
}
