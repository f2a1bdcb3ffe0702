//! One provider: where to send people, how to exchange a code, and who came back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use oauth2::basic::{BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::fetch::{FetchError, Fetcher};
use super::flow::Flow;
use super::{github, id_token};
use crate::clock;
use crate::config::{Provider as Settings, ProviderKind, is_safe_url};

/// How long metadata and keys are believed.
const METADATA_TTL: Duration = Duration::from_secs(3600);

/// Keys are not asked for again sooner, however many tokens name one that is unknown.
const KEYS_PAUSE: Duration = Duration::from_secs(60);

/// Who somebody is to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Never changes and is never given to another.
    pub subject: String,
    pub email: Option<String>,
    /// Whether the provider says that the address is theirs.
    pub verified: bool,
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the metadata of {0} is not its own or lacks something")]
    Metadata(String),
    #[error("the code was not accepted: {0}")]
    Exchange(String),
    #[error("there is no id token")]
    NoIdToken,
    #[error("the id token was refused: {0}")]
    IdToken(#[from] id_token::Refused),
    #[error("the answer came from {0}, which was not asked")]
    MixUp(String),
}

/// A provider with what it told about itself.
pub struct Provider {
    pub settings: Settings,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    endpoints: Endpoints,
    keys: JwkSet,
    read_at: Instant,
    /// When the keys were read again for a token that names one we do not have.
    keys_read_again_at: Option<Instant>,
}

/// Where a provider does what.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The answer of a token endpoint beside what OAuth has.
#[derive(Debug, Serialize, Deserialize)]
struct WithIdToken {
    #[serde(default)]
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type Tokens = StandardTokenResponse<WithIdToken, BasicTokenType>;
type Client<Auth = EndpointSet, Token = EndpointSet> = oauth2::Client<
    oauth2::StandardErrorResponse<BasicErrorResponseType>,
    Tokens,
    oauth2::basic::BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
    Auth,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Token,
>;

impl Provider {
    pub fn new(settings: Settings) -> Self {
        Self { settings, known: Mutex::new(None) }
    }

