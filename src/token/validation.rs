//! The settings of the plain functions.

use super::access_token::AccessToken;
use super::hierarchy::ScopeHierarchy;
use super::limits::TokenLimits;
use super::terms::{IssuerTerms, Terms};
use crate::detail::DetailType;
use crate::jose::{Algorithm, Backend};
use crate::names::Audience;
use crate::profile::Profile;
use crate::proof::Dpop;

/// What a token must be to pass [`UnverifiedToken::validate`](crate::token::UnverifiedToken::validate): meant for whom,
/// issued by whom, signed with which algorithm, and within which limits.
///
/// A [`Guard`](crate::Guard) needs none: it and its issuers have the same settings. The defaults are those of a strict
/// RFC 9068 resource server: the profile [`Profile::rfc9068`], the algorithms [`Algorithm::DEFAULT`], the limits
/// [`TokenLimits::default`], no DPoP proofs, and no scope that implies another.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use time::UtcDateTime;
/// use unconfused::token::{UnverifiedToken, Validation};
/// use unconfused::{Audience, Reason};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// # let login = TestIssuer::new("https://login.example");
/// # let raw = login.token(&ORDERS).sign();
/// # let keys = login.keys();
/// let validation = Validation::new(ORDERS, "https://login.example");
/// let now = UtcDateTime::now();
/// assert!(UnverifiedToken::parse(&raw)?.validate(&validation, &keys, now).is_ok());
///
/// let bound_only = validation.sender_constrained();
/// let refused = UnverifiedToken::parse(&raw)?.validate(&bound_only, &keys, now).unwrap_err();
/// assert_eq!(refused.reason(), Reason::SenderConstraintRequired);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Validation {
    pub(super) terms: Terms,
    pub(super) issuer: IssuerTerms,
}

impl Validation {
    /// Accepts tokens for `audience` that `issuer` issued. Both are compared code point by code point.
    pub fn new(audience: impl Into<Audience>, issuer: impl Into<String>) -> Self {
        Validation { terms: Terms::new(audience.into()), issuer: IssuerTerms::new(issuer.into()) }
    }

    /// Adds another name of this resource that tokens may be meant for.
    #[must_use]
    pub fn also_accept(mut self, audience: impl Into<Audience>) -> Self {
        self.terms.vocabulary.make_mut().audiences.push(audience.into());
        self
    }

    /// Sets how the issuer writes its tokens. Defaults to [`Profile::rfc9068`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.issuer.profile = profile;
        self
    }

    /// Sets the algorithms that are allowed. Defaults to [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.issuer.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets what verifies the signatures. Defaults to [`Backend::default`].
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.issuer.backend = backend;
        self
    }

    /// Sets the limits on tokens: leeway, lifetimes, and sizes. Defaults to [`TokenLimits::default`].
    ///
    /// [`TokenLimits::max_bytes`] has no effect here: pass it to
    /// [`UnverifiedToken::parse_with`](crate::token::UnverifiedToken::parse_with).
    #[must_use]
    pub fn limits(mut self, limits: TokenLimits) -> Self {
        self.terms.limits = limits;
        self
    }

    /// Sets which scopes imply others. [`AccessToken::allows`] and every [`Require`](crate::Require) then agree on it.
    #[must_use]
    pub fn scope_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.terms.vocabulary.make_mut().hierarchy = Some(hierarchy);
        self
    }

    /// Adds a type of authorization details, by which [`Require::detail`](crate::Require::detail) compares what is
    /// asked with what was granted.
    ///
    /// # Panics
    ///
    /// Panics if a type of the same name was added before.
    #[must_use]
    pub fn detail_type(mut self, detail_type: DetailType) -> Self {
        self.terms.add_detail_type(detail_type);
        self
    }

    /// Accepts DPoP proofs. Without this, a token that is bound to a proof key is refused.
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.terms.dpop = Some(dpop);
        self
    }

    /// Refuses tokens that are not bound to their sender by a proof key or a certificate
    /// (`sender_constraint_required`).
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.terms.sender_constrained = true;
        self
    }

    /// Adds clients that are agents; see [`Issuer::agent_clients`](crate::Issuer::agent_clients).
    #[must_use]
    pub fn agent_clients(mut self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.issuer.agents.add_clients(clients);
        self
    }

    /// Adds a rule that finds which clients are agents; see
    /// [`Issuer::agent_clients_if`](crate::Issuer::agent_clients_if).
    #[must_use]
    pub fn agent_clients_if(
        mut self,
        is_agent: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.issuer.agents.add_rule(is_agent);
        self
    }

    /// Requires that agents are named in `act`; see
    /// [`Issuer::agents_must_act`](crate::Issuer::agents_must_act).
    ///
    /// Validation accepts a token that does not name its agent. Every [`Require`](crate::Require) refuses it.
    #[must_use]
    pub fn agents_must_act(mut self) -> Self {
        self.issuer.agents.require_act();
        self
    }
}
