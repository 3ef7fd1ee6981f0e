//! DPoP proofs, valid and invalid ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64_simd::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use super::json_object::json_object;
use crate::jose::{Algorithm, KeySet, SigningKey, encode, sha256};

/// A key for DPoP proofs. Clones are the same key.
///
/// ```
/// use unconfused::testing::{TestIssuer, TestProofKey};
/// use unconfused::proof::Dpop;
/// use unconfused::replay::MemoryReplayStore;
/// use unconfused::{Audience, Guard, Reason, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// let login = TestIssuer::new("https://login.example");
/// // A store refuses proofs from before its start, so this one starts long ago.
/// let store = MemoryReplayStore::new_at(time::UtcDateTime::UNIX_EPOCH);
/// let guard = Guard::new(ORDERS, login.issuer()).dpop(Dpop::for_base_url("https://orders.example")?, store);
///
/// let key = TestProofKey::new();
/// let token = login.token(&ORDERS).scope("orders:read").bound_to(&key).sign();
/// let proof = key.proof("GET", "https://orders.example/orders").token(&token);
/// let request = |field: &str| {
///     let request = http::Request::get("/orders").header("authorization", format!("DPoP {token}"));
///     request.header("dpop", field).body(()).unwrap().into_parts().0
/// };
/// assert!(guard.authorize(&mut request(&proof.sign()), READ).now().unwrap().is_ok());
/// let denial = guard.authorize(&mut request(&proof.sign()), READ).now().unwrap().unwrap_err();
/// assert_eq!(denial.reason(), Reason::DpopProofReplayed);
///
/// let stolen = TestProofKey::new().proof("GET", "https://orders.example/orders").token(&token);
/// let denial = guard.authorize(&mut request(&stolen.sign()), READ).now().unwrap().unwrap_err();
/// assert_eq!(denial.reason(), Reason::DpopKeyMismatch);
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct TestProofKey {
    algorithm: Algorithm,
    key: Arc<SigningKey>,
}

impl TestProofKey {
    /// Generates a key for ES256.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "every call generates another key")]
    pub fn new() -> Self {
        TestProofKey::with_algorithm(Algorithm::Es256)
    }

    /// Generates a key for this algorithm.
    #[must_use]
    pub fn with_algorithm(algorithm: Algorithm) -> Self {
        TestProofKey { algorithm, key: Arc::new(SigningKey::generate(algorithm, "proof")) }
    }

    /// Returns the thumbprint of the public key (RFC 7638), which a bound token has as `jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let set = format!("{{\"keys\":[{}]}}", self.key.public_jwk());
        KeySet::from_json(&set).ok().and_then(|keys| keys.thumbprints().next()).unwrap_or_default()
    }

    /// Creates a proof for a request with this method and URL, made now.
    ///
    /// Its `jti` is unique within the process. It is not for a token yet: see [`TestProof::token`].
    pub fn proof(&self, method: &str, url: &str) -> TestProof {
        static JTI: AtomicU64 = AtomicU64::new(1);
        let claims = json!({
            "jti": format!("proof-{}", JTI.fetch_add(1, Ordering::Relaxed)),
            "htm": method,
            "htu": url,
            "iat": UtcDateTime::now().unix_timestamp(),
        });
        let mut jwk: Value = serde_json::from_str(&self.key.public_jwk()).unwrap_or_default();
        if let Value::Object(jwk) = &mut jwk {
            for name in ["kid", "use", "alg"] {
                jwk.remove(name);
            }
        }
        let header = json!({ "typ": "dpop+jwt", "alg": self.algorithm.as_str(), "jwk": jwk });
        TestProof {
            header: json_object(header),
            claims: json_object(claims),
            key: self.key.clone(),
        }
    }
}

impl fmt::Debug for TestProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestProofKey(..)")
    }
}

/// A DPoP proof to be signed, from [`TestProofKey::proof`].
///
/// The methods change one thing each. A clone is the same proof, with the same `jti`.
///
/// ```
/// use unconfused::testing::TestProofKey;
///
/// let proof = TestProofKey::new().proof("GET", "https://orders.example/orders");
/// let for_another_token = proof.clone().token("another token").sign();
/// let without_id = proof.token("token").without_claim("jti").sign();
/// # let _ = (for_another_token, without_id);
/// ```
#[derive(Clone)]
#[must_use]
pub struct TestProof {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    key: Arc<SigningKey>,
}

impl TestProof {
    /// Sets the access token that the proof is for, by its hash `ath`.
    pub fn token(self, token: &str) -> Self {
        self.claim("ath", URL_SAFE_NO_PAD.encode_to_string(sha256([token])))
    }

    /// Sets when the proof is made, `iat`.
    pub fn issued_at(self, moment: UtcDateTime) -> Self {
        self.claim("iat", moment.unix_timestamp())
    }

    /// Sets the nonce that the resource provided.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", nonce)
    }

    /// Sets any claim to a value of any type. A value that cannot be serialized becomes `null`.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Removes this claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets any header parameter to a value of any type. A value that cannot be serialized becomes `null`.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Removes this header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with another key, while the header still contains this one.
    pub fn forged_by(mut self, other: &TestProofKey) -> Self {
        self.key = other.key.clone();
        self
    }

    /// Signs the proof and returns the value of a `DPoP` field.
    #[must_use]
    pub fn sign(&self) -> String {
        let part = |object: &Map<String, Value>| encode(Value::Object(object.clone()).to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = self.key.sign(&message).unwrap_or_default();
        format!("{message}.{signature}")
    }
}

impl fmt::Debug for TestProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestProof(..)")
    }
}
