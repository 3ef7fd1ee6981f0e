//! The one credential of a request, as far as the head shows it.

use std::borrow::Cow;
use std::fmt;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use memchr::memmem;

use crate::challenge::Scheme;
use crate::proof::{Dpop, DpopRequest, Possession, ProofField};
use crate::reason::Reason;
use crate::token::TokenLimits;

/// The field of proofs (RFC 9449 section 4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A shorter token is not looked for inside other text.
const MIN_SEARCHED_BYTES: usize = 32;

/// An access token as it was sent.
///
/// It must not be forwarded. A handler that calls another service gets a new token for that service, for instance by
/// token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)), and sends this one to the authorization server
/// and to no one else.
///
/// `Debug` does not show the token.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
/// use unconfused::Reason;
/// use unconfused::token::{Credential, TokenLimits};
///
/// let limits = TokenLimits::default();
/// let mut headers = HeaderMap::new();
/// let missing = Credential::from_headers(&headers, &limits).unwrap_err();
/// assert_eq!(missing, Reason::MissingCredentials);
///
/// headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer abc.def.ghi"));
/// let credential = Credential::from_headers(&headers, &limits)?;
/// assert_eq!(credential.expose(), "abc.def.ghi");
/// # Ok::<(), unconfused::Reason>(())
/// ```
#[derive(Clone)]
pub struct Credential {
    /// The field that it was sent in.
    name: HeaderName,
    field: HeaderValue,
    /// Where the token starts in `field`.
    token_start: usize,
    scheme: Scheme,
    proof: ProofFields,
}

/// The `DPoP` fields of the request.
#[derive(Clone)]
enum ProofFields {
    Missing,
    One(HeaderValue),
    Several,
}

impl Credential {
    /// Reads the credential from the headers of a request.
    ///
    /// There must be one `Authorization` field: the scheme `Bearer` or `DPoP`, spaces, and a token68
    /// ([RFC 9110 section 11.4](https://www.rfc-editor.org/rfc/rfc9110#section-11.4), OAuth 2.1 section 5.1.1). If the
    /// scheme is `DPoP`, the fields named `DPoP` are read too. Their number and content are checked later, with the
    /// token. The query, the body and cookies are not read.
    ///
    /// # Errors
    ///
    /// - [`Reason::CredentialTooLarge`] if the token has more than [`TokenLimits::max_bytes`], or a `DPoP` field has more
    ///   than [`Dpop::MAX_BYTES`](crate::proof::Dpop::MAX_BYTES). No other limit has an effect here.
    /// - [`Reason::MultipleCredentials`] if there are several `Authorization` fields.
    /// - [`Reason::MissingCredentials`] if there is none.
    /// - [`Reason::UnsupportedAuthScheme`] if the scheme is another one.
    /// - [`Reason::MalformedAuthorization`] if the field is not written in this form.
    pub fn from_headers(headers: &HeaderMap, limits: &TokenLimits) -> Result<Self, Reason> {
        let credential = Credential::from_headers_unchecked(headers, limits.max_bytes, true)?;
        credential.is_token68().then_some(credential).ok_or(Reason::MalformedAuthorization)
    }

