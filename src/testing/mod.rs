//! An issuer for your own tests: it mints tokens, right and wrong ones, and rotates its keys.
//!
//! Nothing here changes a guard: what a test shows is what the real guard does.
//!
//! ```
//! use unconfused::{Audience, Guard, Reason, Scope};
//! use unconfused::testing::TestIssuer;
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const READ: Scope = Scope::from_static("orders:read");
//!
//! let login = TestIssuer::new("https://login.example");
//! let guard = Guard::new(ORDERS, login.issuer());
//!
//! let token = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read");
//! let request = http::Request::get("/").header("authorization", token.expired().bearer());
//! let (mut head, ()) = request.body(()).unwrap().into_parts();
//! let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
//! assert_eq!(denial.reason(), Reason::TokenExpired);
//!
//! // a handler's unit test needs a grant, and gets a real one
//! let grant = login.grant(login.token(&ORDERS).subject("bob").scope("orders:read"), READ);
//! assert_eq!(grant.subject(), "bob");
//! ```

mod client;
mod proof;
#[cfg(test)]
mod remembered;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use crate::answer::Answer;
use crate::evidence::Grant;
use crate::guard::Guard;
use crate::jose::{Algorithm, KeySet, SigningKey, encode};
use crate::keys::Issuer;
use crate::names::Audience;
use crate::proof::ClientCertificate;
use crate::require::Require;
use crate::token::KeyHint;

pub use client::ScriptedClient;
pub use proof::{TestProof, TestProofKey};

/// An issuer with keys of its own. Clones are one issuer.
#[derive(Clone)]
pub struct TestIssuer {
    name: String,
    algorithm: Algorithm,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The last one signs.
    keys: Vec<(String, Arc<SigningKey>)>,
    made: u64,
    published: KeySet,
}

impl State {
    fn add(&mut self, algorithm: Algorithm) {
        self.made = self.made.saturating_add(1);
        let kid = format!("test-{}", self.made);
        let key = Arc::new(SigningKey::generate(algorithm, &kid));
        self.keys.push((kid, key));
        self.publish();
    }

    #[expect(clippy::expect_used, reason = "the keys were made here")]
    fn publish(&mut self) {
        self.published =
            KeySet::from_json(&self.jwks()).expect("a key set that was made here is one");
    }

    fn jwks(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(|(_, key)| key.public_jwk()).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }
}

impl TestIssuer {
    /// An issuer that signs with ES256, which is fast to make.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        TestIssuer::with_algorithm(name, Algorithm::Es256)
    }

    /// An issuer that signs with this algorithm. RSA keys take a noticeable moment to make.
    #[must_use]
    pub fn with_algorithm(name: impl Into<String>, algorithm: Algorithm) -> Self {
        let mut state = State { keys: Vec::new(), made: 0, published: KeySet::default() };
        state.add(algorithm);
        TestIssuer { name: name.into(), algorithm, state: Arc::new(Mutex::new(state)) }
    }

    /// For a guard. Follows [`rotate`](Self::rotate) and [`withdraw`](Self::withdraw) at once.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        let this = self.clone();
        Issuer::new(&self.name, move |_: KeyHint<'_>| Answer::Now(Ok(this.keys())))
            .algorithms(Algorithm::DEFAULT.into_iter().chain([self.algorithm]))
    }

    /// A client that serves the metadata of this issuer (RFC 8414) and its public keys, at `/jwks` of its URL, as
    /// they are at each request.
    #[must_use]
    pub fn client(&self) -> ScriptedClient {
        let client = ScriptedClient::new();
        let base = self.name.trim_end_matches('/');
        let (origin, path) = match base.match_indices('/').nth(2) {
            Some((at, _)) => base.split_at(at),
            None => (base, ""),
        };
        let jwks_uri = format!("{base}/jwks");
        let metadata = json!({ "issuer": self.name, "jwks_uri": jwks_uri }).to_string();
        client.serve(&format!("{origin}/.well-known/oauth-authorization-server{path}"), metadata);
        let this = self.clone();
        client.answer(&jwks_uri, move || {
            Answer::Now(Ok(http::Response::new(this.jwks().into_bytes())))
        });
        client
    }

    /// The public keys, as they are now.
    #[must_use]
    pub fn keys(&self) -> KeySet {
        self.state().published.clone()
    }

    /// The public keys as a JWK Set.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.state().jwks()
    }

    /// Signs with a new key from now on. The old ones stay published.
    pub fn rotate(&self) {
        self.state().add(self.algorithm);
    }

    /// Withdraws all keys but the one that signs.
    pub fn withdraw(&self) {
        let mut state = self.state();
        let current = state.keys.pop();
        state.keys = current.into_iter().collect();
        state.publish();
    }

    /// A token for this audience: of the subject `alice`, to the client `test-client`, valid for
    /// 5 minutes, until something else is said.
    pub fn token(&self, audience: &Audience) -> TestToken {
        static JTI: AtomicU64 = AtomicU64::new(1);
        let now = UtcDateTime::now().unix_timestamp();
        let claims = json!({
            "iss": self.name,
            "sub": "alice",
            "aud": audience.as_str(),
            "client_id": "test-client",
            "iat": now,
            "exp": now.saturating_add(300),
            "jti": format!("token-{}", JTI.fetch_add(1, Ordering::Relaxed)),
        });
        let (kid, key) = self.state().keys.last().cloned().unzip();
        TestToken {
            header: object(json!({ "typ": "at+jwt", "alg": self.algorithm.as_str(), "kid": kid })),
            claims: object(claims),
            payload: None,
            key,
            audience: audience.clone(),
        }
    }

    /// The grant that a guard for the token's audience makes, set up with this issuer and nothing else. For
    /// the unit test of a handler. For a guard of your own: [`TestToken::granted_by`].
    ///
    /// # Panics
    ///
    /// Where the guard refuses; the message is the denial.
    #[expect(clippy::needless_pass_by_value, reason = "a token is minted in the call")]
    pub fn grant(&self, token: TestToken, requirement: impl Into<Require>) -> Grant {
        token.granted_by(&Guard::new(&token.audience, self.issuer()), requirement)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestIssuer({:?})", self.name)
    }
}

