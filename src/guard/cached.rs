//! A token that was validated before: what is checked again. The token cache decides what it keeps.

use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use time::UtcDateTime;

use super::Guard;
use super::refused::Refused;
use crate::credential::Credential;
use crate::keys::Issuer;
use crate::proof::Possession;
use crate::token::{AccessToken, Claims, Presented};
use crate::token_cache::{CachedToken, Slot};

/// A token from the cache, and its issuer.
pub(crate) struct CacheHit<'g> {
    claims: Arc<Claims>,
    issuer: TrustedIssuer<'g>,
}

/// An issuer that the guard trusts now.
enum TrustedIssuer<'g> {
    Named(&'g Issuer),
    Tenant(Arc<Issuer>),
}

impl Deref for TrustedIssuer<'_> {
    type Target = Issuer;

    fn deref(&self) -> &Issuer {
        match self {
            TrustedIssuer::Named(issuer) => issuer,
            TrustedIssuer::Tenant(issuer) => issuer,
        }
    }
}

impl Guard {
    /// The slot of this token in the cache. `None` if nothing is cached.
    pub(crate) fn cache_slot(&self, credential: &Credential) -> Option<Slot> {
        self.inner.token_cache.slot(credential.bytes())
    }

    /// The token from the cache, if its issuer still has the keys that verified it.
    ///
    /// As for any other token, the issuer's keys are consulted and a tenant is approved.
    pub(crate) fn cached_token(
        &self,
        slot: Option<Slot>,
        credential: &Credential,
        at: UtcDateTime,
    ) -> Option<CacheHit<'_>> {
        let (cache, slot) = (&self.inner.token_cache, slot?);
        // If the copy of this thread is stale, the entry may be fresh: another thread may have verified the token anew.
        (0..2).find_map(|_| {
            let cached = cache.get(slot, credential.bytes(), at)?;
            let issuer = self.current_issuer(&cached, at);
            if issuer.is_none() {
                cache.remove(slot, &cached);
            }
            Some(CacheHit { issuer: issuer?, claims: cached.claims })
        })
    }

    /// The issuer of a cached token, if the guard still trusts it and it still has the same keys.
    fn current_issuer(&self, cached: &CachedToken, at: UtcDateTime) -> Option<TrustedIssuer<'_>> {
        let name = cached.claims.issuer();
        let issuer = match &cached.tenant {
            None => self.inner.issuers.get(name).map(|issuer| TrustedIssuer::Named(issuer)),
            Some(tenant) => {
                // While there is a `Weak`, no other issuer has the same address.
                let is_same = |issuer: &Arc<Issuer>| ptr::eq(Arc::as_ptr(issuer), tenant.as_ptr());
                self.issuer(name, at).filter(is_same).map(TrustedIssuer::Tenant)
            }
        };
        issuer.filter(|issuer| issuer.is_current(cached.keys, cached.key_hint()))
    }

    /// Validates a token from the cache: everything but its format and its signature.
    pub(super) fn validate_cached(
        &self,
        cached: CacheHit<'_>,
        credential: &Credential,
        possession: &Possession<'_>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let CacheHit { claims, issuer } = cached;
        // Only a proof needs the text of the token, since it contains its hash.
        let text = possession.dpop.as_ref().map_or("", |_| credential.expose());
        let presented = Presented { token: text, possession };
        let token = self.inner.terms.validate(claims, &issuer.terms, presented, at)?;
        issuer.mark_used();
        Ok(token)
    }
}
