//! A token that comes again: what is asked of it once more. What is remembered is decided by the memory.

use std::ops::Deref;
use std::sync::Arc;

use time::UtcDateTime;

use super::Guard;
use super::steps::Refused;
use crate::credential::Credential;
use crate::jose::Digest;
use crate::keys::Issuer;
use crate::proof::Possession;
use crate::token::{AccessToken, Claims, Presented};

/// A token that is remembered, and its issuer.
pub(crate) struct Known<'g> {
    claims: Arc<Claims>,
    issuer: Trusted<'g>,
}

/// An issuer that is trusted now.
enum Trusted<'g> {
    Named(&'g Issuer),
    Tenant(Arc<Issuer>),
}

impl Deref for Trusted<'_> {
    type Target = Issuer;

    fn deref(&self) -> &Issuer {
        match self {
            Trusted::Named(issuer) => issuer,
            Trusted::Tenant(issuer) => issuer,
        }
    }
}

impl Guard {
    /// Where its token is remembered, if it is. `None` where nothing is.
    pub(crate) fn place(&self, credential: &Credential) -> Option<Digest> {
        self.inner.verified.place(credential.bytes())
    }

    /// The token as it is remembered, where all that it was verified by is as it was: the keys are asked for, and a tenant
    /// approved, as for any other.
    pub(crate) fn known(
        &self,
        place: Option<Digest>,
        credential: &Credential,
        at: UtcDateTime,
    ) -> Option<Known<'_>> {
        let memory = &self.inner.verified;
        let place = place?;
        let known = memory.get(place, credential.bytes(), at)?;
        let name = known.claims.issuer();
        let issuer = match &known.tenant {
            None => self.inner.issuers.get(name).map(|issuer| Trusted::Named(issuer)),
            Some(tenant) => {
                let now = self.issuer(name).filter(|now| Arc::ptr_eq(now, tenant));
                now.map(Trusted::Tenant)
            }
        };
        let issuer = issuer.filter(|issuer| issuer.is_current(known.keys, known.key_hint()));
        if issuer.is_none() {
            memory.forget(place);
        }
        Some(Known { issuer: issuer?, claims: known.claims })
    }

    /// Steps 22 to 51, and 58, of a token that is remembered.
    pub(super) fn validate_again(
        &self,
        known: Known<'_>,
        credential: &Credential,
        possession: &Possession<'_>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let Known { claims, issuer } = known;
        // The text counts only for a proof, which has its hash.
        let text = possession.shown.as_ref().map_or("", |_| credential.expose());
        let presented = Presented { token: text, possession };
        let token = self.inner.terms.validate(claims, &issuer.terms, presented, at)?;
        issuer.verified();
        Ok(token)
    }
}