    /// The address to send a browser to.
    pub async fn authorize(
        &self,
        fetcher: &Fetcher,
        flow: &Flow,
        callback: &str,
    ) -> Result<Url, ProviderError> {
        let known = self.known(fetcher).await?;
        let client = self.client(&known.endpoints, callback)?;
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let base: &[&str] = match self.settings.kind {
            ProviderKind::Oidc { .. } => &["openid", "email"],
            ProviderKind::GitHub { .. } => &["read:user", "user:email"],
        };
        let scopes = base.iter().map(|scope| (*scope).to_owned()).chain(self.settings.scopes.iter().cloned());
        let state = flow.state.clone();
        let mut request = client
            .authorize_url(move || CsrfToken::new(state))
            .add_scopes(scopes.map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if matches!(self.settings.kind, ProviderKind::Oidc { .. }) {
            request = request.add_extra_param("nonce", flow.nonce.clone());
        }
        Ok(request.url().0)
    }

    /// Who came back with this code. `issuer` is the `iss` of the answer, where it had one.
    pub async fn profile(
        &self,
        fetcher: &Fetcher,
        flow: &Flow,
        code: String,
        issuer: Option<&str>,
        callback: &str,
    ) -> Result<Profile, ProviderError> {
        let known = self.known(fetcher).await?;
        match issuer {
            Some(issuer) if issuer != known.endpoints.issuer => {
                return Err(ProviderError::MixUp(issuer.chars().take(200).collect()));
            }
            None if known.endpoints.authorization_response_iss_parameter_supported => {
                return Err(ProviderError::MixUp("nobody".to_owned()));
            }
            _ => {}
        }
        let client = self.client(&known.endpoints, callback)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
            .request_async(fetcher)
            .await
            .map_err(exchange_error)?;
        let access_token = tokens.access_token().secret();
        match &self.settings.kind {
            ProviderKind::GitHub { url } => Ok(github::profile(fetcher, url, access_token).await?),
            ProviderKind::Oidc { .. } => {
                let token = tokens.extra_fields().id_token.as_deref().ok_or(ProviderError::NoIdToken)?;
                self.identified(fetcher, &known, flow, token, access_token).await
            }
        }
    }

    async fn identified(
        &self,
        fetcher: &Fetcher,
        known: &Known,
        flow: &Flow,
        token: &str,
        access_token: &str,
    ) -> Result<Profile, ProviderError> {
        let expected = id_token::Expected {
            issuer: &known.endpoints.issuer,
            client_id: &self.settings.client_id,
            nonce: &flow.nonce,
            access_token,
            now: clock::now_seconds(),
        };
        let claims = match id_token::verify(token, &known.keys, &expected) {
            Err(id_token::Refused::UnknownKey) => {
                let keys = self.newer_keys(fetcher, known).await?;
                id_token::verify(token, &keys, &expected)?
            }
            outcome => outcome?,
        };
        let verified = claims.email_verified.as_ref().is_some_and(id_token::Verified::is_true);
        let mut profile = Profile { subject: claims.sub, email: claims.email, verified };
        if let (None, Some(endpoint)) = (&profile.email, &known.endpoints.userinfo_endpoint) {
            let info: UserInfo = fetcher.json(endpoint, Some(access_token)).await?;
            // §5.3.2: about somebody else it means nothing.
            if info.sub == profile.subject {
                profile.verified = info.email_verified.as_ref().is_some_and(id_token::Verified::is_true);
                profile.email = info.email;
            }
        }
        Ok(profile)
    }

    fn client(&self, endpoints: &Endpoints, callback: &str) -> Result<Client, ProviderError> {
        let wrong = |_| ProviderError::Metadata(self.settings.name.clone());
        let basic = endpoints
            .token_endpoint_auth_methods_supported
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        let is_oidc = matches!(self.settings.kind, ProviderKind::Oidc { .. });
        Ok(Client::<EndpointNotSet, EndpointNotSet>::new(ClientId::new(self.settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.settings.client_secret.0.clone()))
            .set_auth_uri(AuthUrl::new(endpoints.authorization_endpoint.clone()).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(endpoints.token_endpoint.clone()).map_err(wrong)?)
            .set_redirect_uri(RedirectUrl::new(callback.to_owned()).map_err(wrong)?)
            .set_auth_type(if basic && is_oidc { AuthType::BasicAuth } else { AuthType::RequestBody }))
    }

    async fn known(&self, fetcher: &Fetcher) -> Result<Known, ProviderError> {
        let kept = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = kept.filter(|known| known.read_at.elapsed() < METADATA_TTL) {
            return Ok(known);
        }
        let known = match &self.settings.kind {
            ProviderKind::GitHub { url } => Known {
                endpoints: github::endpoints(url),
                keys: JwkSet { keys: Vec::new() },
                read_at: Instant::now(),
                keys_read_again_at: None,
            },
            ProviderKind::Oidc { issuer } => self.discover(fetcher, issuer).await?,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// OpenID Connect Discovery 1.0 §4.
    async fn discover(&self, fetcher: &Fetcher, issuer: &str) -> Result<Known, ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let endpoints: Endpoints = fetcher.json(&url, None).await?;
        let userinfo = endpoints.userinfo_endpoint.as_deref();
        let all = [&*endpoints.authorization_endpoint, &endpoints.token_endpoint, &endpoints.jwks_uri];
        let safe = |url: &str| Url::parse(url).is_ok_and(|url| is_safe_url(&url));
        if endpoints.issuer != issuer || !all.into_iter().chain(userinfo).all(safe) {
            return Err(ProviderError::Metadata(self.settings.name.clone()));
        }
        let keys = fetcher.json(&endpoints.jwks_uri, None).await?;
        Ok(Known { endpoints, keys, read_at: Instant::now(), keys_read_again_at: None })
    }

    async fn newer_keys(&self, fetcher: &Fetcher, known: &Known) -> Result<JwkSet, ProviderError> {
        if known.keys_read_again_at.is_some_and(|at| at.elapsed() < KEYS_PAUSE) {
            return Ok(known.keys.clone());
        }
        let keys: JwkSet = fetcher.json(&known.endpoints.jwks_uri, None).await?;
        let newer = Known { keys: keys.clone(), keys_read_again_at: Some(Instant::now()), ..known.clone() };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(newer);
        Ok(keys)
    }
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<id_token::Verified>,
}

/// The crate's errors hold the provider's words, which may be anything; a code is enough for the log.
fn exchange_error(
    error: oauth2::RequestTokenError<FetchError, oauth2::StandardErrorResponse<BasicErrorResponseType>>,
) -> ProviderError {
    match error {
        oauth2::RequestTokenError::Request(error) => ProviderError::Fetch(error),
        oauth2::RequestTokenError::ServerResponse(answer) => {
            ProviderError::Exchange(answer.error().to_string().chars().take(100).collect())
        }
        _ => ProviderError::Exchange("not an answer of a token endpoint".to_owned()),
    }
}

impl Endpoints {
    /// Those of a provider without metadata.
    pub(super) fn fixed(issuer: String, authorization_endpoint: String, token_endpoint: String) -> Self {
        Self {
            issuer,
            authorization_endpoint,
            token_endpoint,
            userinfo_endpoint: None,
            jwks_uri: String::new(),
            token_endpoint_auth_methods_supported: None,
            authorization_response_iss_parameter_supported: false,
        }
    }
}
