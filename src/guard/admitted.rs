//! A token that waits for its issuer's keys, and the verification of its signature.

use std::sync::Arc;

use super::refused::Refused;
use crate::answer::Answer;
use crate::jose::{Algorithm, KeySet, KeySetId};
use crate::keys::{Issuer, Keys, KeysUnavailable};
use crate::reason::Reason;
use crate::token::{InvalidToken, NotVerified, UnverifiedToken, VerifiedToken};
use crate::token_cache::Slot;

/// A token that passed all checks that need no key, and its issuer.
pub(super) struct AdmittedToken<'a> {
    pub(super) token: UnverifiedToken<'a>,
    pub(super) algorithm: Algorithm,
    pub(super) issuer: Arc<Issuer>,
    /// The slot in the token cache, once it is validated.
    pub(super) cache_slot: Option<Slot>,
}

/// A token whose signature was verified, and its issuer.
pub(super) struct SignedToken<'a> {
    pub(super) token: VerifiedToken<'a>,
    pub(super) issuer: Arc<Issuer>,
    /// The set that verified it.
    pub(super) keys: KeySetId,
    pub(super) cache_slot: Option<Slot>,
}

/// How far the verification of a signature got at once.
pub(super) enum Verification<'a> {
    /// The token was verified, or refused.
    Done(Result<SignedToken<'a>, Refused>),
    /// The token waits for these keys; then call [`AdmittedToken::verify_with`].
    Waits(AdmittedToken<'a>, Keys),
}

/// A token that was not verified with these keys.
struct Failed<'a> {
    admitted: AdmittedToken<'a>,
    invalid: InvalidToken,
}

impl<'a> AdmittedToken<'a> {
    /// Verifies the signature with the issuer's keys.
    ///
    /// A token that does not name its key may be signed with a new one. So if none of the keys verifies it, the issuer
    /// is asked for others, once.
    pub(super) fn verify(self) -> Verification<'a> {
        let keys = match self.issuer.keys(self.token.key_hint()) {
            Answer::Now(Ok(keys)) => keys,
            Answer::Now(Err(unavailable)) => return Verification::Done(Err(unavailable.into())),
            // What was fetched for this request is new enough.
            keys @ Answer::Later(_) => return Verification::Waits(self, keys),
        };
        let Failed { admitted, invalid } = match self.try_keys(&keys) {
            Ok(signed) => return Verification::Done(Ok(signed)),
            Err(failed) => failed,
        };
        let hint = admitted.token.key_hint();
        if hint.kid().is_some() || invalid.reason() != Reason::SignatureInvalid {
            return Verification::Done(Err(invalid.into()));
        }
        match admitted.issuer.keys(hint.after(keys.id())) {
            Answer::Now(Ok(same)) if same.id() == keys.id() => {
                Verification::Done(Err(invalid.into()))
            }
            Answer::Now(others) => Verification::Done(admitted.verify_with(others)),
            others @ Answer::Later(_) => Verification::Waits(admitted, others),
        }
    }

    /// Verifies the signature with these keys and no others.
    pub(super) fn verify_with(
        self,
        keys: Result<KeySet, KeysUnavailable>,
    ) -> Result<SignedToken<'a>, Refused> {
        let keys = keys?;
        self.try_keys(&keys).map_err(|failed| failed.invalid.into())
    }

    #[expect(clippy::result_large_err, reason = "the token goes on if there are other keys")]
    fn try_keys(self, keys: &KeySet) -> Result<SignedToken<'a>, Failed<'a>> {
        let AdmittedToken { token, algorithm, issuer, cache_slot } = self;
        match token.verify(algorithm, &issuer.terms, keys) {
            Ok(token) => Ok(SignedToken { token, issuer, keys: keys.id(), cache_slot }),
            Err(NotVerified { token, invalid }) => {
                let admitted = AdmittedToken { token, algorithm, issuer, cache_slot };
                Err(Failed { admitted, invalid })
            }
        }
    }

    /// Copies what is borrowed, so that the token can be kept while keys are fetched.
    pub(super) fn into_owned(self) -> AdmittedToken<'static> {
        AdmittedToken { token: self.token.into_owned(), ..self }
    }
}
