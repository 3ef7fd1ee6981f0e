//! The fields in which proxies forward the client's certificate.

use base64_simd::STANDARD;
use http::request::Parts;

use super::mtls::ClientCertificate;
use crate::jose::{certificate_in_pem, sha256};

/// The longest value of a field, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// The largest certificate, in bytes.
const MAX_DER: usize = 16 * 1024;

/// # In the fields of a proxy
///
/// Use these **only** for a field that your own proxy sets, and only if the proxy removes what clients send in it. Each
/// parser reads one certificate: a value with a chain, or with more than 64 KiB, is not read. The certificate has at
/// most 16 KiB, and is hashed and not parsed.
impl ClientCertificate {
    /// Reads the certificate in the field of this name, with the parser of what your proxy writes.
    ///
    /// Returns `None` if the request has no such field, or an empty one: the client presented no certificate
    /// (`client_certificate_missing`). If the field is there more than once, or the parser does not read its value, the
    /// result is a certificate that no token is bound to, so that a bound token is refused
    /// (`client_certificate_mismatch`).
    ///
    /// ```
    /// use unconfused::proof::ClientCertificate;
    ///
    /// let certificate = |request: http::request::Builder| {
    ///     let (parts, ()) = request.body(()).unwrap().into_parts();
    ///     ClientCertificate::from_field(&parts, "x-ssl-client-der", ClientCertificate::from_base64_der)
    /// };
    /// let request = http::Request::get("/");
    /// assert_eq!(certificate(request), None);
    ///
    /// let ours = ClientCertificate::from_der(b"der");
    /// let request = http::Request::get("/").header("x-ssl-client-der", "ZGVy");
    /// assert_eq!(certificate(request), Some(ours));
    ///
    /// let request = http::Request::get("/").header("x-ssl-client-der", "ZGVy").header("x-ssl-client-der", "ZGVy");
    /// assert!(certificate(request).is_some_and(|certificate| certificate != ours));
    /// ```
    #[must_use]
    pub fn from_field(
        parts: &Parts,
        name: &str,
        parse: impl FnOnce(&str) -> Option<Self>,
    ) -> Option<Self> {
        let mut values = parts.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return Some(unreadable(value.as_bytes()));
        }
        if value.as_bytes().trim_ascii().is_empty() {
            return None;
        }
        let read = value.to_str().ok().and_then(parse);
        Some(read.unwrap_or_else(|| unreadable(value.as_bytes())))
    }

    /// Reads the value of a `Client-Cert` field
    /// ([RFC 9440 section 2.2](https://www.rfc-editor.org/rfc/rfc9440#section-2.2)), such as `:MIIB..=:`.
    ///
    /// Returns `None` if the value is not one non-empty byte sequence in base64.
    #[must_use]
    pub fn from_client_cert(value: &str) -> Option<Self> {
        from_base64(limited(value)?.strip_prefix(':')?.strip_suffix(':')?)
    }

    /// Reads the `Hash` from the value of an `x-forwarded-client-cert` field, which Envoy sets.
    ///
    /// Returns `None` if the value has more than one element, not exactly one hash, or an open quote. Names in a
    /// certificate are chosen by others and can look like further elements or hashes.
    ///
    /// The proxy must set the field in its mode `SANITIZE_SET`, which writes one element.
    #[must_use]
    pub fn from_xfcc(value: &str) -> Option<Self> {
        let value = limited(value)?;
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
    /// Reads a certificate in PEM with percent-encoding, such as `-----BEGIN%20CERTIFICATE-----%0AMIIB..`.
    ///
    /// This is what nginx has in `$ssl_client_escaped_cert`, and what the load balancer of AWS sends in
    /// `X-Amzn-Mtls-Clientcert-Leaf`. The two lines with dashes may both be missing, as in Traefik's
    /// `X-Forwarded-Tls-Client-Cert`.
    ///
    /// A `+` stands for itself. Returns `None` if there is not exactly one block `CERTIFICATE` and nothing else, if the
    /// value has white space that is not encoded, or if it is encoded twice.
    ///
    /// ```
    /// use unconfused::proof::ClientCertificate;
    ///
    /// let value = "-----BEGIN%20CERTIFICATE-----%0AZGVy%0A-----END%20CERTIFICATE-----%0A";
    /// let certificate = ClientCertificate::from_escaped_pem(value);
    /// assert_eq!(certificate, Some(ClientCertificate::from_der(b"der")));
    ///
    /// // A client that presents a chain behind Traefik. Forward the first certificate alone.
    /// assert_eq!(ClientCertificate::from_escaped_pem("ZGVy,ZGVy"), None);
    /// ```
    #[must_use]
    pub fn from_escaped_pem(value: &str) -> Option<Self> {
        let text = unescaped(limited(value)?)?;
        match text.contains("-----") {
            true => certificate_in_pem(&text).and_then(from_limited_der),
            false => from_base64(&text),
        }
    }

    /// Reads a certificate in DER that is written in base64, such as `MIIB..`, with padding.
    ///
    /// This is what `%[ssl_c_der,base64]` of HAProxy writes, and what Azure App Service sends in `X-ARR-ClientCert`.
    ///
    /// Returns `None` if the value is anything else: base64url, a list, or with white space inside.
    #[must_use]
    pub fn from_base64_der(value: &str) -> Option<Self> {
        from_base64(limited(value)?)
    }
}

