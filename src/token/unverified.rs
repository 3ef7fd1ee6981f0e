//! A token as it was received: parsed once, and not believed.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use time::UtcDateTime;

use super::access_token::AccessToken;
use super::claims::Claims;
use super::claims_reader::{read_claims, read_issuer};
use super::invalid::{InvalidToken, truncated};
use super::limits::TokenLimits;
use super::terms::{IssuerTerms, Terms};
use super::validate::Presented;
use super::validation::Validation;
use crate::jose::{Algorithm, Compact, Header, KeySet, KeySetId, Signed, Signer};
use crate::json::{Document, Span};
use crate::printable::Printable;
use crate::proof::Possession;
use crate::reason::Reason;

/// How many of the expected values an error lists.
const MAX_EXPECTED: usize = 6;

/// A token that has been parsed and not verified.
///
/// What it says may be used for one purpose: to choose keys, by [`issuer`](Self::issuer) and
/// [`key_hint`](Self::key_hint), among those that you trust. [`validate`](Self::validate) then turns it into an
/// [`AccessToken`]. `Debug` shows nothing of it.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use time::UtcDateTime;
/// use unconfused::token::{UnverifiedToken, Validation};
/// use unconfused::{Audience, Party, Reason, Require, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let issuer = TestIssuer::new("https://login.example");
/// # let raw = issuer.token(&ORDERS).subject("alice").scope("orders:read").sign();
/// # let keys = issuer.keys();
/// let validation = Validation::new(&ORDERS, "https://login.example");
/// let now = UtcDateTime::now();
///
/// let token = UnverifiedToken::parse(&raw)?.validate(&validation, &keys, now)?;
/// Require::scope(READ).check(&token, now)?;
/// assert_eq!(token.subject(), Party::new("https://login.example", "alice"));
///
/// // for another resource the same token is refused
/// let elsewhere = Validation::new(Audience::from_static("https://billing.example"), "https://login.example");
/// let refused = UnverifiedToken::parse(&raw)?.validate(&elsewhere, &keys, now).unwrap_err();
/// assert_eq!(refused.reason(), Reason::AudienceMismatch);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing of a parsed token is checked until `validate`"]
pub struct UnverifiedToken<'a> {
    token: Cow<'a, str>,
    /// How many bytes of it are signed: header, dot, payload.
    signed: usize,
    possession: Possession<'a>,
    header: Header,
    signature: Vec<u8>,
    /// `None` if it is not a JSON object.
    payload: Option<Document>,
    issuer: Option<Span>,
}

/// What an unverified token says about the key it was signed with: a hint for looking up keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHint<'a> {
    kid: Option<&'a str>,
    alg: &'a str,
    tried: Option<KeySetId>,
}

/// A token whose signature was verified, and nothing else.
pub(crate) struct VerifiedToken<'a>(UnverifiedToken<'a>);

/// The error of [`UnverifiedToken::verify`], with the token, so that it can be tried with other keys.
pub(crate) struct NotVerified<'a> {
    pub(crate) token: UnverifiedToken<'a>,
    pub(crate) invalid: InvalidToken,
}

impl<'a> KeyHint<'a> {
    pub(crate) fn new(kid: Option<&'a str>, alg: &'a str) -> Self {
        KeyHint { kid, alg, tried: None }
    }

    /// Asks for another set than this one, with which the token was tried.
    pub(crate) fn after(self, tried: KeySetId) -> Self {
        KeyHint { tried: Some(tried), ..self }
    }

    /// Returns the id of the key, `kid`. It is unverified and has at most 256 bytes; only compare it.
    #[must_use]
    pub fn kid(&self) -> Option<&'a str> {
        self.kid
    }

    /// Returns the algorithm, `alg`. It is unverified.
    #[must_use]
    pub fn alg(&self) -> &'a str {
        self.alg
    }

    /// Returns the set that the token was tried with. `None` if it was not tried yet.
    ///
    /// A guard asks a second time, with this, if a token does not name its key and no key of the set verified it: the
    /// issuer may have a new key. A source that fetches its keys looks for a newer set, as it does for a
    /// [`kid`](Self::kid) that it does not know, and as seldom. Any other source returns the set that it has; if that is
    /// this one, the token is refused (`signature_invalid`).
    #[must_use]
    pub fn tried(&self) -> Option<KeySetId> {
        self.tried
    }
}

