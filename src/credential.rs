//! The one credential of a request (phase A, as far as the head shows it).

use std::borrow::Cow;
use std::fmt;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::challenge::Scheme;
use crate::proof::{Dpop, DpopRequest, Possession, ProofField};
use crate::reason::Reason;

/// The field of proofs (RFC 9449 section 4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The access token as it came in. `Debug` does not show it.
///
/// It stops here: a handler that calls another service gets a new token for that service, for instance by
/// token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)), and hands this one to
/// the authorization server and to nobody else.
#[derive(Clone)]
pub struct Credential {
    field: HeaderValue,
    /// Where in `field` the token begins.
    token: usize,
    scheme: Scheme,
    proof: ProofFields,
}

/// The `DPoP` fields.
#[derive(Clone)]
enum ProofFields {
    Missing,
    One(HeaderValue),
    Several,
}

impl Credential {
    /// Takes the credential from the head of a request: one `Authorization` field of the scheme `Bearer` or `DPoP`,
    /// spaces, a token68; under `DPoP` the field of that name too, whose number and content are judged with the
    /// token ([RFC 9110 section 11.4](https://www.rfc-editor.org/rfc/rfc9110#section-11.4), OAuth 2.1
    /// section 5.1.1). Nothing else is looked at: not the query, not the body, not cookies.
    ///
    /// # Errors
    ///
    /// [`Reason::CredentialTooLarge`] where the token would have more than `max_bytes`, or a `DPoP` field more than
    /// [`Dpop::MAX_BYTES`](crate::proof::Dpop::MAX_BYTES),
    /// [`Reason::MultipleCredentials`], [`Reason::MissingCredentials`],
    /// [`Reason::UnsupportedAuthScheme`] or [`Reason::MalformedAuthorization`].
    pub fn from_headers(headers: &HeaderMap, max_bytes: usize) -> Result<Self, Reason> {
        let credential = Credential::unread(headers, max_bytes, true)?;
        credential.is_token68().then_some(credential).ok_or(Reason::MalformedAuthorization)
    }

    /// The same, where the scheme `DPoP` may not be taken, and without a look at the characters of the token:
    /// [`is_token68`](Self::is_token68) is left to the caller. A JWS that can be taken apart has no others.
    pub(crate) fn unread(
        headers: &HeaderMap,
        max_bytes: usize,
        takes_proofs: bool,
    ) -> Result<Self, Reason> {
        let (fields, proofs) = (headers.get_all(AUTHORIZATION), headers.get_all(DPOP));
        // 2: before anything looks at the bytes
        let too_large = |field: &HeaderValue| field.len() > max_bytes.saturating_add(64);
        let large_proof = |field: &HeaderValue| field.len() > Dpop::MAX_BYTES;
        if fields.iter().any(too_large) || proofs.iter().any(large_proof) {
            return Err(Reason::CredentialTooLarge);
        }
        let mut fields = fields.iter();
        let field = match (fields.next(), fields.next()) {
            // 3: never pick one of two
            (_, Some(_)) => return Err(Reason::MultipleCredentials),
            // 5
            (None, None) => return Err(Reason::MissingCredentials),
            (Some(field), None) => field,
        };
        // 7 and 6
        let name = field.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        let scheme = match () {
            () if name.eq_ignore_ascii_case(b"bearer") => Scheme::Bearer,
            () if takes_proofs && name.eq_ignore_ascii_case(b"dpop") => Scheme::Dpop,
            () if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) => {
                return Err(Reason::MalformedAuthorization);
            }
            () => return Err(Reason::UnsupportedAuthScheme),
        };
        let mut token = field.as_bytes().get(name.len()..).unwrap_or_default();
        while let [b' ', rest @ ..] = token {
            token = rest;
        }
        if token.len() > max_bytes {
            return Err(Reason::CredentialTooLarge);
        }
        let token = field.len().saturating_sub(token.len());
        let mut proofs = proofs.iter().filter(|_| scheme == Scheme::Dpop);
        let proof = match (proofs.next(), proofs.next()) {
            (None, _) => ProofFields::Missing,
            (Some(proof), None) => ProofFields::One(proof.clone()),
            (Some(_), Some(_)) => ProofFields::Several,
        };
        Ok(Credential { field: field.clone(), token, scheme, proof })
    }

    /// The token is written as one (step 7).
    pub(crate) fn is_token68(&self) -> bool {
        is_token68(self.bytes())
    }

    /// True where it came under the scheme `DPoP`: it is worth nothing without a new proof.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        self.scheme == Scheme::Dpop
    }

    /// The scheme it came under.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What it shows of possession, in a request of this method and path.
    pub(crate) fn possession<'a>(&'a self, method: &Method, path: &'a str) -> Possession<'a> {
        if self.scheme == Scheme::Bearer {
            return Possession::bearer();
        }
        let proof = match &self.proof {
            ProofFields::Missing => ProofField::Missing,
            ProofFields::Several => ProofField::Several,
            ProofFields::One(field) => match field.to_str() {
                Ok(proof) => ProofField::One(Cow::Borrowed(proof)),
                // No proof, whatever else it is.
                Err(_) => ProofField::One(Cow::Borrowed("")),
            },
        };
        let (method, path) = (method.clone(), Cow::Borrowed(path));
        let dpop = DpopRequest { proof, method, path, nonce_required: true };
        Possession { dpop: Some(dpop), certificate: None }
    }

    /// The token, as it is in the field.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.field.as_bytes().get(self.token..).unwrap_or_default()
    }

    /// The token itself. **Whoever has it can use it**: never log it, never send it to another service.
    #[must_use]
    pub fn expose(&self) -> &str {
        let text = self.field.to_str().unwrap_or_default();
        text.get(self.token..).unwrap_or_default()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// OAuth 2.1 section 5.1: a token in the query is ignored. That somebody sent one goes into the record.
pub(crate) fn has_query_token(parts: &Parts) -> bool {
    let is_token = |pair: &str| pair.split('=').next() == Some("access_token");
    parts.uri.query().is_some_and(|query| query.split('&').any(is_token))
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 11.2.
fn is_token68(mut body: &[u8]) -> bool {
    while let [rest @ .., b'='] = body {
        body = rest;
    }
    // Without an early end it is done many bytes at a time.
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+');
    !body.is_empty() && body.iter().fold(true, |all, byte| all & fits(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        Credential::from_headers(&headers, 100).map(|credential| credential.expose().to_owned())
    }

    #[test]
    fn one_bearer_token_is_taken_whatever_the_case_and_the_spaces() {
        for field in ["Bearer a.b.c", "bearer a.b.c", "bEaReR   a.b.c"] {
            assert_eq!(read(&[field]).as_deref(), Ok("a.b.c"), "{field}");
        }
        assert_eq!(read(&["Bearer a+/~_-.9=="]).as_deref(), Ok("a+/~_-.9=="));
    }

    #[test]
    fn everything_else_has_its_reason() {
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
    fn debug_does_not_show_it() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        let credential = Credential::from_headers(&headers, 100).unwrap();
        assert_eq!(format!("{credential:?}"), "Credential(..)");
    }
}