fn limited(value: &str) -> Option<&str> {
    Some(value.trim_ascii()).filter(|value| value.len() <= MAX_VALUE)
}

fn from_base64(text: &str) -> Option<ClientCertificate> {
    STANDARD.decode_to_vec(text).ok().and_then(from_limited_der)
}

fn from_limited_der(der: Vec<u8>) -> Option<ClientCertificate> {
    (1..=MAX_DER).contains(&der.len()).then(|| ClientCertificate::from_der(der))
}

/// Decodes percent-encoding (RFC 3986 section 2.1). Returns `None` for an incomplete code, and for white space that is
/// not encoded.
fn unescaped(value: &str) -> Option<String> {
    if value.contains(|c: char| c.is_ascii_whitespace()) {
        return None;
    }
    let mut text = String::with_capacity(value.len());
    let mut parts = value.split('%');
    text.push_str(parts.next()?);
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        text.push(char::from(u8::from_str_radix(code, 16).ok()?));
        text.push_str(rest);
    }
    Some(text)
}

/// Makes a certificate that no token is bound to: its digest is that of a text, and a certificate begins with another
/// byte.
fn unreadable(value: &[u8]) -> ClientCertificate {
    ClientCertificate { digest: sha256([b"unreadable certificate: ".as_slice(), value]) }
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_does_not_matter_which_characters_are_escaped(
            der in vec(any::<u8>(), 1..200),
            with_dashes in any::<bool>(),
            mask in vec(any::<bool>(), 1..50),
            lower in any::<bool>(),
        ) {
            let body = STANDARD.encode_to_string(&der);
            let text = match with_dashes {
                true => format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"),
                false => body,
            };
            let escaped: String = text
                .chars()
                .zip(mask.iter().cycle())
                .map(|(c, escape)| match (*escape || c.is_whitespace(), lower) {
                    (false, _) => c.to_string(),
                    (true, true) => format!("%{:02x}", u32::from(c)),
                    (true, false) => format!("%{:02X}", u32::from(c)),
                })
                .collect();
            let certificate = Some(ClientCertificate::from_der(&der));
            prop_assert_eq!(ClientCertificate::from_escaped_pem(&escaped), certificate);
            // Cut off or doubled, it is not read as this certificate.
            let cut = escaped.len() / 2;
            prop_assert_ne!(ClientCertificate::from_escaped_pem(&escaped[..cut]), certificate);
            prop_assert_ne!(ClientCertificate::from_escaped_pem(&escaped.repeat(2)), certificate);
        }
    }

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
