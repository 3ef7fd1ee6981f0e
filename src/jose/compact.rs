//! The compact serialization of a JWS, and its header (RFC 7515 sections 3.1, 4 and 7.1).

use std::borrow::Cow;

use base64_simd::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, AlgorithmSet};
use crate::json::{Json, Object, Span};
use crate::reason::Reason;

/// The largest decoded header, in bytes.
const MAX_HEADER: usize = 4 * 1024;
/// The longest `kid`, in bytes.
const MAX_KID: usize = 256;

/// The parts of a compact JWS, still encoded.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// What is signed: header, dot and payload, as they were sent.
    pub(super) signing_input: &'a str,
    pub(super) header: &'a str,
    pub(super) payload: &'a str,
    pub(super) signature: &'a str,
}

/// A compact JWS in its parts. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    /// What is signed: header, dot and payload, as they were sent.
    pub(crate) signing_input: &'a str,
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// Why a JWS cannot be read. The texts are for the operator and quote nothing of the JWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) reason: Reason,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: Cow<'static, str>,
}

impl Unreadable {
    fn new(
        reason: Reason,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Self {
        Unreadable { reason, expected: expected.into(), found: found.into() }
    }

    fn header(expected: impl Into<Cow<'static, str>>, found: impl Into<Cow<'static, str>>) -> Self {
        Unreadable::new(Reason::JoseHeaderInvalid, expected, found)
    }
}

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Self {
        unreadable.reason
    }
}

/// The members of a JOSE header that are read. Others are ignored (RFC 7515 section 4): also `jku`, `x5u` and `x5c`, which
/// real issuers write. Keys come from the issuer's settings, and nothing in a token says where to look for them. `x5t`
/// and `x5t#S256` are read only if there is no `kid`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Header {
    json: Json,
    alg: Option<Span>,
    kid: Option<Span>,
    typ: Option<Span>,
    /// The key that the header carries, if it may carry one.
    jwk: Option<Span>,
}

impl<'a> Compact<'a> {
    /// The largest JWS in bytes, unless a limit is set.
    pub(crate) const MAX_BYTES: usize = 16 * 1024;

    /// Takes a token apart and reads its header. Checks `token_format_not_accepted` to `critical_header_unsupported`.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Unreadable> {
        let parts = Parts::split(token)?;
        if parts.payload.is_empty() {
            return Err(malformed(token, "an empty part"));
        }
        Compact::from_parts(token, parts)
    }

    /// Takes any JWS apart, like [`parse`](Self::parse). Its payload may be empty (RFC 7515 section 5.1).
    pub(super) fn parse_any(jws: &'a str) -> Result<Self, Unreadable> {
        Compact::from_parts(jws, Parts::split(jws)?)
    }

    fn from_parts(jws: &'a str, parts: Parts<'a>) -> Result<Self, Unreadable> {
        let Parts { signing_input, header, payload, signature } = parts;
        let (Some(header), Some(payload), Some(signature)) =
            (decode(header), decode(payload), decode(signature))
        else {
            return Err(malformed(jws, "a part that is not base64url without padding"));
        };
        Ok(Compact { signing_input, header: Header::parse(header)?, payload, signature })
    }
}

impl<'a> Parts<'a> {
    /// Splits a JWS at its dots. Only the payload may be empty. Checks `token_format_not_accepted` and
    /// `token_malformed`.
    pub(super) fn split(token: &'a str) -> Result<Self, Unreadable> {
        let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(malformed(token, "another number of parts"));
        };
        let parts = || {
            let (signing_input, signature) = token.split_at_checked(second)?;
            let (header, payload) = signing_input.split_at_checked(first)?;
            let (payload, signature) = (payload.get(1..)?, signature.get(1..)?);
            Some(Parts { signing_input, header, payload, signature })
        };
        parts()
            .filter(|parts| !parts.header.is_empty() && !parts.signature.is_empty())
            .ok_or_else(|| malformed(token, "an empty part"))
    }
}

/// Tells another format from a malformed token: five parts are an encrypted token, one is an opaque token, a bracket or
/// brace begins the JSON serialization, and a tilde marks SD-JWT (RFC 9901).
fn malformed(token: &str, found: &'static str) -> Unreadable {
    let expected = "expected a signed JWT: three parts in base64url, separated by dots";
    let dots = memchr::memchr_iter(b'.', token.as_bytes()).count();
    let other_format = if token.starts_with(['{', '[']) {
        "a JWT in JSON serialization"
    } else if memchr::memchr(b'~', token.as_bytes()).is_some() {
        "an SD-JWT"
    } else if dots == 0 {
        "one part, as in an opaque token"
    } else if dots == 4 {
        "five parts, as in an encrypted token"
    } else {
        return Unreadable::new(Reason::TokenMalformed, expected, found);
    };
    Unreadable::new(Reason::TokenFormatNotAccepted, expected, other_format)
}

