//! Signing in with an account elsewhere: against `oidc-provider`, a certified OpenID Connect server, and
//! against one that lies.

use std::collections::HashMap;

use alyx_tests::mails::wait_in_folder;
use alyx_tests::peers::{self, Server};
use alyx_tests::{Answer, Client, PASSWORD, Project, TestServer};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1\n";
const APP: &str = "https://app.example.com/signed-in";
const VERIFIER: &str = "the-app-made-this-up-and-keeps-it-to-itself";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// A daemon with the providers `corp`, which is honest, and `liar` and `github`, which are not bound to be.
struct Scene {
    server: TestServer,
    corp: Server,
    liar: Server,
}

async fn scene() -> Option<Scene> {
    scene_with("").await
}

async fn scene_with(auth: &str) -> Option<Scene> {
    let (corp, liar) = (peers::server("oidc.mjs", &[]).await?, peers::server("liar.mjs", &[]).await?);
    let client = "client_id: alyx, client_secret: a-secret-of-the-client";
    let config = format!(
        "auth:\n  redirects: [\"https://app.example.com/\"]\n{auth}oauth:\n  \
         corp: {{ issuer: \"{}\", label: Example Corp, {client} }}\n  \
         liar: {{ issuer: \"{}\", {client} }}\n  \
         google: {{ issuer: \"{}\", {client} }}\n  \
         github: {{ github_url: \"{}\", {client} }}\n",
        corp.url, liar.url, liar.url, liar.url
    );
    let server = TestServer::start(Project::schema(SCHEMA).with("alyx.yaml", &config)).await;
    let callback = format!("{}/api/auth/oauth/corp/callback", server.url());
    post(&corp, &format!("/callback?url={callback}"), json!({})).await;
    Some(Scene { server, corp, liar })
}

async fn post(server: &Server, path: &str, body: Value) {
    let http = reqwest::Client::builder().no_proxy().build().expect("set up HTTP");
    let answer = http.post(format!("{}{path}", server.url)).json(&body).send().await.expect("it answers");
    assert!(answer.status().is_success(), "{path}");
}

/// Somebody's browser: follows redirects and keeps cookies until an address of the app comes.
struct Browser {
    http: reqwest::Client,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().expect("set up HTTP"), cookies: HashMap::new() }
    }

    /// One step: the answer of an address.
    async fn get(&mut self, url: &str) -> reqwest::Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.get(url).header("cookie", cookies.join("; "));
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        for cookie in answer.headers().get_all("set-cookie") {
            let text = cookie.to_str().expect("a cookie is text");
            let (name, rest) = text.split_once('=').expect("a cookie has a name");
            let value = rest.split(';').next().unwrap_or_default();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Follows redirects to the app, or to an answer that is none.
    async fn follow(&mut self, url: &str) -> Result<Url, reqwest::Response> {
        let mut url = url.to_owned();
        for _ in 0..20 {
            let answer = self.get(&url).await;
            let Some(location) = answer.headers().get("location") else { return Err(answer) };
            let base = Url::parse(&url).expect("an address");
            let next = base.join(location.to_str().expect("text")).expect("an address");
            if next.as_str().starts_with(APP) {
                return Ok(next);
            }
            next.as_str().clone_into(&mut url);
        }
        panic!("redirects do not end: {url}");
    }

    /// Up to the provider's answer: the address of our callback, not yet visited.
    async fn up_to_callback(&mut self, url: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..20 {
            let answer = self.get(&url).await;
            let location = answer.headers().get("location").expect("a redirect").to_str().expect("text");
            let next = Url::parse(&url).expect("an address").join(location).expect("an address");
            next.as_str().clone_into(&mut url);
            if next.path().ends_with("/callback") {
                return url;
            }
        }
        panic!("redirects do not end: {url}");
    }
}

impl Scene {
    fn start(&self, provider: &str) -> String {
        format!("{}/api/auth/oauth/{provider}?redirect={APP}&challenge={}", self.server.url(), challenge())
    }

    /// A whole sign-in with a fresh browser; the address of the app.
    async fn visit(&self, provider: &str) -> Url {
        Browser::new().follow(&self.start(provider)).await.expect("the browser comes to the app")
    }

    async fn exchange(&self, code: &str) -> Answer {
        let body = json!({ "code": code, "verifier": VERIFIER });
        self.server.anon().post("/api/auth/oauth/exchange", body).await
    }