    /// Reads the credential from the values of the `Authorization` fields and of the `DPoP` fields of a request, for a
    /// framework whose headers are not a [`HeaderMap`].
    ///
    /// Pass **all** values of each field, each as it was sent. A framework that hands out only the first one, or joins
    /// several with a comma, hides a second credential, which is then not refused.
    ///
    /// ```
    /// use unconfused::Reason;
    /// use unconfused::token::{Credential, TokenLimits};
    ///
    /// let read = |authorization: &[&str], dpop: &[&str]| {
    ///     Credential::from_values(authorization, dpop, &TokenLimits::default())
    /// };
    /// assert_eq!(read(&["Bearer abc.def.ghi"], &[])?.expose(), "abc.def.ghi");
    /// assert_eq!(read(&["Bearer abc.def.ghi", "Bearer x.y.z"], &[]).unwrap_err(), Reason::MultipleCredentials);
    /// # Ok::<(), Reason>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`from_headers`](Self::from_headers).
    pub fn from_values(
        authorization: impl IntoIterator<Item = impl AsRef<[u8]>>,
        dpop: impl IntoIterator<Item = impl AsRef<[u8]>>,
        limits: &TokenLimits,
    ) -> Result<Self, Reason> {
        let mut headers = HeaderMap::with_capacity(2);
        // What cannot be the value of a field is neither a credential nor a proof.
        let (max_field, no_credential) =
            (max_field(limits.max_bytes), HeaderValue::from_static(","));
        append(&mut headers, &AUTHORIZATION, authorization, max_field, &no_credential)?;
        append(&mut headers, &DPOP, dpop, Dpop::MAX_BYTES, &HeaderValue::from_static(""))?;
        Credential::from_headers(&headers, limits)
    }

    /// Reads the credential without checking the characters of the token.
    ///
    /// The caller checks [`is_token68`](Self::is_token68). A token that parses as a JWS has no other characters.
    /// The scheme `DPoP` is supported only if `accepts_proofs` is true.
    pub(crate) fn from_headers_unchecked(
        headers: &HeaderMap,
        max_bytes: usize,
        accepts_proofs: bool,
    ) -> Result<Self, Reason> {
        let [field_name, proof_name] = [AUTHORIZATION, DPOP];
        let mut fields = Lines::limited(max_field(max_bytes));
        let mut proofs = Lines::limited(Dpop::MAX_BYTES);
        // One look at each name costs less than two look-ups.
        for (name, line) in headers {
            if *name == field_name {
                fields.add(line);
            } else if *name == proof_name {
                proofs.add(line);
            }
        }
        // Size comes first, before anything reads the bytes.
        if fields.is_too_large || proofs.is_too_large {
            return Err(Reason::CredentialTooLarge);
        }
        let field = fields.only()?;
        let name = field.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        let scheme = if name.eq_ignore_ascii_case(b"bearer") {
            Scheme::Bearer
        } else if accepts_proofs && name.eq_ignore_ascii_case(b"dpop") {
            Scheme::Dpop
        } else if name.is_empty() || !name.iter().all(|byte| is_tchar(*byte)) {
            return Err(Reason::MalformedAuthorization);
        } else {
            return Err(Reason::UnsupportedAuthScheme);
        };
        let mut token = field.as_bytes().get(name.len()..).unwrap_or_default();
        while let [b' ', rest @ ..] = token {
            token = rest;
        }
        if token.len() > max_bytes {
            return Err(Reason::CredentialTooLarge);
        }
        let token_start = field.len().saturating_sub(token.len());
        let proof = match proofs.only() {
            Ok(proof) if scheme == Scheme::Dpop => ProofFields::One(proof.clone()),
            Err(Reason::MultipleCredentials) if scheme == Scheme::Dpop => ProofFields::Several,
            Ok(_) | Err(_) => ProofFields::Missing,
        };
        Ok(Credential { name: field_name, field: field.clone(), token_start, scheme, proof })
    }

    /// Reads a token that is the whole value of this field, without checking its characters.
    ///
    /// The caller checks [`is_token68`](Self::is_token68). The token counts as one of the scheme `Bearer`.
    pub(crate) fn from_field_unchecked(
        headers: &HeaderMap,
        name: &HeaderName,
        max_bytes: usize,
    ) -> Result<Self, Reason> {
        let mut fields = Lines::limited(max_bytes);
        headers.get_all(name).iter().for_each(|line| fields.add(line));
        if fields.is_too_large {
            return Err(Reason::CredentialTooLarge);
        }
        let (name, field) = (name.clone(), fields.only()?.clone());
        let (scheme, proof) = (Scheme::Bearer, ProofFields::Missing);
        Ok(Credential { name, field, token_start: 0, scheme, proof })
    }

