//! The public keys of transaction challenges.

use http::Uri;

use super::service::DocumentService;
use crate::approvals::Approvals;
use crate::challenge::MetadataUrl;
use crate::config_error::ConfigError;
use crate::guard::Guard;
use crate::names::Audience;

/// What [`MetadataUrl::for_resource`] expects of a URL.
pub(super) const NOT_A_RESOURCE: &str =
    "expected https, or http on loopback, without user, fragment, quotes, braces and spaces";

impl Guard {
    /// Returns the public keys of this guard's transaction challenges, to be served as the metadata says.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the audience that the guard was made with, or
    /// [`Approvals::jwks_uri`](crate::approvals::Approvals::jwks_uri), is not a URL that can have metadata; see
    /// [`MetadataUrl::for_resource`].
    ///
    /// # Panics
    ///
    /// Panics if the guard has no [`approvals`](Self::approvals).
    #[expect(clippy::panic, reason = "a mistake of set-up")]
    pub fn challenge_keys(&self) -> Result<ChallengeKeys, ConfigError> {
        let Some(approvals) = self.approvals_settings() else {
            panic!("the guard signs no challenges: call `Guard::approvals`")
        };
        let audience = self.audiences().first().map(Audience::as_str).unwrap_or_default();
        let (url, path) = keys_url(approvals, audience)?;
        Ok(ChallengeKeys { url, path, json: approvals.jwks() })
    }
}

/// The URL of the keys of challenges, and its path.
pub(super) fn keys_url(
    approvals: &Approvals,
    audience: &str,
) -> Result<(String, String), ConfigError> {
    let own = || {
        let base = audience.split('?').next().unwrap_or_default();
        format!("{}/txn-challenge-jwks", base.trim_end_matches('/'))
    };
    let url = approvals.jwks_uri.clone().unwrap_or_else(own);
    let invalid = || ConfigError::new(&url, "a URL of keys", NOT_A_RESOURCE);
    let name = Audience::new(&*url).map_err(|_| invalid())?;
    MetadataUrl::for_resource(&name).ok_or_else(invalid)?;
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let path = uri.path().to_owned();
    Ok((url, path))
}

/// The public keys of transaction challenges, as a JWK Set ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).
///
/// [`Guard::challenge_keys`] makes it, [`service`](Self::service) serves it, and with the feature `axum` `router`
/// returns the route for it. Serve it outside the guard, since authorization servers read it without a token. They may
/// cache it for 15 minutes.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::approvals::{Approvals, SigningKey};
/// use unconfused::keys::Algorithm;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
/// # let (key, secret) = (SigningKey::generate(Algorithm::Es256, "2026-11"), [1; 32]);
///
/// let guard = Guard::new(Audience::from_static("https://api.example/mcp"), issuer)
///     .approvals(Approvals::new(key, secret, "https://login.example"));
/// let keys = guard.challenge_keys()?;
/// assert_eq!(keys.url(), "https://api.example/mcp/txn-challenge-jwks");
/// assert!(guard.metadata()?.to_json().contains(r#""txn_challenge_jwks_uri":"https://api.example/mcp/txn-challenge-jwks""#));
/// # }
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChallengeKeys {
    url: String,
    path: String,
    json: String,
}

impl ChallengeKeys {
    /// Returns the URL of the keys, which the metadata names.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the path at which the keys must be served.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the JWK Set as JSON.
    #[must_use]
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// Returns a service that serves the keys, at any path.
    #[must_use]
    pub fn service(&self) -> DocumentService {
        DocumentService::new(&self.json, "application/jwk-set+json", "public, max-age=900")
    }
}
