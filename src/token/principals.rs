//! Who the claims speak of: issuer, subject, client, actors.

use super::actor::{Actor, ActorSource};
use super::claims::{Claims, Link};

/// What the record and the token both read of claims.
impl Claims {
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.optional(self.iss)
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        self.optional(self.subject)
    }

    pub(crate) fn client(&self) -> Option<&str> {
        self.optional(self.client)
    }

    pub(crate) fn token_id(&self) -> Option<&str> {
        self.optional(self.token_id)
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.optional(self.tenant)
    }

    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        self.list(self.aud)
    }

    pub(super) fn party(&self, link: Link) -> Actor<'_> {
        Actor {
            issuer: self.optional(link.iss).or(self.issuer()).unwrap_or_default(),
            subject: self.optional(link.sub).unwrap_or_default(),
            source: match self.impersonated {
                true => ActorSource::Impersonator,
                false => ActorSource::Act,
            },
        }
    }

    /// `act` names the subject and nobody else.
    pub(super) fn is_own_actor(&self) -> bool {
        let mut links = self.links();
        let (Some(only), None) = (links.next(), links.next()) else { return false };
        let actor = self.party(only);
        Some(actor.issuer) == self.issuer() && Some(actor.subject) == self.subject()
    }

    /// The links of `act`, or none where it names the subject and nobody else.
    pub(super) fn delegation(&self) -> impl Iterator<Item = Actor<'_>> {
        self.links().filter(|_| !self.acts_itself).map(|link| self.party(link))
    }

    /// `act` names somebody else than the subject.
    pub(super) fn is_acted(&self) -> bool {
        self.links().len() > 0 && !self.acts_itself
    }

    pub(crate) fn current_actor(&self) -> Option<Actor<'_>> {
        self.delegation().next()
    }

    pub(crate) fn prior_actors(&self) -> impl Iterator<Item = Actor<'_>> {
        self.delegation().skip(1)
    }
}
