//! A token that comes again: what is asked of it once more. What is remembered is decided by the memory.

use std::sync::Arc;

use time::UtcDateTime;

use super::Guard;
use super::steps::Refused;
use crate::answer::Answer;
use crate::credential::Credential;
use crate::proof::Possession;
use crate::token::AccessToken;
use crate::verified::Verified;

impl Guard {
    /// The token as it is remembered, where all that it was verified by is as it was: the keys are asked for, and a tenant
    /// approved, as for any other.
    pub(crate) fn known(&self, credential: &Credential, at: UtcDateTime) -> Option<Arc<Verified>> {
        let memory = &self.inner.verified;
        let known = memory.get(credential.bytes(), at)?;
        let issuer = &known.issuer;
        let trusted = !issuer.is_of_template()
            || self.issuer(issuer.name()).is_some_and(|now| Arc::ptr_eq(&now, issuer));
        let same_keys = || match issuer.keys(known.key_hint()) {
            Answer::Now(Ok(keys)) => known.is_by(&keys),
            Answer::Now(Err(_)) | Answer::Later(_) => false,
        };
        if trusted && same_keys() {
            return Some(known);
        }
        memory.forget(&known);
        None
    }

    /// Steps 22 to 51, and 58, of a token that is remembered.
    pub(super) fn validate_again(
        &self,
        known: &Verified,
        credential: &Credential,
        possession: &Possession<'_>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let (claims, issuer) = (known.claims.clone(), &known.issuer);
        // The text counts only for a proof, which has its hash.
        let text = possession.shown.as_ref().map_or("", |_| credential.expose());
        let shown = (text, possession);
        let token = self.inner.terms.validate(claims, &issuer.terms, shown, at)?;
        issuer.verified();
        Ok(token)
    }
}