/// A token to be minted. A clone of it is the same token, with the same `jti`.
#[derive(Clone)]
#[must_use]
pub struct TestToken {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// In place of the claims.
    payload: Option<Vec<u8>>,
    key: Option<Arc<SigningKey>>,
    audience: Audience,
}

impl TestToken {
    /// Any claim, of any type.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Without this claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// `sub`.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// `client_id`.
    pub fn client(self, client: &str) -> Self {
        self.claim("client_id", client)
    }

    /// `scope`: scopes with spaces between.
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// Somebody acts, of the issuer's own namespace. Who acted until now becomes a prior actor.
    pub fn actor(self, subject: &str) -> Self {
        self.act(json!({ "sub": subject }))
    }

    /// Somebody of another namespace acts.
    pub fn actor_of(self, issuer: &str, subject: &str) -> Self {
        self.act(json!({ "iss": issuer, "sub": subject }))
    }

    fn act(mut self, mut actor: Value) -> Self {
        if let (Some(prior), Value::Object(actor)) = (self.claims.remove("act"), &mut actor) {
            actor.insert("act".to_owned(), prior);
        }
        self.claim("act", actor)
    }

    /// Bound to a proof key (RFC 9449 section 6.1): to be sent under the scheme `DPoP`, with a proof.
    pub fn bound_to(self, key: &TestProofKey) -> Self {
        self.confirmed("jkt", key.thumbprint())
    }

    /// Bound to a certificate (RFC 8705 section 3.1).
    pub fn bound_to_certificate(self, certificate: ClientCertificate) -> Self {
        self.confirmed("x5t#S256", certificate.thumbprint())
    }

    fn confirmed(mut self, member: &str, thumbprint: String) -> Self {
        let confirmation = self.claims.entry("cnf").or_insert_with(|| json!({}));
        if let Value::Object(confirmation) = confirmation {
            confirmation.insert(member.to_owned(), thumbprint.into());
        }
        self
    }

    /// `acr`.
    pub fn acr(self, class: &str) -> Self {
        self.claim("acr", class)
    }

    /// `auth_time`: the subject authenticated so long before the token was issued.
    pub fn authenticated(self, ago: Duration) -> Self {
        let at = self.issued_at().saturating_sub(seconds(ago));
        self.claim("auth_time", at)
    }

    /// Issued at this moment, in place of now, for the same time as before. Say this first: other times count
    /// from when the token is issued.
    pub fn at(self, moment: UtcDateTime) -> Self {
        let life = self.expires_at().saturating_sub(self.issued_at());
        let issued_at = moment.unix_timestamp();
        self.claim("iat", issued_at).claim("exp", issued_at.saturating_add(life))
    }

    /// Valid for so long from when it is issued.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        let expires_at = self.issued_at().saturating_add(seconds(lifetime));
        self.claim("exp", expires_at)
    }

    /// Issued two hours ago, and expired since an hour.
    pub fn expired(self) -> Self {
        let now = self.issued_at();
        self.claim("iat", now.saturating_sub(7200)).claim("exp", now.saturating_sub(3600))
    }

    /// Valid in an hour and not before.
    pub fn not_yet_valid(self) -> Self {
        let from = self.issued_at().saturating_add(3600);
        self.claim("nbf", from).claim("exp", from.saturating_add(300))
    }

    /// Any header parameter.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Without this header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// This payload in place of the claims: for what no map of claims can say.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Signed by somebody else under this issuer's key id.
    pub fn forged_by(mut self, other: &TestIssuer) -> Self {
        self.key = other.state().keys.last().map(|(_, key)| key.clone());
        self
    }

    /// The token.
    #[must_use]
    pub fn sign(&self) -> String {
        let header = Value::Object(self.header.clone()).to_string();
        let claims = || Value::Object(self.claims.clone()).to_string().into_bytes();
        let payload = self.payload.clone().unwrap_or_else(claims);
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.as_ref().map(|key| key.sign(&message)).unwrap_or_default();
        format!("{message}.{signature}")
    }

    /// The value of an `Authorization` field.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }

    /// The grant that this guard makes for the token.
    ///
    /// # Panics
    ///
    /// Where the guard refuses, and the message is the denial; or where its keys are not at hand.
    #[expect(clippy::panic, reason = "only in tests of users, where a panic is the answer")]
    pub fn granted_by(&self, guard: &Guard, requirement: impl Into<Require>) -> Grant {
        let mut head = http::Request::new(()).into_parts().0;
        if let Ok(value) = self.bearer().try_into() {
            head.headers.insert(AUTHORIZATION, value);
        }
        match guard.authorize(&mut head, requirement).now() {
            Some(Ok(grant)) => grant,
            Some(Err(denial)) => panic!("the guard refused the token: {denial}"),
            None => panic!("the keys are not at hand"),
        }
    }

    fn issued_at(&self) -> i64 {
        self.claims.get("iat").and_then(Value::as_i64).unwrap_or_default()
    }

    fn expires_at(&self) -> i64 {
        self.claims.get("exp").and_then(Value::as_i64).unwrap_or_default()
    }
}

impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestToken(..)")
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
