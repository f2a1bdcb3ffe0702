//! HTTP to the daemon: over the admin socket, where it knows us by our user id, or to a URL with a
//! token. Error answers become [`Failure`]s; nothing is retried.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alyx_protocol::api::Problem;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::args::Target;
use crate::exit::{Exit, Failure, root_cause};
use crate::locate;

/// A daemon that listens answers the connection at once; this bounds a wrong address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Stands for the admin socket where a URL must have a host.
const SOCKET_BASE: &str = "http://alyx";

/// Speaks to one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// For messages: the socket or the URL.
    place: String,
}

impl Client {
    /// The daemon that the flags, the environment or the working directory name.
    pub fn new(target: &Target) -> Result<Self, Failure> {
        match &target.url {
            Some(url) => Self::to_url(url),
            None => Self::to_socket(&socket_of(target)),
        }
    }

    pub fn to_socket(socket: &Path) -> Result<Self, Failure> {
        let http = builder().unix_socket(socket.to_path_buf()).build().map_err(no_client)?;
        let place = socket.display().to_string();
        Ok(Self { http, base: SOCKET_BASE.to_owned(), token: None, place })
    }

    fn to_url(url: &str) -> Result<Self, Failure> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::usage(format!("{url} is not an HTTP URL"))
                .hint("write it with its scheme, such as http://127.0.0.1:8090"));
        }
        let http = builder().build().map_err(no_client)?;
        let base = url.trim_end_matches('/').to_owned();
        let token = std::env::var("ALYX_TOKEN").ok().filter(|token| !token.is_empty());
        Ok(Self { http, base, token, place: url.to_owned() })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        json(self.send(self.request(Method::GET, path)).await?).await
    }

    pub async fn get_with(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        json(self.stream(path, query).await?).await
    }

    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Response, Failure> {
        let request = self.request(Method::POST, path);
        self.send(request.header("content-type", "application/json").body(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::PATCH, path);
        let request = request.header("content-type", "application/json").body(body.to_string());
        json(self.send(request).await?).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let request = self.request(Method::PUT, path);
        self.send(request.header("content-type", "application/json").body(body.to_string())).await.map(drop)
    }

    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, path)).await.map(drop)
    }

    /// The answer as it comes, for endpoints that keep writing.
    pub async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, &with_query(path, query))).await
    }

    pub async fn delete_with(&self, path: &str, query: &[(&str, String)]) -> Result<Response, Failure> {
        self.send(self.request(Method::DELETE, &with_query(path, query))).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.not_reachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let failure = problem(response).await;
        let is_anonymous = failure.problem.as_ref().is_some_and(|problem| problem.status == 401);
        if is_anonymous && failure.hint.is_none() && self.base != SOCKET_BASE {
            return Err(failure.hint("put the access token of an administrator into ALYX_TOKEN"));
        }
        Err(failure)
    }

    fn not_reachable(&self, error: &reqwest::Error) -> Failure {
        let mut failure = Failure::new(format!("no daemon answers at {}: {}", self.place, root_cause(error)));
        failure.exit = Exit::NotReachable;
        if root_cause(error).contains("Permission denied") {
            return failure.hint("join the group of the admin socket, or run this as root");
        }
        failure.hint(match locate::stopped_project() {
            Some(folder) => format!("start it with `alyx dev {}`", folder.display()),
            None => "start one with `alyx dev`, or run this in the folder of a project that runs, or name \
                     another with --socket or --url"
                .to_owned(),
        })
    }
}

/// The admin socket that the flags, the environment or the working directory name.
pub fn socket_of(target: &Target) -> PathBuf {
    target.socket.clone().unwrap_or_else(locate::admin_socket)
}

/// Text as one path segment or query value. Everything but unreserved letters is escaped.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

fn no_client(error: reqwest::Error) -> Failure {
    Failure::new(format!("failed to set up HTTP: {}", root_cause(&error)))
}

async fn problem(response: Response) -> Failure {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Failure::from_problem(problem),
        Err(_) => Failure::new(format!("the answer is {status} and no problem document"))
            .hint("check that the address belongs to an Alyx daemon"),
    }
}

pub async fn json(response: Response) -> Result<Value, Failure> {
    let body = response
        .bytes()
        .await
        .map_err(|error| Failure::new(format!("the daemon's answer ended early: {}", root_cause(&error))))?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::new(format!("the daemon's answer is not JSON: {error}")))
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut path = path.to_owned();
    for (position, (name, value)) in query.iter().enumerate() {
        path.push(if position == 0 { '?' } else { '&' });
        path.push_str(&format!("{name}={}", escape(value)));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_are_escaped_into_one_segment() {
        let check = |text: &str, expected: &str| assert_eq!(escape(text), expected);
        check("hello-node", "hello-node");
        check("../admin", "..%2Fadmin");
        check("a b?c=d&e", "a%20b%3Fc%3Dd%26e");
        check("é", "%C3%A9");
    }
}
