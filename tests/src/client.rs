//! HTTP as somebody, and what was expected of the answer.
//!
//! Expectations panic with the whole answer, so that a failed test shows what came instead.

use std::panic::Location;

use alyx_protocol::api::Problem;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Somebody who calls the server: nobody in particular, or the holder of a token.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// The account's id, for somebody who signed in.
    user: Option<Value>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub request: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A document as the server returned it.
#[derive(Clone, Debug)]
pub struct Document(pub Value);

impl Document {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0["id"].as_str().expect("a document has an id")
    }
}

impl Client {
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("set up HTTP");
        Self { http, base: base.to_owned(), token: None, user: None }
    }

    /// Over a unix socket.
    #[must_use]
    pub fn over_socket(socket: &std::path::Path) -> Self {
        let http = reqwest::Client::builder().unix_socket(socket.to_path_buf()).build().expect("set up HTTP");
        Self { http, base: "http://alyx".to_owned(), token: None, user: None }
    }

    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Acts as the account of this answer to a sign-in.
    #[must_use]
    pub fn with_session(&self, session: &Value) -> Self {
        let token = session["access_token"].as_str().map(str::to_owned);
        Self { token, user: Some(session.clone()), ..self.clone() }
    }

    /// Registers an account and acts as it from now on.
    pub async fn register(&self, email: &str, password: &str) -> Self {
        let body = json!({ "email": email, "password": password });
        self.signed_in(self.post("/api/auth/register", body).await.expect_status(201))
    }

    /// Signs in and acts as that account from now on.
    pub async fn login(&self, email: &str, password: &str) -> Self {
        let body = json!({ "email": email, "password": password });
        self.signed_in(self.post("/api/auth/login", body).await.expect_status(200))
    }

    fn signed_in(&self, answer: Answer) -> Self {
        let body = answer.json();
        let token = body["access_token"].as_str().unwrap_or_else(|| panic!("no access_token in {answer:?}"));
        Self { token: Some(token.to_owned()), user: Some(body.clone()), ..self.clone() }
    }

    /// The answer to the registration or login that made this client.
    #[must_use]
    pub fn session(&self) -> &Value {
        self.user.as_ref().expect("this client has signed in")
    }

    /// The account's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.session()["user"]["id"].as_str().expect("an account has an id")
    }

    /// Its token, if it has signed in.
    #[must_use]
    pub fn try_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("this client has signed in")
    }

    /// Where the server listens.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn create(&self, collection: &str, document: Value) -> Answer {
        self.post(&format!("/api/collections/{collection}"), document).await
    }

    pub async fn get(&self, collection: &str, id: &str) -> Answer {
        self.send(Method::GET, &format!("/api/collections/{collection}/{id}"), None).await
    }

    /// `query` is what follows the question mark.
    pub async fn list(&self, collection: &str, query: &str) -> Answer {
        self.send(Method::GET, &format!("/api/collections/{collection}?{query}"), None).await
    }

    pub async fn patch(&self, collection: &str, id: &str, changes: Value) -> Answer {
        self.send(Method::PATCH, &format!("/api/collections/{collection}/{id}"), Some(changes.to_string()))
            .await
    }

    pub async fn delete(&self, collection: &str, id: &str) -> Answer {
        self.send(Method::DELETE, &format!("/api/collections/{collection}/{id}"), None).await
    }

    pub async fn invoke(&self, function: &str, input: Value) -> Answer {
        self.post(&format!("/api/functions/{function}"), input).await
    }

    pub async fn get_path(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    /// Any request; a body is sent as JSON.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let label = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        self.answer(label, request).await
    }

    /// The same, for somebody whose server may die meanwhile.
    ///
    /// # Errors
    /// If there is no complete answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { request: format!("{method} {path}"), status, headers, body })
    }

    /// A request built by the test itself.
    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let label = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(label, request).await
    }

    async fn answer(&self, label: String, request: reqwest::RequestBuilder) -> Answer {
        let response =
            request.send().await.unwrap_or_else(|error| panic!("{label} got no answer: {error:?}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{label}: cut off: {error:?}"));
        Answer { request: label, status, headers, body: body.to_vec() }
    }
}

impl Answer {
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    #[must_use]
    pub fn body_or_null(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert!(self.status.as_u16() == status, "expected {status}, got {self}, at {}", Location::caller());
        self
    }

    /// 200 with JSON.
    #[track_caller]
    pub fn expect_ok(self) -> Value {
        self.expect_status(200).json()
    }

    /// 201 with the document.
    #[track_caller]
    pub fn expect_created(self) -> Document {
        Document(self.expect_status(201).json())
    }

    /// 200 with the document.
    #[track_caller]
    pub fn expect_document(self) -> Document {
        Document(self.expect_ok())
    }

    /// 200 with a list; its documents.
    #[track_caller]
    pub fn expect_docs(self) -> Vec<Value> {
        let body = self.clone().expect_ok();
        body["docs"].as_array().unwrap_or_else(|| panic!("no docs in {self}")).clone()
    }

    /// A problem document with this status and code.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Problem {
        let answer = self.expect_status(status);
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        assert!(kind.starts_with("application/problem+json"), "content type {kind:?} of {answer}");
        let problem: Problem =
            serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no problem document: {answer}"));
        assert!(problem.code == code, "expected code {code}, got {answer}");
        assert!(problem.status == status && !problem.detail.is_empty(), "incomplete: {answer}");
        problem
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} → {}: {}",
            self.request,
            self.status.as_u16(),
            self.text().chars().take(2_000).collect::<String>()
        )
    }
}