    /// The name of the field that it was sent in.
    pub(crate) fn field_name(&self) -> &HeaderName {
        &self.name
    }

    /// True if the token is written as a token68.
    pub(crate) fn is_token68(&self) -> bool {
        is_token68(self.bytes())
    }

    /// Returns true if the token was sent under the scheme `DPoP`, so that it cannot be used without a new proof.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        self.scheme == Scheme::Dpop
    }

    /// The scheme that the token was sent under.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What the sender shows to prove possession, in a request of this method and path.
    pub(crate) fn possession<'a>(&'a self, method: &Method, path: &'a str) -> Possession<'a> {
        if self.scheme == Scheme::Bearer {
            return Possession::bearer();
        }
        let proof = match &self.proof {
            ProofFields::Missing => ProofField::Missing,
            ProofFields::Several => ProofField::Several,
            ProofFields::One(field) => match field.to_str() {
                Ok(proof) => ProofField::One(Cow::Borrowed(proof)),
                // It is not text, so it is not a proof.
                Err(_) => ProofField::One(Cow::Borrowed("")),
            },
        };
        let (method, path) = (method.clone(), Cow::Borrowed(path));
        let dpop = DpopRequest { proof, method, path, nonce_required: true };
        Possession { dpop: Some(dpop), certificate: None }
    }

    /// The token as it is in the field.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.field.as_bytes().get(self.token_start..).unwrap_or_default()
    }

    /// True if the value of a field contains this token.
    ///
    /// A short token may occur in other text by chance. It has to be the whole value, with or without a scheme.
    pub(crate) fn is_in(&self, value: &[u8]) -> bool {
        let token = self.bytes();
        if token.is_empty() || value.len() < token.len() {
            return false;
        }
        if token.len() >= MIN_SEARCHED_BYTES {
            return memmem::find(value, token).is_some();
        }
        let Some(before) = value.trim_ascii_end().strip_suffix(token) else { return false };
        let scheme = before.trim_ascii();
        scheme.is_empty() || (before.ends_with(b" ") && scheme.iter().all(|byte| is_tchar(*byte)))
    }

    /// Returns the token itself.
    ///
    /// **Anyone who has the token can use it.** Never log it, and never send it to another service.
    #[must_use]
    pub fn expose(&self) -> &str {
        let text = self.field.to_str().unwrap_or_default();
        text.get(self.token_start..).unwrap_or_default()
    }
}

/// The lines of one field.
struct Lines<'h> {
    max_bytes: usize,
    first: Option<&'h HeaderValue>,
    has_others: bool,
    /// At least one line has more bytes than it may have.
    is_too_large: bool,
}

impl<'h> Lines<'h> {
    fn limited(max_bytes: usize) -> Self {
        Lines { max_bytes, first: None, has_others: false, is_too_large: false }
    }

    fn add(&mut self, line: &'h HeaderValue) {
        self.is_too_large |= line.len() > self.max_bytes;
        self.has_others |= self.first.is_some();
        self.first.get_or_insert(line);
    }

