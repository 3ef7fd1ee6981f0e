//! An issuer with keys of its own.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use time::UtcDateTime;

use super::access_token::TestToken;
use super::client::ScriptedClient;
use super::json_object::json_object;
use crate::answer::Answer;
use crate::guard::{Grant, Guard};
use crate::jose::{Algorithm, KeySet, SigningKey};
use crate::keys::Issuer;
use crate::names::Audience;
use crate::require::Require;
use crate::token::KeyHint;

/// An issuer for tests, with signing keys of its own. Clones share the keys.
///
/// ```
/// use unconfused::testing::TestIssuer;
/// use unconfused::{Audience, Guard, Reason, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// let login = TestIssuer::new("https://login.example");
/// let guard = Guard::new(ORDERS, login.issuer());
/// let authorize = |token: &str| {
///     let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
///     guard.authorize(&mut request.body(()).unwrap().into_parts().0, READ).now().unwrap()
/// };
///
/// let token = login.token(&ORDERS).scope("orders:read").sign();
/// login.rotate(); // The old key stays published.
/// assert!(authorize(&token).is_ok());
/// login.withdraw_old_keys();
/// assert_eq!(authorize(&token).unwrap_err().reason(), Reason::KeyNotFound);
/// ```
#[derive(Clone)]
pub struct TestIssuer {
    name: String,
    algorithm: Algorithm,
    keys: Arc<Mutex<IssuerKeys>>,
}

struct IssuerKeys {
    /// The last one signs.
    published: Vec<NamedKey>,
    created: u64,
    public: KeySet,
}

#[derive(Clone)]
struct NamedKey {
    kid: String,
    key: Arc<SigningKey>,
}

impl IssuerKeys {
    fn add(&mut self, algorithm: Algorithm) {
        self.created = self.created.saturating_add(1);
        let kid = format!("test-{}", self.created);
        let key = Arc::new(SigningKey::generate(algorithm, &kid));
        self.published.push(NamedKey { kid, key });
        self.update_public();
    }

    #[expect(clippy::expect_used, reason = "the keys were made here")]
    fn update_public(&mut self) {
        self.public = KeySet::from_json(&self.jwks()).expect("generated keys form a JWK Set");
    }

    fn jwks(&self) -> String {
        let keys: Vec<_> = self.published.iter().map(|named| named.key.public_jwk()).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }
}

impl TestIssuer {
    /// Creates an issuer that signs with ES256, whose keys are fast to generate.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        TestIssuer::with_algorithm(name, Algorithm::Es256)
    }

    /// Creates an issuer that signs with this algorithm. RSA keys take a noticeable time to generate.
    #[must_use]
    pub fn with_algorithm(name: impl Into<String>, algorithm: Algorithm) -> Self {
        let mut keys = IssuerKeys { published: Vec::new(), created: 0, public: KeySet::default() };
        keys.add(algorithm);
        TestIssuer { name: name.into(), algorithm, keys: Arc::new(Mutex::new(keys)) }
    }

    /// Returns the [`Issuer`] for a guard. It accepts the default algorithms and the one of this issuer.
    ///
    /// [`rotate`](Self::rotate) and [`withdraw_old_keys`](Self::withdraw_old_keys) take effect at once.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        let this = self.clone();
        Issuer::new(&self.name, move |_: KeyHint<'_>| Answer::Now(Ok(this.keys())))
            .algorithms(Algorithm::DEFAULT.into_iter().chain([self.algorithm]))
    }

    /// Returns a client that serves this issuer's metadata (RFC 8414) and its public keys.
    ///
    /// The keys are below the issuer's URL at `/jwks`, and are those at the time of each request.
    #[must_use]
    pub fn client(&self) -> ScriptedClient {
        let client = ScriptedClient::new();
        let base = self.name.trim_end_matches('/');
        let (origin, path) = match base.match_indices('/').nth(2) {
            Some((end_of_origin, _)) => base.split_at(end_of_origin),
            None => (base, ""),
        };
        let jwks_uri = format!("{base}/jwks");
        let metadata = json!({ "issuer": self.name, "jwks_uri": jwks_uri }).to_string();
        client.serve(&format!("{origin}/.well-known/oauth-authorization-server{path}"), metadata);
        let this = self.clone();
        client.serve_with(&jwks_uri, move || {
            Answer::Now(Ok(http::Response::new(this.jwks().into_bytes())))
        });
        client
    }

    /// Returns the public keys as they are now.
    #[must_use]
    pub fn keys(&self) -> KeySet {
        self.lock_keys().public.clone()
    }

    /// Returns the public keys as they are now, as the text of a JWK Set.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.lock_keys().jwks()
    }

    /// Signs with a new key from now on. The old keys stay published.
    pub fn rotate(&self) {
        self.lock_keys().add(self.algorithm);
    }

    /// Withdraws every key except the one that signs now.
    pub fn withdraw_old_keys(&self) {
        let mut keys = self.lock_keys();
        let current = keys.published.pop();
        keys.published = current.into_iter().collect();
        keys.update_public();
    }

    /// Creates a valid token for this audience, issued now.
    ///
    /// Unless changed, its subject is `alice`, its client is `test-client`, it has no scope, it is valid for 5 minutes,
    /// and its `jti` is unique within the process.
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
        let (kid, key) = self.signing_key().map(|named| (named.kid, named.key)).unzip();
        let header = json!({ "typ": "at+jwt", "alg": self.algorithm.as_str(), "kid": kid });
        TestToken {
            header: json_object(header),
            claims: json_object(claims),
            payload: None,
            key,
            audience: audience.clone(),
        }
    }

    /// Returns the grant for this token from a guard that has the token's audience, this issuer and no other settings.
    ///
    /// This is for the unit test of a handler. For a guard of your own, use [`TestToken::granted_by`].
    ///
    /// # Panics
    ///
    /// Panics if the guard refuses the token. The message contains the denial.
    #[expect(clippy::needless_pass_by_value, reason = "a token is minted in the call")]
    pub fn grant(&self, token: TestToken, requirement: impl Into<Require>) -> Grant {
        token.granted_by(&Guard::new(&token.audience, self.issuer()), requirement)
    }

    fn signing_key(&self) -> Option<NamedKey> {
        self.lock_keys().published.last().cloned()
    }

    fn lock_keys(&self) -> MutexGuard<'_, IssuerKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Not beside the other methods, because they do not need an issuer.
impl TestToken {
    /// Signs with the current key of another issuer, while the header still names the key of this one.
    pub fn forged_by(mut self, other: &TestIssuer) -> Self {
        self.key = other.signing_key().map(|named| named.key);
        self
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestIssuer({:?})", self.name)
    }
}
