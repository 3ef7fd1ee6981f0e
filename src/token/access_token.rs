//! The access token, once it was validated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use time::UtcDateTime;

use super::actor::{Actor, ActorSource, MayAct};
use super::claims::Claims;
use super::hierarchy::ScopeHierarchy;
use crate::names::{Audience, Scope};
use crate::printable::Printable;
use crate::profile::SubjectKind;
use crate::proof::{AcceptedProof, Confirmed};

/// An access token that has been validated: the signature is its issuer's, it is meant for this
/// resource, its times are right, and every known claim has its type.
///
/// There is no other way to one than [`UnverifiedToken::validate`] (a guard takes the same way).
/// What it allows here is asked with a [`Require`](crate::Require); that is **not** part of
/// validation. `Debug` shows whose token it is, never its claims.
#[derive(Clone)]
pub struct AccessToken {
    pub(super) claims: Arc<Claims>,
    pub(super) audience: Option<Audience>,
    pub(super) leeway: Duration,
    pub(super) hierarchy: Option<Arc<ScopeHierarchy>>,
    pub(super) client: ClientRole,
    pub(super) confirmed: Confirmed,
}

/// What the issuer's settings say of the token's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientRole {
    /// Software in its subject's hands.
    Plain,
    /// An agent, known from here: it is the actor where `act` names none.
    Agent(ActorSource),
    /// An agent that must name its actor in `act`, and did not; or one that cannot be named as the actor.
    AgentWithoutAct,
}

impl AccessToken {
    /// Who issued the token, `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.claims.issuer().unwrap_or_default()
    }

    /// Whom the authority belongs to, `sub` or what the issuer's [`Profile`](crate::profile::Profile) has in its place: a
    /// name in the namespace of [`issuer`](Self::issuer).
    #[must_use]
    pub fn subject(&self) -> &str {
        self.claims.subject().unwrap_or_default()
    }

    /// The software the token was issued to, `client_id`. Every token of RFC 9068 names it; by a
    /// [`Profile`](crate::profile::Profile) it may be in another claim, or missing.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.claims.client()
    }

    /// The token's own id, `jti`: with [`issuer`](Self::issuer) it names the token. The token's
    /// text does not: several texts can be one token. As with the client, a profile may let it be missing.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.claims.token_id()
    }

    /// The tenant, where the issuer's [`Profile`](crate::profile::Profile) says which claim names it.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.claims.tenant()
    }

    /// Our name that the token named: the one of `aud` that matched. `None` where the token names no audience
    /// and its client was on a list instead
    /// ([`client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)).
    #[must_use]
    pub fn audience(&self) -> Option<&Audience> {
        self.audience.as_ref()
    }

    /// All of `aud`.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.claims.audiences()
    }

    /// `exp`, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.claims.exp.unwrap_or(UtcDateTime::UNIX_EPOCH)
    }

    /// `iat`.
    #[must_use]
    pub fn issued_at(&self) -> UtcDateTime {
        self.claims.iat.unwrap_or(UtcDateTime::UNIX_EPOCH)
    }

    /// The scopes as the token has them, nothing expanded. Whether one is allowed is
    /// [`allows`](Self::allows).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.claims.scopes()
    }

    /// True where the token has this scope, or one that implies it by the
    /// [`ScopeHierarchy`] of the validation.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        let implied = |held: &str| {
            self.hierarchy.as_ref().is_some_and(|hierarchy| hierarchy.implies(held, scope))
        };
        self.scopes().any(|held| held == scope.as_str() || implied(held))
    }

    /// How well the subject authenticated, `acr`.
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.claims.optional(self.claims.acr)
    }

    /// By what means the subject authenticated, `amr` (RFC 8176). Empty where the token does not say.
    pub fn amr(&self) -> impl Iterator<Item = &str> {
        self.claims.list(self.claims.amr)
    }

    /// When the subject authenticated, `auth_time`.
    #[must_use]
    pub fn auth_time(&self) -> Option<UtcDateTime> {
        self.claims.auth_time
    }

    /// Who acts for the subject now: the only actor a decision may rest on. `None` where nobody is named.
    ///
    /// An `act` that names the subject and nobody else is no delegation (OAuth Actor Profile). Where `act`
    /// names no actor and the client is one of the issuer's
    /// [`agent_clients`](crate::Issuer::agent_clients), or the issuer's profile finds that it is an agent, the
    /// client is the actor.
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'_>> {
        self.claims.current_actor().or_else(|| match self.client {
            ClientRole::Agent(source) => {
                let subject = self.client_id()?;
                Some(Actor { issuer: self.issuer(), subject, source })
            }
            ClientRole::Plain | ClientRole::AgentWithoutAct => None,
        })
    }

    /// Who acted before, the latest first. **For the record only**: no decision may rest on them
    /// ([RFC 8693 section 4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)).
    pub fn prior_actors(&self) -> impl Iterator<Item = Actor<'_>> {
        self.claims.prior_actors()
    }

    /// Who may become the subject's actor, `may_act`. No evidence that anybody acts.
    #[must_use]
    pub fn may_act(&self) -> Option<MayAct<'_>> {
        let link = self.claims.may_act?;
        let Actor { issuer, subject, .. } = self.claims.party(link);
        Some(MayAct { issuer, subject })
    }

    /// True where the subject is a person, as far as the token shows it. By RFC 9068 that is where `sub` is not
    /// `client_id` ([section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)), which is **no proof**:
    /// an issuer may give its service accounts other names than their clients have. The issuer's
    /// [`Profile`](crate::profile::Profile) says how it marks those.
    #[must_use]
    pub fn is_person(&self) -> bool {
        self.claims.subject_kind == SubjectKind::Person
    }

    /// Any other claim, by its name. Absent is `Ok(None)`; another type than `T` is an error. A text may have
    /// escapes: ask for a `String` or a `Cow<str>`, not for a `&str`.
    ///
    /// # Errors
    ///
    /// [`WrongClaimType`] where the claim is there and is no `T`.
    pub fn claim<'a, T: Deserialize<'a>>(
        &'a self,
        name: &str,
    ) -> Result<Option<T>, WrongClaimType> {
        match self.claims.raw(name) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw)
                .map(Some)
                .map_err(|_| WrongClaimType { claim: name.to_owned() }),
        }
    }

    /// The DPoP proof that came with the token and was accepted, where it is bound to a key.
    #[must_use]
    pub fn proof(&self) -> Option<&AcceptedProof> {
        self.confirmed.proof.as_ref()
    }

    /// True where the token is bound to a key or a certificate and the sender showed that it is theirs.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.confirmed.is_constrained()
    }

    /// How the sender showed that the token is theirs, for the record.
    pub(crate) fn possession(&self) -> &'static str {
        self.confirmed.as_str()
    }

    /// The tolerance between clocks that the token was validated with.
    pub(crate) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// True where the client is an agent that must name its actor in `act` and did not.
    pub(crate) fn lacks_act(&self) -> bool {
        self.client == ClientRole::AgentWithoutAct
    }

    pub(crate) fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("issuer", &Printable::from(self.issuer()))
            .field("jti", &self.jti().map(Printable::from))
            .finish_non_exhaustive()
    }
}

/// A claim is there and has another type than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the claim `{claim}` has another type")]
pub struct WrongClaimType {
    claim: String,
}

impl WrongClaimType {
    /// The claim's name.
    #[must_use]
    pub fn claim(&self) -> &str {
        &self.claim
    }
}
