//! Certificates that tokens are bound to (RFC 8705), and the fields in which proxies forward them.

use std::fmt;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
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
/// Behind a proxy, use [`from_client_cert`](Self::from_client_cert) or [`from_xfcc`](Self::from_xfcc).
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
    digest: [u8; 32],
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

    /// Reads the value of a `Client-Cert` field
    /// ([RFC 9440 section 2.2](https://www.rfc-editor.org/rfc/rfc9440#section-2.2)), such as `:MIIB..=:`.
    ///
    /// Returns `None` if the value is not a non-empty byte sequence in base64. The certificate in it is not parsed.
    ///
    /// Use this **only** for a field that your own proxy sets, and only if the proxy removes what clients send.
    #[must_use]
    pub fn from_client_cert(value: &str) -> Option<Self> {
        let inner = value.trim().strip_prefix(':')?.strip_suffix(':')?;
        let der = STANDARD.decode_to_vec(inner).ok().filter(|der| !der.is_empty())?;
        Some(ClientCertificate::from_der(der))
    }

    /// Reads the `Hash` from the value of an `x-forwarded-client-cert` field, which Envoy sets.
    ///
    /// Returns `None` if the value has more than one element, not exactly one hash, or an open quote. Names in a
    /// certificate are chosen by others and can look like further elements or hashes.
    ///
    /// Use this **only** for a field that your own proxy sets in its mode `SANITIZE_SET`, which writes one element.
    #[must_use]
    pub fn from_xfcc(value: &str) -> Option<Self> {
        if split_outside_quotes(value, ',')?.len() != 1 {
            return None;
        }
        let mut hashes = split_outside_quotes(value, ';')?.into_iter().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("hash").then(|| value.trim().trim_matches('"'))
        });
        let (Some(hash), None) = (hashes.next(), hashes.next()) else { return None };
        let mut digest = [0; 32];
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (place, byte) in digest.iter_mut().enumerate() {
            let start = place.checked_mul(2)?;
            *byte = u8::from_str_radix(hash.get(start..start.checked_add(2)?)?, 16).ok()?;
        }
        Some(ClientCertificate { digest })
    }
}

/// Splits at separators that are not inside quotes, where a backslash escapes the next character. Returns `None` if a
/// quote is not closed: what the proxy wrote after it would count as quoted.
fn split_outside_quotes(text: &str, separator: char) -> Option<Vec<&str>> {
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
    fn forwarded_certificates_are_read_and_malformed_ones_are_refused() {
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
