//! Certificates that tokens are bound to (RFC 8705).

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use http::request::Parts;

use crate::jose::{constant_time_eq, sha256};

/// The client's TLS certificate, as far as a token can be bound to it: its SHA-256 digest.
///
/// The code that terminates TLS inserts it into the extensions of each request on the connection. The handshake has
/// shown that the client holds the certificate's key. Nothing else about the certificate is checked here: **not** who
/// issued it, whom it names, or whether it has expired. A token is bound to the certificate itself
/// ([RFC 8705 section 3](https://www.rfc-editor.org/rfc/rfc8705#section-3)).
///
/// Pass [`from_connection`](Self::from_connection) to [`Guard::client_certificate`] if this process terminates TLS.
/// Behind a proxy, use [`from_field`](Self::from_field) with the parser of what your proxy writes:
///
/// | the proxy writes | parser |
/// |---|---|
/// | `Client-Cert` of RFC 9440 | [`from_client_cert`](Self::from_client_cert) |
/// | Envoy's `x-forwarded-client-cert` | [`from_xfcc`](Self::from_xfcc) |
/// | escaped PEM: nginx, Traefik, the load balancer of AWS | [`from_escaped_pem`](Self::from_escaped_pem) |
/// | bare base64: HAProxy, Azure App Service | [`from_base64_der`](Self::from_base64_der) |
///
/// ```
/// use unconfused::proof::ClientCertificate;
///
/// # let der = b"the certificate as rustls returns it";
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(ClientCertificate::from_der(der));
///
/// let (head, ()) = request.into_parts();
/// assert_eq!(ClientCertificate::from_connection(&head), Some(ClientCertificate::from_der(der)));
/// assert_eq!(ClientCertificate::from_client_cert("not a certificate"), None);
/// ```
///
/// [`Guard::client_certificate`]: crate::Guard::client_certificate
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificate {
    pub(super) digest: [u8; 32],
}

impl ClientCertificate {
    /// Returns the certificate in the extensions of the request, if there is one.
    #[must_use]
    pub fn from_connection(parts: &Parts) -> Option<Self> {
        parts.extensions.get().copied()
    }

    /// Creates the value from the client's end-entity certificate in DER. The bytes are hashed and not parsed.
    pub fn from_der(der: impl AsRef<[u8]>) -> Self {
        ClientCertificate { digest: sha256([der]) }
    }

    /// Returns the SHA-256 digest of the certificate in base64url, as `x5t#S256` has it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode_to_string(self.digest)
    }

    /// True if a token with this `x5t#S256` is bound to this certificate.
    pub(crate) fn has_thumbprint(&self, thumbprint: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode_to_vec(thumbprint)
            .is_ok_and(|digest| constant_time_eq(&digest, &self.digest))
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.thumbprint())
    }
}