impl fmt::Debug for KeyHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text| Printable::from(truncated(text));
        write!(f, "KeyHint(kid {:?}, alg {:?}, unverified)", self.kid.map(shown), shown(self.alg))
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Parses a token: the credential that follows the scheme, without spaces around it.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidToken`] with the reason
    ///
    /// - [`Reason::CredentialTooLarge`] if the token has more than 16 KiB, or its payload more than 32 KiB;
    /// - [`Reason::TokenFormatNotAccepted`], [`Reason::TokenMalformed`], [`Reason::JoseHeaderInvalid`] or
    ///   [`Reason::CriticalHeaderUnsupported`] if it is not a compact JWS with a header that is understood.
    ///
    /// Problems in the payload are reported by [`validate`](Self::validate), after the signature was verified.
    #[must_use = "nothing of a parsed token is checked until `validate`"]
    pub fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        Self::parse_with(token, &TokenLimits::default())
    }

    /// Parses a token of at most [`TokenLimits::max_bytes`].
    ///
    /// Whatever the limit, a header may have 4 KiB and a payload 32 KiB. A payload and, once more without their
    /// escapes, those of its strings that have an escape may have 64 KiB together; a claim for which there is no room
    /// is treated as if it had the wrong type.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`parse`](Self::parse).
    #[must_use = "nothing of a parsed token is checked until `validate`"]
    pub fn parse_with(token: &'a str, limits: &TokenLimits) -> Result<Self, InvalidToken> {
        let too_large = |limit: usize, found: String| {
            let expected = format!("expected at most {limit} bytes");
            InvalidToken::unverified(Reason::CredentialTooLarge, Some(expected.into()), found)
        };
        if token.len() > limits.max_bytes {
            return Err(too_large(limits.max_bytes, format!("a token of {} bytes", token.len())));
        }
        let Compact { signing_input, header, payload, signature } = Compact::parse(token)?;
        if payload.len() > Claims::MAX_BYTES {
            return Err(too_large(Claims::MAX_BYTES, format!("a payload of {}", payload.len())));
        }
        // RFC 7519 section 7.2: a JWT is UTF-8.
        let payload = String::from_utf8(payload).map_err(|_| {
            let expected = Some("expected a payload in UTF-8".into());
            InvalidToken::unverified(Reason::TokenMalformed, expected, "a payload that is not")
        })?;
        let mut payload = Document::read(payload);
        let issuer = payload.as_mut().and_then(read_issuer);
        Ok(UnverifiedToken {
            token: Cow::Borrowed(token),
            signed: signing_input.len(),
            possession: Possession::bearer(),
            header,
            signature,
            payload,
            issuer,
        })
    }

    /// Sets how the sender showed that it may use the token. Defaults to [`Possession::bearer`].
    pub fn with_possession(mut self, possession: Possession<'a>) -> Self {
        self.possession = possession;
        self
    }

    /// Returns who issued the token, as it says itself. `None` if it names no one.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        let issuer = self.payload.as_ref()?.text(self.issuer?);
        Some(issuer).filter(|issuer| !issuer.is_empty())
    }

    /// Returns what the token says about its key.
    #[must_use]
    pub fn key_hint(&self) -> KeyHint<'_> {
        KeyHint::new(self.header.kid(), self.header.alg())
    }

    /// Validates the token: type, algorithm, issuer, key, signature, claims, times, audience, actors, and what the
    /// token is bound to (RFC 9068 section 4, RFC 7519, RFC 8693, RFC 7800).
    ///
    /// `keys` must be those of the issuer and of no one else. `now` is the moment by which the token is judged. If the
    /// token does not name its key, up to 3 keys that fit its algorithm are tried.
    ///
    /// A token that is bound to a proof key or a certificate (`cnf`) is refused unless the sender's proof or
    /// certificate was set with [`with_possession`](Self::with_possession).
    ///
    /// **Not** checked are scopes, actor and authentication, which a [`Require`](crate::Require) asks for; whether the
    /// token was revoked; and whether its proof was used before ([`AccessToken::proof`]).
    ///
    /// # Errors
    ///
    /// Returns [`InvalidToken`] with the reason: the first check that fails, in the order of [`Reason::ALL`].
    #[must_use = "an error is the refusal, and an `AccessToken` is not checked against a `Require` yet"]
    pub fn validate(
        self,
        validation: &Validation,
        keys: &KeySet,
        now: UtcDateTime,
    ) -> Result<AccessToken, InvalidToken> {
        let (terms, issuer) = (&validation.terms, &validation.issuer);
        if self.issuer() != Some(&*issuer.name) {
            return Err(self.refuse_issuer(&[issuer]));
        }
        let algorithm = self.admit(issuer)?;
        match self.verify(algorithm, issuer, keys) {
            Ok(token) => token.validate(terms, issuer, now),
            Err(not_verified) => Err(not_verified.invalid),
        }
    }

    /// Verifies the signature of a token that [`admit`](Self::admit) admitted with this algorithm, for these terms of
    /// its issuer.
    #[expect(clippy::result_large_err, reason = "the token goes on if there are other keys")]
    pub(crate) fn verify(
        self,
        algorithm: Algorithm,
        issuer: &IssuerTerms,
        keys: &KeySet,
    ) -> Result<VerifiedToken<'a>, NotVerified<'a>> {
        let signer = Signer { issuer: &issuer.name, must_be_named: issuer.keys_are_shared };
        let kid = self.header.kid();
        let signed = self.token.get(..self.signed).unwrap_or_default();
        let signed = Signed { signing_input: signed, signature: &self.signature };
        let name = self.header.key_name();
        match keys.verify_signature(Some(signer), &name, algorithm, signed, issuer.backend) {
            Ok(()) => Ok(VerifiedToken(self)),
            Err(reason) => {
                let invalid = self.refuse(reason, keys.expected(kid, algorithm, reason));
                Err(NotVerified { token: self, invalid })
            }
        }
    }

    /// Runs the checks that need no key: the type and the algorithm, which the issuer of this token must accept.
    pub(crate) fn admit(&self, issuer: &IssuerTerms) -> Result<Algorithm, InvalidToken> {
        // RFC 9068 section 4; rfc8725bis section 3.11
        if !issuer.profile.accepts_type(self.header.typ()) {
            return Err(self.refuse_type(&[issuer]));
        }
        let algorithm = self.header.algorithm(issuer.algorithms);
        algorithm.map_err(|_| self.refuse_algorithm(&[issuer]))
    }

    /// Refuses a token that none of the trusted issuers issued.
    ///
    /// A type or an algorithm that none of them accepts is reported first (RFC 9068 section 4).
    pub(crate) fn refuse_issuer(&self, trusted: &[&IssuerTerms]) -> InvalidToken {
        let accepts_type = |issuer: &&IssuerTerms| issuer.profile.accepts_type(self.header.typ());
        if !trusted.iter().any(accepts_type) {
            return self.refuse_type(trusted);
        }
        let accepts_algorithm =
            |issuer: &&IssuerTerms| self.header.algorithm(issuer.algorithms).is_ok();
        if !trusted.iter().any(accepts_algorithm) {
            return self.refuse_algorithm(trusted);
        }
        let reason = match self.issuer() {
            Some(_) => Reason::IssuerUntrusted,
            None => Reason::IssuerMissing,
        };
        let names = trusted.iter().map(|issuer| &*issuer.name);
        self.refuse(reason, Some(expected("iss", names)))
    }

    fn refuse_type(&self, trusted: &[&IssuerTerms]) -> InvalidToken {
        let types = trusted.iter().flat_map(|issuer| issuer.profile.type_names());
        self.refuse(Reason::TokenTypeMismatch, Some(expected("typ", types)))
    }

    fn refuse_algorithm(&self, trusted: &[&IssuerTerms]) -> InvalidToken {
        let allowed = trusted.iter().flat_map(|issuer| issuer.algorithms.iter());
        let mut text = expected("alg", allowed.map(Algorithm::as_str));
        text.push_str(", as `algorithms` of the issuer says");
        self.refuse(Reason::AlgorithmNotAllowed, Some(text))
    }

    fn refuse(&self, reason: Reason, expected: Option<String>) -> InvalidToken {
        InvalidToken::unverified(reason, expected.map(Cow::Owned), self.shown())
    }

    /// What this token says that helps the operator to find out where it comes from: `iss`, `typ`, `alg` and `kid`,
    /// each escaped and truncated.
    fn shown(&self) -> String {
        let mut text = match (&self.payload, self.issuer()) {
            (_, Some(issuer)) => named("iss", issuer),
            (None, None) => "a payload that is not a JSON object".to_owned(),
            (Some(payload), None) => match payload.count("iss") {
                0 => "no iss",
                1 => "an iss that is not a string, or is empty",
                _ => "several iss that differ",
            }
            .to_owned(),
        };
        let header = &self.header;
        let alg = Some(header.alg());
        for (name, value) in [("typ", header.typ()), ("alg", alg), ("kid", header.kid())] {
            text.push_str(", ");
            match value {
                Some(value) => text.push_str(&named(name, value)),
                None => {
                    let _ = write!(text, "no {name}");
                }
            }
        }
        text
    }

    /// Reads the claims without any check.
    #[cfg(test)]
    pub(crate) fn into_claims(self) -> Claims {
        let profile = crate::profile::Profile::rfc9068();
        read_claims(self.header, self.payload.unwrap(), self.issuer.unwrap(), &profile)
    }

    /// Copies what is borrowed, so that the token can be kept while keys are fetched.
    pub(crate) fn into_owned(self) -> UnverifiedToken<'static> {
        UnverifiedToken {
            token: Cow::Owned(self.token.into_owned()),
            possession: self.possession.into_owned(),
            ..self
        }
    }
}

impl<'a> VerifiedToken<'a> {
    pub(crate) fn with_possession(self, possession: Possession<'a>) -> Self {
        VerifiedToken(self.0.with_possession(possession))
    }

    /// Validates the token for the terms of its issuer: everything that comes after the signature.
    pub(crate) fn validate(
        self,
        terms: &Terms,
        issuer: &IssuerTerms,
        now: UtcDateTime,
    ) -> Result<AccessToken, InvalidToken> {
        let VerifiedToken(UnverifiedToken {
            token, possession, header, payload, issuer: iss, ..
        }) = self;
        let (Some(payload), Some(iss)) = (payload, iss) else {
            return Err(Reason::IssuerMissing.into());
        };
        let claims = Arc::new(read_claims(header, payload, iss, &issuer.profile));
        terms.validate(claims, issuer, Presented { token: &token, possession: &possession }, now)
    }
}

/// Writes a member of a token that was not verified.
fn named(name: &str, value: &str) -> String {
    format!("{name} {:?}", Printable::from(truncated(value)))
}

/// Writes which values of a member were expected: at most six of them, each once.
fn expected<'v>(name: &str, values: impl Iterator<Item = &'v str>) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    let mut text = format!("expected {name}");
    for (index, value) in distinct.iter().enumerate().take(MAX_EXPECTED) {
        let _ = write!(text, "{} `{value}`", if index == 0 { "" } else { " or" });
    }
    match distinct.len().saturating_sub(MAX_EXPECTED) {
        0 => {}
        more => {
            let _ = write!(text, " or {more} more");
        }
    }
    text
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedToken(..)")
    }
}