    /// The line, if there is one. Never picks one of two.
    fn only(&self) -> Result<&'h HeaderValue, Reason> {
        match self.first {
            Some(_) if self.has_others => Err(Reason::MultipleCredentials),
            Some(line) => Ok(line),
            None => Err(Reason::MissingCredentials),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// The most bytes of a field with a token of at most `max_bytes`: 64 more leave room for the scheme and spaces.
fn max_field(max_bytes: usize) -> usize {
    max_bytes.saturating_add(64)
}

/// Adds the values of a field: two are enough to be too many. `instead` stands for one that is not the value of a field.
fn append(
    headers: &mut HeaderMap,
    name: &HeaderName,
    values: impl IntoIterator<Item = impl AsRef<[u8]>>,
    max_bytes: usize,
    instead: &HeaderValue,
) -> Result<(), Reason> {
    for (index, value) in values.into_iter().enumerate() {
        let value = value.as_ref();
        if value.len() > max_bytes {
            return Err(Reason::CredentialTooLarge);
        }
        if index < 2 {
            let value = HeaderValue::from_bytes(value).unwrap_or_else(|_| instead.clone());
            headers.append(name, value);
        }
    }
    Ok(())
}

/// True if the query holds an access token, which is ignored (OAuth 2.1 section 5.1) but recorded.
pub(crate) fn has_query_token(parts: &Parts) -> bool {
    let is_token = |pair: &str| pair.split('=').next() == Some("access_token");
    parts.uri.query().is_some_and(|query| query.split('&').any(is_token))
}

/// A `tchar` of RFC 9110 section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// True if this is a `token68` of RFC 9110 section 11.2.
pub(crate) fn is_token68(mut body: &[u8]) -> bool {
    while let [rest @ .., b'='] = body {
        body = rest;
    }
    // A fold that does not stop early is vectorized, and few ranges make it short: `-`, `.`, `/` and the digits are one.
    let fits = |byte: u8| {
        (byte | 0x20).is_ascii_lowercase() | matches!(byte, b'-'..=b'9' | b'_' | b'~' | b'+')
    };
    !body.is_empty() && body.iter().fold(true, |all, byte| all & fits(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> TokenLimits {
        TokenLimits::default().max_bytes(100)
    }

    /// Reads the fields of headers, and checks that their values alone are read in the same way.
    fn read(fields: &[&str]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        let token = |credential: Credential| credential.expose().to_owned();
        let read = Credential::from_headers(&headers, &limits()).map(token);
        assert_eq!(Credential::from_values(fields, [""; 0], &limits()).map(token), read);
        read
    }

    #[test]
    fn one_bearer_token_is_read_in_any_case_and_with_any_number_of_spaces() {
        for field in ["Bearer a.b.c", "bearer a.b.c", "bEaReR   a.b.c"] {
            assert_eq!(read(&[field]).as_deref(), Ok("a.b.c"), "{field}");
        }
        assert_eq!(read(&["Bearer a+/~_-.9=="]).as_deref(), Ok("a+/~_-.9=="));
    }

    #[test]
    fn any_other_field_is_refused_with_its_reason() {
        use Reason::*;
        let long = format!("Bearer {}", "a".repeat(101));
        let longer = format!("Basic {}", "a".repeat(1000));
        for (fields, reason) in [
            (&[][..], MissingCredentials),
            (&["Bearer a", "Bearer a"], MultipleCredentials),
            (&["Bearer a", "Basic a"], MultipleCredentials),
            (&["Basic dTpw"], UnsupportedAuthScheme),
            (&["Dpopx a"], UnsupportedAuthScheme),
            (&["Basic"], UnsupportedAuthScheme),
            (&["Basic é"], UnsupportedAuthScheme),
            (&["Digest a=\"b\", c=d"], UnsupportedAuthScheme),
            (&["Bearerx a"], UnsupportedAuthScheme),
            (&[""], MalformedAuthorization),
            (&[" Bearer a"], MalformedAuthorization),
            (&["Bearer"], MalformedAuthorization),
            (&["Bearer "], MalformedAuthorization),
            (&["Bearer\ta"], MalformedAuthorization),
            (&["Bearer \ta"], MalformedAuthorization),
            (&["Bearer a b"], MalformedAuthorization),
            (&["Bearer a "], MalformedAuthorization),
            (&["Bearer a,b"], MalformedAuthorization),
            (&["Bearer a, Bearer b"], MalformedAuthorization),
            (&["Bearer ="], MalformedAuthorization),
            (&["Bearer a=b"], MalformedAuthorization),
            (&["Bearer é"], MalformedAuthorization),
            (&["Bearer \"a\""], MalformedAuthorization),
            (&["Bearer, a"], MalformedAuthorization),
            (&[&long], CredentialTooLarge),
            (&[&longer], CredentialTooLarge),
            (&["Bearer a", &longer], CredentialTooLarge),
        ] {
            assert_eq!(read(fields), Err(reason), "{fields:?}");
        }
    }

    #[test]
    fn a_token68_has_the_characters_of_the_rfc_and_no_others() {
        let punctuation = b"-._~+/";
        for byte in 0..=u8::MAX {
            let fits = byte.is_ascii_alphanumeric() || punctuation.contains(&byte);
            assert_eq!(is_token68(&[b'a', byte, b'a']), fits, "{byte}");
        }
        assert!(is_token68(b"a==") && !is_token68(b"a=a") && !is_token68(b"=") && !is_token68(b""));
    }

    #[test]
    fn values_that_no_field_can_have_are_refused_after_the_size_and_the_number() {
        let of = |fields: &[&[u8]], proofs: &[&[u8]]| {
            Credential::from_values(fields, proofs, &limits()).map(|read| read.proof)
        };
        let large = [b'\n'; 200];
        for (fields, reason) in [
            (&[&b"Bearer a\n"[..]][..], Reason::MalformedAuthorization),
            (&[b"\0"], Reason::MalformedAuthorization),
            (&[b"\0", b"Bearer a"], Reason::MultipleCredentials),
            (&[b"Bearer a", b"\0", b"\n"], Reason::MultipleCredentials),
            (&[&large], Reason::CredentialTooLarge),
            (&[b"Bearer a", b"\0", &large], Reason::CredentialTooLarge),
        ] {
            assert_eq!(of(fields, &[]).err(), Some(reason), "{fields:?}");
        }
        let proofs = |proofs: &[&[u8]]| of(&[b"DPoP a"], proofs);
        assert!(matches!(proofs(&[]), Ok(ProofFields::Missing)));
        assert!(matches!(proofs(&[b"p"]), Ok(ProofFields::One(proof)) if proof == "p"));
        assert!(matches!(proofs(&[b"\n"]), Ok(ProofFields::One(proof)) if proof.is_empty()));
        assert!(matches!(proofs(&[b"p", b"\n", b"q"]), Ok(ProofFields::Several)));
        let large = vec![b'p'; Dpop::MAX_BYTES + 1];
        assert_eq!(proofs(&[b"p", b"p", &large]).err(), Some(Reason::CredentialTooLarge));
    }

    #[test]
    fn a_long_token_is_found_in_any_text_and_a_short_one_only_as_a_whole_value() {
        let credential = |token: &str| {
            let mut headers = HeaderMap::new();
            let field = format!("Bearer {token}");
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&field).unwrap());
            Credential::from_headers(&headers, &limits()).unwrap()
        };
        let long = "t".repeat(32);
        for (before, after) in
            [("", ""), ("Bearer ", ""), ("a=b; c=", "; d"), ("x", "x"), ("\"", "\"")]
        {
            let value = format!("{before}{long}{after}");
            assert!(credential(&long).is_in(value.as_bytes()), "{value}");
        }
        assert!(!credential(&long).is_in(&long.as_bytes()[1..]));
        assert!(!credential(&long).is_in(b""));

        let short = "t".repeat(31);
        for value in ["", "Bearer ", "bearer   ", "DPoP ", "Token ", " "] {
            assert!(credential(&short).is_in(format!("{value}{short}").as_bytes()), "{value}");
        }
        assert!(credential(&short).is_in(format!("{short} ").as_bytes()));
        for (before, after) in
            [("a=", ""), ("Bearer", ""), ("", "; a"), ("a=b ", ""), ("a b ", ""), ("t", "")]
        {
            let value = format!("{before}{short}{after}");
            assert!(!credential(&short).is_in(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        let credential = Credential::from_headers(&headers, &limits()).unwrap();
        assert_eq!(format!("{credential:?}"), "Credential(..)");
    }
}
