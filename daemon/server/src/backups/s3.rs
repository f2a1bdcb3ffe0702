//! Files in a bucket of an object store that speaks S3.
//!
//! An object is there as a whole or not at all: large files are sent in parts that nobody sees before the
//! last has arrived. Nothing is held in memory but the chunk that is on its way. Requests go to the
//! configured endpoint only; neither proxies nor redirects are followed, and no error shows the URL of a
//! request, which carries its signature.

mod transfer;
mod unfinished;

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use reqwest::{Method, Response};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use crate::config;

/// How long a signed URL may be used for. A server with a clock that is further off refuses it.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For an answer without a body of weight, and between two chunks of one that has.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of a request that failed for a reason that may pass, with pauses that grow.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pages of a list; a page has up to 1,000 names.
const PAGES_MAX: usize = 10_000;
const TEXT_MAX_BYTES: usize = 8 << 20;

/// Why the object store did not do what it was asked for. Shows nothing that must not be seen.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("the endpoint {endpoint} cannot be reached")]
    Unreachable {
        endpoint: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the endpoint {endpoint} did not answer in time")]
    Slow { endpoint: String },
    #[error("there is no bucket {bucket} at {endpoint}")]
    NoBucket { bucket: String, endpoint: String },
    #[error("the endpoint {endpoint} refuses the credentials: {status} {code}")]
    Denied { endpoint: String, status: StatusCode, code: String },
    #[error("the endpoint {endpoint} answered {status} {code}")]
    Answered { endpoint: String, status: StatusCode, code: String },
    #[error("the endpoint {endpoint} does not answer as S3 does")]
    Strange { endpoint: String },
    #[error("the object is larger than S3 can keep")]
    TooLarge,
    #[error("trust the certificates of this host")]
    Trust(#[source] reqwest::Error),
    #[error("the name of the bucket and the endpoint make no URL")]
    Url,
}

impl S3Error {
    /// Whether the same request may succeed a little later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } => true,
            Self::Answered { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            _ => false,
        }
    }
}

/// The tries of one request.
struct Tries {
    left: u32,
    pause: Duration,
}

impl Tries {
    fn new() -> Self {
        Self { left: TRIES - 1, pause: FIRST_PAUSE }
    }

    /// Waits, if another try makes sense.
    async fn again(&mut self, error: &S3Error) -> bool {
        if self.left == 0 || !error.may_pass() {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(self.pause).await;
        self.pause *= 4;
        true
    }
}

/// A folder of a bucket.
pub struct S3 {
    bucket: Bucket,
    credentials: Credentials,
    client: reqwest::Client,
    /// Empty, or ends with a slash.
    prefix: String,
    endpoint: String,
    /// Where uploads that were begun are noted.
    notes: PathBuf,
    /// Tells the notes of this process from those of others.
    process: String,
}

impl S3 {
    /// # Errors
    /// If the TLS library finds no roots of trust, or the settings do not make a URL.
    pub fn new(config: &config::S3, notes: PathBuf) -> Result<Self, S3Error> {
        let style = if config.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let (name, region) = (config.bucket.clone(), config.region.clone());
        let bucket = Bucket::new(config.endpoint.clone(), style, name, region).map_err(|_| S3Error::Url)?;
        let (key, secret) = (config.access_key.expose(), config.secret_key.expose());
        let credentials = match &config.session_token {
            Some(token) => Credentials::new_with_token(key, secret, token.expose()),
            None => Credentials::new(key, secret),
        };
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("alyx/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(S3Error::Trust)?;
        Ok(Self {
            bucket,
            credentials,
            client,
            prefix: config.prefix.clone(),
            endpoint: config.endpoint.origin().ascii_serialization(),
            notes,
            process: crate::clock::random_hex::<8>(),
        })
    }

    /// Where a file is, for people.
    pub fn place(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.bucket.name(), self.prefix)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The names of all files below a folder, without those in folders below it.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, S3Error> {
        let prefix = self.key(folder);
        let (mut names, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let mut page = self.bucket.list_objects_v2(Some(&self.credentials));
            page.with_prefix(prefix.as_str());
            page.with_delimiter("/");
            if let Some(token) = token.take() {
                page.with_continuation_token(token);
            }
            let text = self.text(Method::GET, &page, String::new()).await?;
            let page = ListObjectsV2::parse_response(&text).map_err(|_| self.strange())?;
            let found = page.contents.into_iter().filter_map(|object| {
                let name = object.key.strip_prefix(&prefix)?;
                (!name.is_empty()).then(|| name.to_owned())
            });
            names.extend(found);
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(names);
            }
        }
        Err(S3Error::TooLarge)
    }

    /// Removes a file, which may be gone already.
    pub async fn remove(&self, name: &str) -> Result<(), S3Error> {
        let key = self.key(name);
        let action = self.bucket.delete_object(Some(&self.credentials), &key);
        match self.text(Method::DELETE, &action, String::new()).await {
            Err(S3Error::Answered { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends a request with little in it and reads its answer, several times if need be.
    async fn text<'a>(
        &self,
        method: Method,
        action: &impl S3Action<'a>,
        body: String,
    ) -> Result<String, S3Error> {
        let mut tries = Tries::new();
        loop {
            let request = self.client.request(method.clone(), action.sign(SIGNED_FOR)).body(body.clone());
            let answer = async { self.read(self.send(request, ANSWER_TIMEOUT).await?).await };
            match answer.await {
                Err(error) if tries.again(&error).await => {}
                other => return other,
            }
        }
    }

    /// Sends a request and waits for the head of an answer that is none of a failure.
    async fn send(&self, request: reqwest::RequestBuilder, within: Duration) -> Result<Response, S3Error> {
        let sent = tokio::time::timeout(within, request.send()).await.map_err(|_| self.slow())?;
        let response = sent.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let code = error_code(&self.read(response).await.unwrap_or_default());
        let endpoint = self.endpoint.clone();
        Err(match status {
            _ if code == "NoSuchBucket" => {
                S3Error::NoBucket { bucket: self.bucket.name().to_owned(), endpoint }
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => S3Error::Denied { endpoint, status, code },
            _ => S3Error::Answered { endpoint, status, code },
        })
    }

    async fn read(&self, mut response: Response) -> Result<String, S3Error> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > TEXT_MAX_BYTES {
                return Err(self.strange());
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| self.strange())
    }

    async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, S3Error> {
        let chunk = tokio::time::timeout(ANSWER_TIMEOUT, response.chunk()).await;
        chunk.map_err(|_| self.slow())?.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> S3Error {
        S3Error::Unreachable { endpoint: self.endpoint.clone(), source: source.without_url() }
    }

    fn slow(&self) -> S3Error {
        S3Error::Slow { endpoint: self.endpoint.clone() }
    }

    fn strange(&self) -> S3Error {
        S3Error::Strange { endpoint: self.endpoint.clone() }
    }
}

/// What an error answer calls itself: a word, or nothing.
fn error_code(body: &str) -> String {
    let found = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = found.map_or("", |(code, _)| code);
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { code.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::error_code;

    #[test]
    fn an_error_is_called_by_its_code() {
        let check = |body: &str, expected: &str| assert_eq!(error_code(body), expected, "{body}");
        check("<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>", "NoSuchBucket");
        check("<Error><Code>a b\u{1b}[0m</Code></Error>", "");
        check("<Code>", "");
        check("it does not work", "");
    }
}
