//! Certificates that tokens are bound to (RFC 8705), and how proxies hand them on.

use std::fmt;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http::request::Parts;

use crate::jose::{constant_time_eq, sha256};

/// The certificate that the client showed in the TLS handshake, as far as a token can be bound to it: its digest.
///
/// Whoever ends TLS puts it into the extensions of each request of the connection. That the client holds its key
/// is what the handshake showed; who it is, and whether the certificate is valid, does **not** matter here
/// ([RFC 8705 section 3](https://www.rfc-editor.org/rfc/rfc8705#section-3)).
///
/// ```
/// use unconfused::proof::ClientCertificate;
///
/// # let der = b"the certificate as rustls hands it out";
/// let certificate = ClientCertificate::from_der(der);
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(certificate);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificate {
    digest: [u8; 32],
}

impl ClientCertificate {
    /// The one in the extensions of the request.
    #[must_use]
    pub fn from_connection(parts: &Parts) -> Option<Self> {
        parts.extensions.get().copied()
    }

    /// From the end-entity certificate, in DER.
    pub fn from_der(der: impl AsRef<[u8]>) -> Self {
        ClientCertificate { digest: sha256([der]) }
    }

    /// `x5t#S256`: the SHA-256 of the certificate, in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode_to_string(self.digest)
    }

    /// Step 51.
    pub(crate) fn is(&self, thumbprint: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode_to_vec(thumbprint)
            .is_ok_and(|digest| constant_time_eq(&digest, &self.digest))
    }

    /// From the value of a `Client-Cert` field
    /// ([RFC 9440 section 2.2](https://www.rfc-editor.org/rfc/rfc9440#section-2.2)): `:MIIB..=:`. **Only** from a
    /// proxy that you know to set it and to take off what clients send.
    #[must_use]
    pub fn from_client_cert(value: &str) -> Option<Self> {
        let inner = value.trim().strip_prefix(':')?.strip_suffix(':')?;
        let der = STANDARD.decode_to_vec(inner).ok().filter(|der| !der.is_empty())?;
        Some(ClientCertificate::from_der(der))
    }

    /// From the value of an Envoy `x-forwarded-client-cert` field: the `Hash` of its one element. **Only** from a proxy
    /// that you know, in its mode `SANITIZE_SET`, which writes one. Names in a certificate may look like more
    /// elements, or like more hashes: with more than one of either there is no certificate.
    #[must_use]
    pub fn from_xfcc(value: &str) -> Option<Self> {
        if split(value, ',')?.len() != 1 {
            return None;
        }
        let mut hashes = split(value, ';')?.into_iter().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("hash").then(|| value.trim().trim_matches('"'))
        });
        let (Some(hash), None) = (hashes.next(), hashes.next()) else { return None };
        let mut digest = [0; 32];
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (place, byte) in digest.iter_mut().enumerate() {
            let at = place.checked_mul(2)?;
            *byte = u8::from_str_radix(hash.get(at..at.checked_add(2)?)?, 16).ok()?;
        }
        Some(ClientCertificate { digest })
    }
}

/// Splits at a separator that is not within quotes; a backslash quotes the next character there. `None` where a quote
/// is not closed: what a proxy put after it would be within.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            _ => {}
        }
        !quoted && c == separator
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.thumbprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_certificates_are_read_and_odd_ones_are_not() {
        let certificate = ClientCertificate::from_der(b"der");
        let field = format!(":{}:", STANDARD.encode_to_string(b"der"));
        assert_eq!(ClientCertificate::from_client_cert(&field), Some(certificate));
        for bad in ["", ":", "::", "ZGVy", ":ZGVy", ":ZG Vy:", ":ZGVy:, :ZGVy:", ":!:"] {
            assert_eq!(ClientCertificate::from_client_cert(bad), None, "{bad}");
        }
        let hex: String = certificate.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let other = "0".repeat(64);
        for good in [
            format!("Hash={hex}"),
            format!("By=spiffe://a;Hash={hex};Subject=\"CN=a,O=b;Hash={other}\";URI=x"),
            format!("hash={hex};Subject=\"a\\\",b\";By=x"),
        ] {
            assert_eq!(ClientCertificate::from_xfcc(&good), Some(certificate), "{good}");
        }
        for bad in [
            String::new(),
            "By=a".to_owned(),
            format!("Hash={}", &hex[1..]),
            format!("Hash={hex};Hash={other}"),
            format!("Hash={hex},By=x"),
            format!("By=x;Hash={other};URI=spiffe://x,Hash={hex}"),
            format!("By=x;Hash={other};URI=spiffe://x;Hash={hex}"),
            format!("Subject=\"Hash={hex}"),
            format!("Hash={hex};Subject=\"a,By=proxy;Hash={other}"),
            format!("Hash=+{}", &hex[1..]),
        ] {
            assert_eq!(ClientCertificate::from_xfcc(&bad), None, "{bad}");
        }
    }
}
