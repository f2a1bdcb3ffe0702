//! HTTP to providers: bounded in time and size, no redirects, and errors that say what was tried and
//! never what was answered.

use std::pin::Pin;
use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::lazy_client::LazyClient;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// Why a provider is of no use now. For the log; people are told that the provider failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("read the roots of trust of this host, for {url}")]
    Trust {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("reach {url}")]
    Reach {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} answered too much")]
    TooLarge { url: String },
    #[error("{url} did not answer what it should")]
    Shape {
        url: String,
        #[source]
        source: serde_json::Error,
    },
}

/// The client.
#[derive(Clone)]
pub struct Fetcher(LazyClient);

/// An answer, read to its end.
pub struct Fetched {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Fetcher {
    /// A client that has not asked anybody yet.
    pub fn new() -> Self {
        Self(LazyClient::new(|client| client.timeout(TIMEOUT)))
    }

    fn client(&self, url: &str) -> Result<&reqwest::Client, FetchError> {
        self.0.get().map_err(|source| FetchError::Trust { url: url.to_owned(), source })
    }

    /// A document, as JSON.
    pub async fn json<T: DeserializeOwned>(&self, url: &str, token: Option<&str>) -> Result<T, FetchError> {
        let mut request = self.client(url)?.get(url).header(http::header::ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let fetched = read(url, request).await?;
        if fetched.status != StatusCode::OK {
            return Err(FetchError::Status { url: url.to_owned(), status: fetched.status });
        }
        serde_json::from_slice(&fetched.body)
            .map_err(|source| FetchError::Shape { url: url.to_owned(), source })
    }
}

/// Requests of the `oauth2` crate.
impl<'c> oauth2::AsyncHttpClient<'c> for Fetcher {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let request = self.client(&url)?.request(parts.method, &url).headers(parts.headers).body(body);
            let fetched = read(&url, request).await?;
            let mut response = http::Response::new(fetched.body);
            *response.status_mut() = fetched.status;
            *response.headers_mut() = fetched.headers;
            Ok(response)
        })
    }
}

async fn read(url: &str, request: reqwest::RequestBuilder) -> Result<Fetched, FetchError> {
    let reach =
        |source: reqwest::Error| FetchError::Reach { url: url.to_owned(), source: source.without_url() };
    let mut response = request.send().await.map_err(reach)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(reach)? {
        if body.len() + part.len() > ANSWER_MAX_BYTES {
            return Err(FetchError::TooLarge { url: url.to_owned() });
        }
        body.extend_from_slice(&part);
    }
    Ok(Fetched { status, headers, body })
}
