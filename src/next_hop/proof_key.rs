//! The key of this service, with which it proves possession of the tokens that it gets.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use crate::approvals::SigningKey;
use crate::config_error::ConfigError;
use crate::jose::{encode, random_bytes, sha256};

/// A key for DPoP proofs (RFC 9449). Clones are the same key.
#[derive(Clone)]
pub(super) struct ProofKey(Arc<Inner>);

struct Inner {
    key: SigningKey,
    /// The public half, with the members that make the key and no others.
    jwk: Value,
    thumbprint: String,
}

impl ProofKey {
    pub(super) fn new(key: SigningKey) -> Result<Self, ConfigError> {
        let unusable = || ConfigError::new("(a private key)", "a key for proofs", "it has no JWK");
        let thumbprint = key.thumbprint().ok_or_else(unusable)?;
        let mut jwk: Map<String, Value> =
            serde_json::from_str(&key.public_jwk()).map_err(|_| unusable())?;
        for name in ["kid", "use", "alg"] {
            jwk.remove(name);
        }
        Ok(ProofKey(Arc::new(Inner { key, jwk: Value::Object(jwk), thumbprint })))
    }

    /// The thumbprint of the public half (RFC 7638), which bound tokens have as `jkt`.
    pub(super) fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// Makes the proof for one request. Returns `None` if the library fails.
    pub(super) fn proof(
        &self,
        method: &str,
        uri: &Uri,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Option<String> {
        let Inner { key, jwk, .. } = &*self.0;
        let mut header = Map::new();
        header.insert("typ".to_owned(), "dpop+jwt".into());
        header.insert("jwk".to_owned(), jwk.clone());
        let mut claims = json!({
            "jti": encode(random_bytes::<16>()?),
            "htm": method,
            "htu": format!("{}://{}{}", uri.scheme_str()?, uri.authority()?, uri.path()),
            "iat": UtcDateTime::now().unix_timestamp(),
        });
        let members = claims.as_object_mut()?;
        if let Some(token) = token {
            members.insert("ath".to_owned(), encode(sha256([token])).into());
        }
        if let Some(nonce) = nonce {
            members.insert("nonce".to_owned(), nonce.into());
        }
        key.sign_jwt(header, &claims)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(..)")
    }
}