/// Says what is wrong with a header that is an object, and names a member that it repeats if the member is a known one.
fn unsound(header: &str) -> Unreadable {
    const KNOWN: [&str; 10] =
        ["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "x5u"];
    let object = Object::read(header);
    let is_repeated = |name: &&str| object.as_ref().is_some_and(|it| it.count(name) > 1);
    let found = match KNOWN.into_iter().find(is_repeated) {
        Some(name) => Cow::Owned(format!("a header with `{name}` twice")),
        None => Cow::Borrowed("a header that repeats a member, or is nested too deeply"),
    };
    Unreadable::header("expected a header with each member once", found)
}

impl Header {
    /// Reads the header of a token, which must not carry its own key (rfc8725bis section 3.10).
    fn parse(header: Vec<u8>) -> Result<Self, Unreadable> {
        Header::read(header, false)
    }

    /// Reads the header of a JWS that may carry its own key, in `jwk` only.
    pub(super) fn parse_with_key(header: Vec<u8>) -> Result<Self, Unreadable> {
        Header::read(header, true)
    }

    fn read(header: Vec<u8>, may_carry_key: bool) -> Result<Self, Unreadable> {
        if header.len() > MAX_HEADER {
            return Err(Unreadable::header(
                "expected a header of at most 4096 bytes",
                "a longer header",
            ));
        }
        let header = String::from_utf8(header).map_err(|_| {
            let found = "a header that is not UTF-8";
            Unreadable::new(Reason::TokenMalformed, "expected a header in UTF-8", found)
        })?;
        let [mut alg, mut kid, mut typ, mut jwk] = [None; 4];
        let (mut key_hint, mut critical) = (false, false);
        let json = Json::read(header, |_, name, value| match &*name {
            "alg" => alg = Some(value),
            "kid" => kid = Some(value),
            "typ" => typ = Some(value),
            "jwk" => jwk = Some(value),
            "jku" | "x5c" | "x5u" => key_hint = true,
            "crit" | "b64" => critical = true,
            _ => {}
        });
        let mut json = json.ok_or_else(|| {
            Unreadable::header(
                "expected a header that is a JSON object",
                "a header that is not one",
            )
        })?;
        if !json.is_sound() {
            return Err(unsound(json.whole()));
        }
        // The key of a proof is in `jwk` and nowhere else.
        if key_hint && may_carry_key {
            let found = "a header with `jku`, `x5c` or `x5u`";
            return Err(Unreadable::header("expected a header that names no other keys", found));
        }
        if jwk.is_some() && !may_carry_key {
            let expected = "expected a header that carries no key";
            return Err(Unreadable::header(expected, "a header with `jwk`"));
        }
        let mut text = |raw: Span, member: &str| {
            json.string(raw).ok_or_else(|| {
                let found = format!("a header whose `{member}` is not a string");
                Unreadable::header(
                    "expected a header whose `alg`, `kid` and `typ` are strings",
                    found,
                )
            })
        };
        let alg = alg.ok_or_else(|| {
            Unreadable::header("expected a header with the string `alg`", "a header without `alg`")
        })?;
        let alg = Some(text(alg, "alg")?);
        let kid = kid.map(|raw| text(raw, "kid")).transpose()?;
        let typ = typ.map(|raw| text(raw, "typ")).transpose()?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Unreadable::header(
                "expected a `kid` of at most 256 bytes",
                "a longer `kid`",
            ));
        }
        // RFC 7515 section 4.1.11, RFC 7797 section 7
        if critical {
            let reason = Reason::CriticalHeaderUnsupported;
            let expected = "expected a header without `crit` and `b64`";
            return Err(Unreadable::new(reason, expected, "a header with `crit` or `b64`"));
        }
        Ok(Header { json, alg, kid, typ, jwk })
    }

    /// Returns the heap that it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.json.bytes()
    }

    /// Returns the header as it was sent.
    pub(crate) fn whole(&self) -> &str {
        self.json.whole()
    }

    pub(crate) fn alg(&self) -> &str {
        self.alg.map_or("", |alg| self.json.text(alg))
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.map(|kid| self.json.text(kid))
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.map(|typ| self.json.text(typ))
    }

    pub(super) fn jwk(&self) -> Option<&str> {
        self.jwk.map(|jwk| self.json.text(jwk))
    }

    /// Returns the algorithm if it is one of `allowed`. Names are case-sensitive.
    pub(crate) fn algorithm(&self, allowed: AlgorithmSet) -> Result<Algorithm, Reason> {
        Algorithm::from_name(self.alg())
            .filter(|algorithm| allowed.contains(*algorithm))
            .ok_or(Reason::AlgorithmNotAllowed)
    }
}

