//! The authorization server that issues the tokens: where its token endpoint is, and one request to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use time::UtcDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::answer::{Asked, Issued, TokenType, read};
use super::client_auth::ClientAuth;
use super::error::HopError;
use super::form::Form;
use super::nonce::LastNonce;
use super::proof_key::ProofKey;
use crate::approvals::SigningKey;
use crate::config_error::ConfigError;
use crate::json::{Object, string};
use crate::keys::{AllowedScheme, endpoint, metadata_urls};
use crate::outbound::{HttpClient, HttpLimits, send_within};
use crate::printable::{with_causes, without_secrets};

/// The limits of each answer.
const MAX_BYTES: usize = 64 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the endpoint that the metadata names is used before the metadata is read again.
const METADATA_TTL: Duration = Duration::from_secs(3600);
/// How long metadata is not read again after it could not be, while an endpoint is known.
const METADATA_PAUSE: Duration = Duration::from_secs(30);

/// Reads a token that says who this service is.
type ReadActorToken = dyn Fn() -> Option<String> + Send + Sync;

/// An authorization server at which this service gets tokens for what it calls next, as a client of that server.
///
/// [`NextHop::discover`](super::NextHop::discover) makes one, and [`to`](Self::to) begins a hop. It is cheap to clone;
/// clones share what is known of the server.
#[derive(Clone)]
pub struct TokenServer {
    pub(super) issuer: Arc<str>,
    pub(super) scheme: AllowedScheme,
    client: Arc<dyn HttpClient>,
    auth: ClientAuth,
    pub(super) proof_key: Option<ProofKey>,
    actor_token: Option<(Arc<str>, Arc<ReadActorToken>)>,
    known: Arc<Known>,
}

/// What is known of a server.
#[derive(Default)]
struct Known {
    /// Its token endpoint, and when that is read again. It is locked while it is read.
    endpoint: Mutex<Option<(Uri, Instant)>>,
    /// The nonce for the next proof at the token endpoint.
    nonce: LastNonce,
}

impl TokenServer {
    pub(super) fn new(
        scheme: AllowedScheme,
        issuer: &str,
        auth: ClientAuth,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        scheme.parse(issuer)?;
        Ok(TokenServer {
            issuer: issuer.into(),
            scheme,
            client: Arc::new(client),
            auth,
            proof_key: None,
            actor_token: None,
            known: Arc::default(),
        })
    }

    /// Binds the tokens to a key of this service ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)).
    ///
    /// Each request to the token endpoint has a proof, and so has each request that a token is attached to. A nonce that
    /// the server asks for is used at once, and one that the resource asks for with the next request; see
    /// [`OutboundToken::wants_retry`](super::OutboundToken::wants_retry). A token that is not bound to this key is not
    /// used.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the public half of the key cannot be written as a JWK.
    pub fn dpop(self, key: SigningKey) -> Result<Self, ConfigError> {
        Ok(TokenServer { proof_key: Some(ProofKey::new(key)?), ..self })
    }

    /// Names this service as the actor with a token of its own
    /// (`actor_token`, [RFC 8693 section 2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)).
    ///
    /// `token_type` is the URN of its type, such as `urn:ietf:params:oauth:token-type:jwt`. `read` is called for each
    /// exchange and must answer from memory, for example with the workload token that your platform renews. If it
    /// returns `None`, nothing is exchanged (503). Without this setting, the server learns who acts from the client that
    /// authenticates.
    #[must_use]
    pub fn actor_token(
        self,
        token_type: &str,
        read: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        TokenServer { actor_token: Some((token_type.into(), Arc::new(read))), ..self }
    }

    /// The issuer name of the server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Adds the token that names this service, if it is set up with one.
    pub(super) fn add_actor(&self, form: Form) -> Result<Form, HopError> {
        let Some((token_type, read)) = &self.actor_token else { return Ok(form) };
        let token = read();
        let missing = || HopError::Unavailable("the actor token is missing".to_owned());
        let token = token.ok_or_else(missing)?;
        Ok(form.with("actor_token", &token).with("actor_token_type", token_type))
    }