    async fn sign_in(&self, provider: &str) -> Value {
        let app = self.visit(provider).await;
        let code = parameter(&app, "code").unwrap_or_else(|| panic!("no code: {app}"));
        self.exchange(&code).await.expect_status(200).json()
    }

    async fn lie(&self, lie: Value) {
        post(&self.liar, "/lie", lie).await;
    }

    async fn as_account(&self, name: &str) {
        post(&self.corp, &format!("/next?account={name}"), json!({})).await;
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn people_sign_in_with_openid_connect() {
    let Some(scene) = scene().await else { return };
    let listed = scene.server.anon().get_path("/api/auth/providers").await.expect_ok();
    let names: Vec<&str> =
        listed["providers"].as_array().unwrap().iter().filter_map(|one| one["label"].as_str()).collect();
    assert_eq!(names, ["Example Corp", "GitHub", "Google", "liar"]);

    let first = scene.sign_in("corp").await;
    assert_eq!(first["user"]["email"], "ada@example.org");
    assert_eq!(first["user"]["verified"], true);
    let again = scene.sign_in("corp").await;
    assert_eq!(again["user"]["id"], first["user"]["id"], "the second time it is the same account");
    let ada = scene.server.anon().with_token(first["access_token"].as_str().unwrap());
    let linked = ada.get_path("/api/auth/oauth/linked").await.expect_ok();
    assert_eq!(linked["linked"][0]["provider"], "corp");

    post(&scene.corp, "/rotate", json!({})).await;
    let rotated = scene.sign_in("corp").await;
    assert_eq!(rotated["user"]["id"], first["user"]["id"], "rotated keys are fetched");
    scene.server.stop().await;
}

#[tokio::test]
async fn nothing_secret_is_part_of_an_address_and_codes_are_good_once() {
    let Some(scene) = scene().await else { return };
    let mut browser = Browser::new();
    let start = browser.get(&scene.start("corp")).await;
    assert_eq!(start.status(), 303);
    let cookie = start.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let provider = Url::parse(start.headers()["location"].to_str().unwrap()).unwrap();
    assert_eq!(parameter(&provider, "code_challenge_method").as_deref(), Some("S256"));
    assert!(parameter(&provider, "nonce").is_some() && parameter(&provider, "state").is_some());
    assert!(!provider.as_str().contains("secret"), "{provider}");

    let app = scene.visit("corp").await;
    let names: Vec<String> = app.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["code"], "{app}");
    let code = parameter(&app, "code").unwrap();
    let stolen = json!({ "code": code, "verifier": "of-somebody-else" });
    scene.server.anon().post("/api/auth/oauth/exchange", stolen).await.expect_error(401, "invalid_code");
    scene.exchange(&code).await.expect_error(401, "invalid_code");
    let code = parameter(&scene.visit("corp").await, "code").unwrap();
    scene.exchange(&code).await.expect_status(200);
    scene.exchange(&code).await.expect_error(401, "invalid_code");
    scene.server.stop().await;
}

/// Login CSRF, replay and mix-up: an answer counts only in the browser that asked, once, from whom it
/// asked.
#[tokio::test]
async fn m11_the_answer_is_bound_to_browser_provider_and_verifier() {
    let Some(scene) = scene().await else { return };
    let mut ada = Browser::new();
    let callback = ada.up_to_callback(&scene.start("corp")).await;
    // The attacker's answer in a browser that did not ask.
    let refused = async |browser: &mut Browser, url: &str| {
        let answer = browser.follow(url).await.expect_err("it does not come to the app");
        assert_eq!(answer.status(), 400, "{url}");
    };
    refused(&mut Browser::new(), &callback).await;
    // In one that asked something else.
    let mut eve = Browser::new();
    eve.get(&scene.start("corp")).await;
    refused(&mut eve, &callback).await;
    // At another provider's door.
    let mut other = Browser::new();
    let foreign = other.up_to_callback(&scene.start("corp")).await;
    refused(&mut other, &foreign.replace("/oauth/corp/", "/oauth/liar/")).await;
    // With a state that was changed or left out.
    for wrong in ["state=x", "other=x"] {
        let mut browser = Browser::new();
        let url = browser.up_to_callback(&scene.start("corp")).await;
        let state = parameter(&Url::parse(&url).unwrap(), "state").unwrap();
        refused(&mut browser, &url.replace(&format!("state={state}"), wrong)).await;
    }
    // The rightful one works, once.
    let app = ada.follow(&callback).await.expect("the app");
    assert!(parameter(&app, "code").is_some(), "{app}");
    refused(&mut ada, &callback).await;

    // RFC 9207: an answer that names another issuer.
    scene.lie(json!({ "iss": "https://other.example" })).await;
    assert_eq!(parameter(&scene.visit("liar").await, "error").as_deref(), Some("provider_failed"));
    scene.lie(json!({ "iss": scene.liar.url })).await;
    assert!(parameter(&scene.visit("liar").await, "code").is_some());
    scene.server.stop().await;
}

#[tokio::test]
async fn id_tokens_that_do_not_hold_sign_nobody_in() {
    let Some(scene) = scene().await else { return };
    scene.lie(json!({})).await;
    assert_eq!(scene.sign_in("liar").await["user"]["email"], "liar@example.org", "the control");
    for lie in [
        json!({ "claims": { "nonce": "another" } }),
        json!({ "claims": { "nonce": null } }),
        json!({ "claims": { "iss": "https://other.example" } }),
        json!({ "claims": { "iss": null } }),
        json!({ "claims": { "aud": "somebody-else" } }),
        json!({ "claims": { "aud": ["alyx", "somebody-else"] } }),
        json!({ "claims": { "aud": ["alyx", "other"], "azp": "other" } }),
        json!({ "claims": { "azp": "somebody-else" } }),
        json!({ "claims": { "exp": 1_000_000_000 } }),
        json!({ "claims": { "exp": null } }),
        json!({ "claims": { "iat": 1_000_000_000 } }),
        json!({ "claims": { "iat": 9_000_000_000_u64, "exp": 9_000_000_100_u64 } }),
        json!({ "claims": { "nbf": 9_000_000_000_u64 } }),
        json!({ "claims": { "sub": null } }),
        json!({ "claims": { "sub": "" } }),
        json!({ "claims": { "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" } }),
        json!({ "sign": "other-key" }),
        json!({ "sign": "none" }),
        json!({ "sign": "hs256" }),
        json!({ "sign": "embedded" }),
        json!({ "sign": "unknown-kid" }),
        json!({ "token": 500 }),
        json!({ "token": 302 }),
    ] {
        scene.lie(lie.clone()).await;
        let app = scene.visit("liar").await;
        assert_eq!(parameter(&app, "error").as_deref(), Some("provider_failed"), "{lie}: {app}");
    }
    scene.lie(json!({ "claims": { "aud": ["alyx", "other"], "azp": "alyx" } })).await;
    assert!(parameter(&scene.visit("liar").await, "code").is_some(), "several audiences, made for us");
    let users = scene.server.over_admin_socket().get_path("/api/admin/users").await.expect_ok();
    let liars = users["users"].as_array().unwrap().iter().filter(|user| user["email"] == "liar@example.org");
    assert_eq!(liars.count(), 1);
    scene.server.stop().await;
}

/// A stranger registers with the victim's address, which they cannot verify, and waits for the victim
/// to sign in with a provider.
#[tokio::test]
async fn m11_an_unverified_account_is_not_joined() {
    let Some(scene) = scene().await else { return };
    let stranger = scene.server.anon().register("ada@example.org", PASSWORD).await;
    let app = scene.visit("corp").await;
    assert_eq!(parameter(&app, "error").as_deref(), Some("account_exists"), "{app}");
    let linked = stranger.get_path("/api/auth/oauth/linked").await.expect_ok();
    assert_eq!(linked["linked"], json!([]));
    // The victim has the mailbox: with a new password the account is theirs, and nothing of the
    // stranger's is left. Then it is joined.
    let anon = scene.server.anon();
    let forgot = json!({ "email": "ada@example.org" });
    anon.post("/api/auth/password/forgot", forgot).await.expect_status(202);
    let folder = scene.server.project.data().join("mail");
    let token = wait_in_folder(&folder, "ada@example.org", "Set a new password").await.token();
    let reset = json!({ "token": token, "password": "of the rightful owner" });
    anon.post("/api/auth/password/reset", reset).await.expect_status(204);
    stranger.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    anon.post("/api/auth/login", body).await.expect_error(401, "invalid_credentials");
    let joined = scene.sign_in("corp").await;
    assert_eq!((&joined["user"]["id"], &joined["user"]["verified"]), (&json!(stranger.id()), &json!(true)));

    // The other way round: a provider that did not verify the address.
    let admin = scene.server.over_admin_socket();
    let account = json!({ "email": "una@example.org", "password": PASSWORD, "verified": true });
    admin.post("/api/admin/users", account).await.expect_status(201);
    scene.as_account("una").await;
    let app = scene.visit("corp").await;
    assert_eq!(parameter(&app, "error").as_deref(), Some("account_exists"), "{app}");

    // Both verified it: they are one.
    let account = json!({ "email": "bob@example.org", "password": PASSWORD, "verified": true });
    let bob = admin.post("/api/admin/users", account).await.expect_status(201).json();
    scene.as_account("bob").await;
    assert_eq!(scene.sign_in("corp").await["user"]["id"], bob["id"]);
    scene.server.stop().await;
}

/// A stranger can give any address to a provider that does not check it.
#[tokio::test]
async fn m13_an_address_that_nobody_verified_tells_of_no_account() {
    for registration in ["verified", "closed"] {
        let Some(scene) = scene_with(&format!("  registration: {registration}\n")).await else { return };
        let account = json!({ "email": "una@example.org", "password": PASSWORD, "verified": true });
        scene.server.over_admin_socket().post("/api/admin/users", account).await.expect_status(201);
        for (id, email) in [(7, "una@example.org"), (8, "nobody@example.org")] {
            let emails = json!([{ "email": email, "primary": true, "verified": false }]);
            scene.lie(json!({ "github": { "id": id, "emails": emails } })).await;
            let app = scene.visit("github").await;
            assert_eq!(app.as_str(), format!("{APP}?error=email_unverified"), "{registration}: {email}");
        }
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn an_account_elsewhere_is_linked_by_its_owner_and_taken_away() {
    let Some(scene) = scene().await else { return };
    let ada = scene.server.user("somebody").await;
    let link = async |client: &Client| {
        let body = json!({ "redirect": APP, "challenge": challenge(), "current_password": PASSWORD });
        let answer = client.post("/api/auth/oauth/corp/link", body).await.expect_status(200);
        let mut browser = Browser::new();
        let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
        let (name, rest) = cookie.split_once('=').unwrap();
        browser.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        browser.follow(&url).await.expect("the app")
    };
    scene
        .server
        .anon()
        .post("/api/auth/oauth/corp/link", json!({}))
        .await
        .expect_error(401, "unauthenticated");
    let app = link(&ada).await;
    assert_eq!(parameter(&app, "linked").as_deref(), Some("corp"), "{app}");
    assert_eq!(scene.sign_in("corp").await["user"]["id"], ada.id());
    // Somebody else cannot have it as well.
    let eve = scene.server.user("eve").await;
    assert_eq!(parameter(&link(&eve).await, "error").as_deref(), Some("already_linked"));

    // An open session is not enough for either.
    let bare = json!({ "redirect": APP, "challenge": challenge() });
    ada.post("/api/auth/oauth/corp/link", bare).await.expect_error(422, "validation_failed");
    let unlink = async |client: &Client, proof: Value| {
        client.send(reqwest::Method::DELETE, "/api/auth/oauth/corp", Some(proof.to_string())).await
    };
    unlink(&ada, json!({})).await.expect_error(422, "validation_failed");
    unlink(&ada, json!({ "current_password": "not hers" })).await.expect_error(403, "confirmation_failed");
    let proof = json!({ "current_password": PASSWORD });
    unlink(&ada, proof.clone()).await.expect_status(204);
    unlink(&ada, proof).await.expect_error(404, "provider_not_found");
    // An account that has nothing else keeps it.
    let only = scene.sign_in("corp").await;
    let only = scene.server.anon().with_token(only["access_token"].as_str().unwrap());
    unlink(&only, json!({})).await.expect_error(409, "last_sign_in");
    let rows = crate::audit_rows(&scene.server.stop().await);
    let count = |action: &str| {
        let is_one = |row: &&Value| row["action"] == action && row["details"]["provider"] == "corp";
        rows.iter().filter(is_one).filter(|row| row["address"] == "127.0.0.1").count()
    };
    assert!(count("identity.link") == 1 && count("identity.unlink") == 1, "{rows:#?}");
    let by_oauth = |row: &&Value| row["action"] == "session.begin" && row["details"]["method"] == "oauth";
    assert_eq!(rows.iter().filter(by_oauth).count(), 2, "{rows:#?}");
}

#[tokio::test]
async fn people_sign_in_with_github() {
    let Some(scene) = scene().await else { return };
    let emails = |verified| {
        json!([
            { "email": "else@example.org", "primary": false, "verified": true },
            { "email": "hub@example.org", "primary": true, "verified": verified },
        ])
    };
    scene.lie(json!({ "github": { "id": 583_231, "emails": emails(true) } })).await;
    let first = scene.sign_in("github").await;
    assert_eq!(first["user"]["email"], "hub@example.org");
    // The name and the address may change, the number does not.
    scene.lie(json!({ "github": { "id": 583_231, "emails": [] } })).await;
    assert_eq!(scene.sign_in("github").await["user"]["id"], first["user"]["id"]);
    scene.lie(json!({ "github": { "id": 4, "emails": emails(false) } })).await;
    assert_eq!(parameter(&scene.visit("github").await, "error").as_deref(), Some("account_exists"));
    scene.lie(json!({ "github": { "id": 5, "emails": [] } })).await;
    assert_eq!(parameter(&scene.visit("github").await, "error").as_deref(), Some("email_missing"));
    scene.server.stop().await;
}

/// As Google answers, at another address: what it says of itself, RS256, `azp`, claims nobody asked for.
#[tokio::test]
async fn people_sign_in_with_google() {
    let Some(scene) = scene().await else { return };
    let google = |email: &str, claims: Value| {
        let mut all = json!({
            "azp": "alyx", "sub": "110169484474386276334", "email": email, "email_verified": true,
            "hd": "example.org", "name": "Ada Lovelace", "picture": "https://lh3.example/a", "locale": "en",
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        json!({ "sign": "rs256", "claims": all, "metadata": {
            "response_types_supported": ["code", "token", "id_token", "code token", "none"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["plain", "S256"],
        } })
    };
    scene.lie(google("ada@example.org", json!({}))).await;
    let mut browser = Browser::new();
    let start = browser.get(&scene.start("google")).await;
    let asked = Url::parse(start.headers()["location"].to_str().unwrap()).unwrap();
    let scopes = parameter(&asked, "scope").unwrap();
    assert!(scopes.contains("openid") && scopes.contains("email"), "{asked}");
    let first = scene.sign_in("google").await;
    assert_eq!(
        (&first["user"]["email"], &first["user"]["verified"]),
        (&json!("ada@example.org"), &json!(true))
    );
    // The address may change, the subject does not; another subject is somebody else.
    scene.lie(google("countess@example.org", json!({}))).await;
    assert_eq!(scene.sign_in("google").await["user"]["id"], first["user"]["id"]);
    scene.lie(google("eve@example.org", json!({ "sub": "2" }))).await;
    assert_ne!(scene.sign_in("google").await["user"]["id"], first["user"]["id"]);
    // An address that Google has not verified joins nobody.
    scene.lie(google("ada@example.org", json!({ "sub": "3", "email_verified": false }))).await;
    assert_eq!(parameter(&scene.visit("google").await, "error").as_deref(), Some("account_exists"));
    // What was made for another client of Google's is refused.
    scene.lie(google("ada@example.org", json!({ "aud": "another", "azp": "another" }))).await;
    assert_eq!(parameter(&scene.visit("google").await, "error").as_deref(), Some("provider_failed"));
    scene.server.stop().await;
}

#[tokio::test]
async fn what_is_asked_is_checked() {
    let Some(scene) = scene_with("  registration: closed\n").await else { return };
    let anon = scene.server.anon();
    let start = async |query: &str| anon.get_path(&format!("/api/auth/oauth/corp?{query}")).await;
    let good = format!("redirect={APP}&challenge={}", challenge());
    for query in [
        String::new(),
        format!("redirect={APP}"),
        format!("redirect={APP}&challenge=short"),
        format!("challenge={}", challenge()),
        format!("redirect=https://evil.example/&challenge={}", challenge()),
        format!("redirect=//evil.example/&challenge={}", challenge()),
        format!("redirect=https://app.example.com@evil.example/&challenge={}", challenge()),
        format!("redirect=https://app.example.com.evil.example/&challenge={}", challenge()),
        format!("{good}&{good}"),
        format!("{good}&other=1"),
    ] {
        start(&query).await.expect_error(400, "invalid_parameter");
    }
    anon.get_path(&format!("/api/auth/oauth/nobody?{good}")).await.expect_error(404, "provider_not_found");
    let app = scene.visit("corp").await;
    assert_eq!(parameter(&app, "error").as_deref(), Some("registration_closed"));
    scene.server.stop().await;
}