/// Returns true if `typ` is the media type `name`, ignoring case. `application/` may be left out of `typ` (RFC 7515
/// section 4.1.9).
pub(crate) fn is_type(typ: &str, name: &str) -> bool {
    without_prefix(typ).eq_ignore_ascii_case(name)
}

/// Returns a media type without `application/`, if it has that.
pub(crate) fn without_prefix(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, short)) if prefix.eq_ignore_ascii_case(PREFIX) => short,
        _ => typ,
    }
}

/// Decodes canonical base64url: without padding, and with zero trailing bits.
pub(crate) fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(part).ok()
}

/// Encodes in base64url, without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn header(json: &str) -> Result<Header, Reason> {
        Ok(Header::parse(json.as_bytes().to_vec())?)
    }

    #[test]
    fn only_three_parts_of_canonical_base64url_are_a_token() {
        use Reason::{TokenFormatNotAccepted as Format, TokenMalformed as Malformed};
        for (token, reason) in [
            ("", Format),
            ("opaque", Format),
            ("a.b.c.d.e", Format),
            ("{\"payload\":\"a.b\"}", Format),
            ("e30.e30.AAAA~", Format),
            ("a.b", Malformed),
            ("a.b.c.d", Malformed),
            ("a.b.c.d.e.f", Malformed),
            ("e30.e30.", Malformed),
            ("e30..AAAA", Malformed),
            (".e30.AAAA", Malformed),
            ("e30.e30.AAAA=", Malformed),
            ("e30.e30.AA+A", Malformed),
            ("e30.e30.AA\nA", Malformed),
            ("e30.e30.AAB", Malformed), // trailing bits
            ("e31.e30.AAAA", Malformed),
            ("e30.e30.AAAé", Malformed),
        ] {
            assert_eq!(Compact::parse(token).unwrap_err().reason, reason, "{token:?}");
        }
    }

    #[test]
    fn a_header_with_a_key_or_a_critical_extension_is_refused() {
        for (json, reason) in [
            (r#"[]"#, Reason::JoseHeaderInvalid),
            (r#"{}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":1}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":null}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","kid":1}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","typ":["at+jwt"]}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","alg":"ES256"}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","\u0061lg":"none"}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","jwk":{}}"#, Reason::JoseHeaderInvalid),
            (r#"{"alg":"ES256","crit":[]}"#, Reason::CriticalHeaderUnsupported),
            (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, Reason::CriticalHeaderUnsupported),
            (r#"{"alg":"ES256","b64":true}"#, Reason::CriticalHeaderUnsupported),
        ] {
            assert_eq!(header(json).unwrap_err(), reason, "{json}");
        }
        assert!(header(r#"{"alg":"ES256","x5t":"a","cty":"x","zip":"no"}"#).is_ok());
        for hint in [r#""jku":"https://x""#, r#""jku":1"#, r#""x5c":[]"#, r#""x5u":"https://x""#] {
            assert!(header(&format!(r#"{{"alg":"ES256",{hint}}}"#)).is_ok(), "{hint}");
        }
        let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257));
        assert_eq!(header(&long).unwrap_err(), Reason::JoseHeaderInvalid);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn base64url_is_decoded_like_by_another_decoder(
            bytes in vec(any::<u8>(), 0..100),
            edits in vec((any::<Index>(), "[A-Za-z0-9+/=_. \n\u{80}-]{0,2}"), 8),
        ) {
            let another = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let whole = URL_SAFE_NO_PAD.encode_to_string(&bytes);
            prop_assert_eq!(decode(&whole), Some(bytes));
            // Each by itself.
            for (at, put) in edits {
                let at = at.index(whole.len() + 1);
                let mut text = whole.clone();
                text.replace_range(at..(at + put.len()).min(text.len()), &put);
                prop_assert_eq!(decode(&text), another.decode(&text).ok());
            }
        }
    }
}
