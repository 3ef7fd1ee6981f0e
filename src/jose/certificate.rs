//! The name that a certificate gives to its key: a digest (RFC 7515 sections 4.1.7 and 4.1.8, RFC 7517 sections 4.8 and
//! 4.9).

use std::borrow::Cow;

use base64_simd::URL_SAFE_NO_PAD;

use super::compact::Header;
use crate::json::{Object, string};

/// The digests of a certificate in base64url, `x5t#S256` and `x5t`, as far as they are known.
///
/// They only choose among the keys of the issuer, so the weakness of SHA-1 does not matter.
#[derive(Debug, Clone, Default)]
pub(super) struct CertificateDigests {
    sha256: Option<String>,
    sha1: Option<String>,
}

/// How the header of a JWS names its key. Nothing in it is verified: it only chooses among the keys of the issuer.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyName<'a> {
    pub(super) kid: Option<&'a str>,
    /// Only read if there is no `kid`.
    pub(super) certificate: CertificateDigests,
}

impl CertificateDigests {
    pub(super) fn new(sha256: &[u8], sha1: &[u8]) -> Self {
        let text = |digest| Some(URL_SAFE_NO_PAD.encode_to_string(digest));
        CertificateDigests { sha256: text(sha256), sha1: text(sha1) }
    }

    /// Reads the two members of a header or a JWK. A member that is not a string is ignored, like one that is not known
    /// (RFC 7515 section 4, RFC 7517 section 4).
    pub(super) fn read(object: &Object<'_>) -> Self {
        let text = |name| object.get(name).and_then(string).map(Cow::into_owned);
        CertificateDigests { sha256: text("x5t#S256"), sha1: text("x5t") }
    }

    /// Returns true if both are digests of one certificate. If both have a SHA-256 digest, it decides.
    pub(super) fn names(&self, other: &Self) -> bool {
        match (&self.sha256, &other.sha256) {
            (Some(one), Some(other)) => one == other,
            _ => self.sha1.is_some() && self.sha1 == other.sha1,
        }
    }
}

impl Header {
    /// Returns how the header names its key.
    pub(crate) fn key_name(&self) -> KeyName<'_> {
        let kid = self.kid();
        let object = if kid.is_none() { Object::read(self.whole()) } else { None };
        let certificate = object.as_ref().map(CertificateDigests::read).unwrap_or_default();
        KeyName { kid, certificate }
    }
}