    /// Asks for a token with this form, and accepts only what was asked for.
    pub(super) async fn request(&self, form: &Form, asked: &Asked<'_>) -> Result<Issued, HopError> {
        let uri = self.token_endpoint().await?;
        let is_bound = asked.token_type == TokenType::Dpop;
        let key = self.proof_key.as_ref().filter(|_| is_bound);
        let mut is_first = true;
        loop {
            let now = UtcDateTime::now();
            let request = self.token_request(&uri, form.clone(), key, now)?;
            let answer = self.send(&uri, request).await?;
            let nonce = self.known.nonce.keep(answer.headers());
            // The server asks for a nonce (RFC 9449 section 8): once.
            if is_first && key.is_some() && nonce && asks_for_nonce(&answer) {
                is_first = false;
                continue;
            }
            return read(answer.status(), answer.body(), asked, now);
        }
    }

    fn token_request(
        &self,
        uri: &Uri,
        mut form: Form,
        key: Option<&ProofKey>,
        now: UtcDateTime,
    ) -> Result<Request<Vec<u8>>, HopError> {
        const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let failed = || HopError::Misconfigured("the request to the token endpoint cannot be made");
        let mut request = Request::new(Vec::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, FORM);
        headers.insert(ACCEPT, JSON);
        self.auth.apply(&self.issuer, now, &mut form, headers).ok_or_else(failed)?;
        if let Some(key) = key {
            let nonce = self.known.nonce.get();
            let proof = key.proof("POST", uri, None, nonce.as_deref()).ok_or_else(failed)?;
            headers.insert("dpop", HeaderValue::try_from(proof).map_err(|_| failed())?);
        }
        *request.body_mut() = form.into_body();
        Ok(request)
    }

    /// Returns the token endpoint: the known one, or what the metadata says.
    async fn token_endpoint(&self) -> Result<Uri, HopError> {
        let mut known = self.known.endpoint.lock().await;
        if let Some((uri, read_again_at)) = &*known
            && Instant::now() < *read_again_at
        {
            return Ok(uri.clone());
        }
        // Others wait, so all the URLs together have the time of one request.
        let read = timeout(REQUEST_TIMEOUT, self.read_metadata()).await;
        let too_slow = |_| Err(HopError::Unavailable("its metadata took too long".to_owned()));
        let (uri, ttl) = match (read.unwrap_or_else(too_slow), known.take()) {
            (Ok(uri), _) => (uri, METADATA_TTL),
            // Without metadata, the endpoint is still where it was.
            (Err(_), Some((uri, _))) => (uri, METADATA_PAUSE),
            (Err(problem), None) => return Err(problem),
        };
        let now = Instant::now();
        *known = Some((uri.clone(), now.checked_add(ttl).unwrap_or(now)));
        Ok(uri)
    }

    async fn read_metadata(&self) -> Result<Uri, HopError> {
        let issuer = self.scheme.parse(&self.issuer);
        let issuer = issuer.map_err(|_| HopError::Misconfigured("the issuer is not a URL"))?;
        let mut problem = None;
        for url in metadata_urls(&issuer) {
            let Ok(uri) = url.parse::<Uri>() else { continue };
            let mut request = Request::new(Vec::new());
            *request.uri_mut() = uri.clone();
            let answer = match self.send(&uri, request).await {
                Ok(answer) if answer.status() == StatusCode::OK => answer,
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    problem.get_or_insert(unavailable(&uri, &format!("answered {status}")));
                    continue;
                }
                // The next URL is at the same server.
                Err(error) => return Err(error),
            };
            let text = std::str::from_utf8(answer.body()).unwrap_or_default();
            match endpoint(text, "token_endpoint", &self.issuer, self.scheme) {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) => problem = Some(unavailable(&uri, &error)),
            }
        }
        let unknown = || HopError::Unavailable("it has no metadata".to_owned());
        Err(problem.unwrap_or_else(unknown))
    }

    async fn send(
        &self,
        uri: &Uri,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, HopError> {
        let limits = HttpLimits::new(MAX_BYTES, REQUEST_TIMEOUT);
        let sent = send_within(&*self.client, request, limits).await;
        sent.map_err(|error| unavailable(uri, &with_causes(&error)))
    }
}

fn unavailable(uri: &Uri, problem: &str) -> HopError {
    let shown = uri.to_string();
    HopError::Unavailable(format!("{} {problem}", without_secrets(&shown)))
}

/// True if the answer is the error that asks for a nonce.
fn asks_for_nonce(answer: &Response<Vec<u8>>) -> bool {
    let object = std::str::from_utf8(answer.body()).ok().and_then(Object::read);
    let error = object.as_ref().and_then(|object| object.get("error")).and_then(string);
    answer.status().is_client_error() && error.as_deref() == Some("use_dpop_nonce")
}

impl fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenServer")
            .field("issuer", &self.issuer)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
