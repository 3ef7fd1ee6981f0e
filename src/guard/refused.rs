//! A request that is refused before its token is validated.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::denial::Denial;
use crate::keys::KeysUnavailable;
use crate::printable::Explanation;
use crate::proof::Dpop;
use crate::reason::Reason;
use crate::token::{Claims, InvalidToken};

/// Why a request is refused before its token is validated.
pub(super) struct Refused {
    pub(super) denial: Denial,
    /// The claims, if the signature of the token was verified. The record may show them.
    pub(super) claims: Option<Arc<Claims>>,
}

impl Refused {
    /// Refuses a request without a usable credential, and says what was expected.
    pub(super) fn without_credential(
        reason: Reason,
        headers: &HeaderMap,
        max_bytes: usize,
        accepts_proofs: bool,
    ) -> Self {
        let scheme = match accepts_proofs {
            true => "expected one `Authorization` field of the scheme `Bearer` or `DPoP`",
            false => "expected one `Authorization` field of the scheme `Bearer`",
        };
        let (detail, found): (Cow<'static, str>, &'static str) = match reason {
            Reason::InsecureTransport => {
                return Denial::from(reason).with_detail("expected a request over TLS").into();
            }
            Reason::CredentialTooLarge => {
                let limits = format!(
                    "expected at most {max_bytes} bytes of token and {} of proof",
                    Dpop::MAX_BYTES
                );
                (limits.into(), "more (unverified)")
            }
            Reason::MultipleCredentials => {
                (scheme.into(), "several `Authorization` fields (unverified)")
            }
            Reason::UnsupportedAuthScheme => (scheme.into(), found_scheme(headers)),
            Reason::MalformedAuthorization => (
                "expected a scheme, spaces and one token68".into(),
                "an `Authorization` field that is not written so (unverified)",
            ),
            _ => (scheme.into(), "no `Authorization` field (unverified)"),
        };
        let explanation = Explanation { detail: Some(detail), unverified: Some(found.into()) };
        Denial::from(reason).with_explanation(explanation).into()
    }
}

impl Refused {
    /// Refuses a credential whose token has characters that no token has.
    pub(super) fn malformed_token() -> Self {
        let explanation = Explanation {
            detail: Some("expected a scheme, spaces and one token68".into()),
            unverified: Some("other characters (unverified)".into()),
        };
        Denial::from(Reason::MalformedAuthorization).with_explanation(explanation).into()
    }
}

/// Names the scheme that was sent if it is a registered one. Any other word may be a token without a scheme before it.
fn found_scheme(headers: &HeaderMap) -> &'static str {
    let field = headers.get(AUTHORIZATION).map_or(&b""[..], |field| field.as_bytes());
    let name = field.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme.as_bytes());
    match () {
        () if is("Basic") => "the scheme `Basic` (unverified)",
        () if is("Digest") => "the scheme `Digest` (unverified)",
        () if is("Negotiate") => "the scheme `Negotiate` (unverified)",
        () if is("DPoP") => "the scheme `DPoP` (unverified)",
        () if name.len() == field.len() => {
            "one word: a token without a scheme, perhaps (unverified)"
        }
        () => "another scheme (unverified)",
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Refused { denial, claims: None }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused::from(Denial::from(reason))
    }
}

impl From<KeysUnavailable> for Refused {
    fn from(unavailable: KeysUnavailable) -> Self {
        Refused::from(Denial::from(unavailable))
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        let (reason, explanation, claims) = invalid.into_parts();
        Refused { denial: Denial::from(reason).with_explanation(explanation), claims }
    }
}
