//! Files on their way to a bucket and back.

use std::fs;
use std::io::{self, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method};
use rusty_s3::S3Action as _;
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use url::Url;

use super::{ANSWER_TIMEOUT, S3, S3Error, SIGNED_FOR, Tries};
use crate::backups::{BackupError, at};

/// Larger files are sent in parts of this size, or of a larger one if there would be too many.
const PART_BYTES: u64 = 8 << 20;
/// S3 takes 10,000 parts of 5 GiB and 5 TiB in all.
const PARTS_MAX: u64 = 10_000;
const FILE_MAX_BYTES: u64 = 5 << 40;
const CHUNK_BYTES: usize = 64 << 10;
/// Slower than this is as good as down. Unit: bytes a second.
const SLOWEST: u64 = 64 << 10;

impl S3 {
    /// Keeps a copy of a file under a name.
    pub async fn put(&self, name: &str, file: &Path) -> Result<(), BackupError> {
        let key = self.key(name);
        let bytes = fs::metadata(file).map_err(at(file))?.len();
        if bytes <= PART_BYTES {
            let action = self.bucket.put_object(Some(&self.credentials), &key);
            return self.upload(|| action.sign(SIGNED_FOR), file, 0, bytes).await.map(drop);
        }
        if bytes > FILE_MAX_BYTES {
            return Err(S3Error::TooLarge.into());
        }
        let begin = self.bucket.create_multipart_upload(Some(&self.credentials), &key);
        let answer = self.text(Method::POST, &begin, String::new()).await?;
        let begun = CreateMultipartUpload::parse_response(&answer).map_err(|_| self.strange())?;
        let note = self.note(&key, begun.upload_id())?;
        let sent = self.put_parts(&key, begun.upload_id(), file, bytes).await;
        if sent.is_err() {
            // What it cannot end now is ended after the next start.
            if let Err(error) = self.abort(&key, begun.upload_id()).await {
                tracing::debug!(error = %error, "an upload that failed could not be ended");
                return sent;
            }
        }
        sent.and(fs::remove_file(&note).map_err(at(&note)))
    }

    async fn put_parts(&self, key: &str, id: &str, file: &Path, bytes: u64) -> Result<(), BackupError> {
        let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
        let (mut etags, mut from, mut number) = (Vec::new(), 0, 1);
        while from < bytes {
            let part = self.bucket.upload_part(Some(&self.credentials), key, number, id);
            let length = part_bytes.min(bytes - from);
            let etag = self.upload(|| part.sign(SIGNED_FOR), file, from, length).await?;
            etags.push(etag.ok_or_else(|| self.strange())?);
            from += length;
            number += 1;
        }
        let tags = etags.iter().map(String::as_str);
        let end = self.bucket.complete_multipart_upload(Some(&self.credentials), key, id, tags);
        let answer = self.text(Method::POST, &end, end.clone().body()).await?;
        CompleteMultipartUploadResponse::parse(&answer).map_err(|_| self.strange())?;
        Ok(())
    }

    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), S3Error> {
        let action = self.bucket.abort_multipart_upload(Some(&self.credentials), key, id);
        match self.text(Method::DELETE, &action, String::new()).await {
            Err(S3Error::Answered { status: http::StatusCode::NOT_FOUND, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends a piece of a file, several times if need be; answers the tag that it got.
    async fn upload(
        &self,
        url: impl Fn() -> Url,
        file: &Path,
        from: u64,
        length: u64,
    ) -> Result<Option<String>, BackupError> {
        let within = ANSWER_TIMEOUT + Duration::from_secs(length / SLOWEST);
        let mut tries = Tries::new();
        loop {
            let body = piece(file, from, length).await.map_err(at(file))?;
            let request = self.client.put(url()).header(http::header::CONTENT_LENGTH, length).body(body);
            match self.send(request, within).await {
                Ok(response) => {
                    let tag = response.headers().get(http::header::ETAG);
                    return Ok(tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned));
                }
                Err(error) if tries.again(&error).await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what is kept under a name into a new file.
    pub async fn get(&self, name: &str, file: &Path) -> Result<(), BackupError> {
        let key = self.key(name);
        let action = self.bucket.get_object(Some(&self.credentials), &key);
        let mut options = fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(file).map_err(at(file))?;
        let mut into = tokio::fs::File::from_std(made);
        let mut tries = Tries::new();
        loop {
            match self.download(action.sign(SIGNED_FOR), &mut into, file).await {
                Err(BackupError::S3(error)) if tries.again(&error).await => {}
                other => return other,
            }
        }
    }

    async fn download(&self, url: Url, into: &mut tokio::fs::File, file: &Path) -> Result<(), BackupError> {
        into.set_len(0).await.map_err(at(file))?;
        into.rewind().await.map_err(at(file))?;
        let mut response = self.send(self.client.get(url), ANSWER_TIMEOUT).await?;
        while let Some(chunk) = self.chunk(&mut response).await? {
            into.write_all(&chunk).await.map_err(at(file))?;
        }
        into.flush().await.map_err(at(file))
    }
}

/// A part of a file, read while it is sent.
async fn piece(file: &Path, from: u64, length: u64) -> io::Result<Body> {
    let mut file = tokio::fs::File::open(file).await?;
    file.seek(SeekFrom::Start(from)).await?;
    let chunks = stream::try_unfold(file.take(length), |mut rest| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = rest.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(chunk), rest)))
    });
    Ok(Body::wrap_stream(chunks))
}
