//! An issuer with keys of its own.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use time::UtcDateTime;

use super::access_token::TestToken;
use super::json_object::json_object;
use crate::answer::Answer;
use crate::guard::{Grant, Guard};
use crate::jose::{Algorithm, KeySet, SigningKey};
use crate::keys::Issuer;
use crate::names::Audience;
use crate::profile::Profile;
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
    profile: Arc<Profile>,
    keys: Arc<Mutex<IssuerKeys>>,
}

#[derive(Default)]
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
    fn generate(&mut self, algorithm: Algorithm) {
        let kid = loop {
            self.created = self.created.saturating_add(1);
            let kid = format!("test-{}", self.created);
            if self.published.iter().all(|named| named.kid != kid) {
                break kid;
            }
        };
        let key = SigningKey::generate(algorithm, &kid);
        self.add(kid, key);
    }

    fn add(&mut self, kid: String, key: SigningKey) {
        self.published.push(NamedKey { kid, key: Arc::new(key) });
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
        let mut keys = IssuerKeys::default();
        keys.generate(algorithm);
        TestIssuer::with_keys(name.into(), algorithm, keys)
    }

    /// Creates an issuer that signs with this private JWK, so that another process can verify its tokens or sign more.
    ///
    /// The algorithm is the `alg` of the key, or by its type ES256, ES384, ES512, Ed25519 or RS256. The key id is its
    /// `kid`, or else its thumbprint. [`signing_jwk`](Self::signing_jwk) returns such a key. **For tests only**: a key
    /// that stands in a repository is known to everyone who can read it.
    ///
    /// ```
    /// use unconfused::testing::TestIssuer;
    /// use unconfused::{Audience, Guard, Scope};
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// // One process makes the key, and writes it to a file.
    /// let first = TestIssuer::new("https://login.example");
    /// let token = first.token(&ORDERS).scope("orders:read");
    /// let file = first.signing_jwk();
    ///
    /// // Another one reads it.
    /// let second = TestIssuer::from_jwk("https://login.example", &file);
    /// token.granted_by(&Guard::new(ORDERS, second.issuer()), READ);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the text is not a private JWK of a type that is supported, or if a guard would not accept its public
    /// key.
    #[must_use]
    #[expect(clippy::panic, reason = "called in tests of users, where a panic is the answer")]
    pub fn from_jwk(name: impl Into<String>, jwk: &str) -> Self {
        let key = match SigningKey::read_for_tests(jwk) {
            Ok(key) => key,
            // The text may be a secret, so it is not shown.
            Err(problem) => panic!("a test issuer cannot sign with this JWK: {problem}"),
        };
        let algorithm = key.algorithm();
        let mut keys = IssuerKeys::default();
        keys.add(key.kid().to_owned(), key);
        TestIssuer::with_keys(name.into(), algorithm, keys)
    }

    fn with_keys(name: String, algorithm: Algorithm, keys: IssuerKeys) -> Self {
        TestIssuer { name, algorithm, profile: Arc::default(), keys: Arc::new(Mutex::new(keys)) }
    }

    /// Makes the tokens those of an issuer with this profile, and sets the profile of [`issuer`](Self::issuer).
    ///
    /// Subject, client, token id, scopes and tenant are then in the claims that the profile names, `typ` is one that it
    /// accepts, and what it [requires](Profile::requires_one_of) is there. The methods of [`TestToken`] write to those claims.
    /// A tenant that must be [in the issuer's name](Profile::tenant_in_issuer) is taken from it. Nothing else that a
    /// vendor writes is in the token: add it with [`TestToken::claim`]. A token always names its audience.
    ///
    /// Defaults to [`Profile::rfc9068`].
    ///
    /// ```
    /// use unconfused::profile::Profile;
    /// use unconfused::testing::TestIssuer;
    /// use unconfused::{Audience, Guard, Issuer, Reason, Scope};
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// // A token of Okta: its `typ` is missing, its client is in `cid`, its scopes are an array `scp`.
    /// let okta = TestIssuer::new("https://acme.okta.com/oauth2/aus1").profile(Profile::okta());
    /// let token = okta.token(&ORDERS).client("web-app").scope("orders:read");
    /// let grant = token.granted_by(&Guard::new(ORDERS, okta.issuer()), READ);
    /// assert_eq!(grant.client_id(), Some("web-app"));
    ///
    /// // A guard that does not know that it is Okta refuses it.
    /// let guard = Guard::new(ORDERS, Issuer::new("https://acme.okta.com/oauth2/aus1", okta.keys()));
    /// let request = http::Request::get("/").header("authorization", token.bearer());
    /// let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
    /// assert_eq!(denial.reason(), Reason::TokenTypeMismatch);
    /// ```
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Arc::new(profile);
        self
    }

    /// Returns the [`Issuer`] for a guard. It accepts the default algorithms and the one of this issuer, and has the
    /// [profile](Self::profile) of this issuer.
    ///
    /// [`rotate`](Self::rotate) and [`withdraw_old_keys`](Self::withdraw_old_keys) take effect at once.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        let this = self.clone();
        Issuer::new(&self.name, move |_: KeyHint<'_>| Answer::Now(Ok(this.keys())))
            .algorithms(Algorithm::DEFAULT.into_iter().chain([self.algorithm]))
            .profile((*self.profile).clone())
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
        self.lock_keys().generate(self.algorithm);
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
        const CLIENT: &str = "test-client";
        let profile = &self.profile;
        let mut claims = json_object(json!({
            "iss": self.name,
            "aud": audience.as_str(),
            "iat": now,
            "exp": now.saturating_add(300),
        }));
        let id = format!("token-{}", JTI.fetch_add(1, Ordering::Relaxed));
        claims.insert(profile.subject.to_string(), "alice".into());
        claims.insert(profile.client_claim().to_owned(), CLIENT.into());
        claims.insert(profile.token_id.to_string(), id.into());
        // The tenant in the name of an issuer is the first segment of its path.
        if let (true, Some(claim)) = (profile.tenant_in_issuer, &profile.tenant) {
            claims.insert(claim.to_string(), self.name.split('/').nth(3).into());
        }
        profile.write_required(&mut claims, CLIENT);
        let (kid, key) = self.signing_key().map(|named| (named.kid, named.key)).unzip();
        let header = json!({ "alg": self.algorithm.as_str(), "kid": kid });
        let mut header = json_object(header);
        if let Some(typ) = profile.written_type() {
            header.insert("typ".to_owned(), typ.into());
        }
        let (audience, profile) = (audience.clone(), profile.clone());
        TestToken { header, claims, payload: None, key, audience, profile }
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

    /// Returns the private key that signs now, as a JWK, for [`from_jwk`](Self::from_jwk).
    #[must_use]
    pub fn signing_jwk(&self) -> String {
        self.signing_key().map(|named| named.key.private_jwk().to_owned()).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
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
