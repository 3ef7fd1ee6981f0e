//! The settings that tokens are held to: those of the resource, and those of one issuer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::access_token::AccessToken;
use super::hierarchy::ScopeHierarchy;
use super::limits::TokenLimits;
use crate::jose::{Algorithm, AlgorithmSet, Backend};
use crate::names::Audience;
use crate::profile::Profile;
use crate::proof::Dpop;

/// What this resource asks of every token.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Our names, the first being the one we publish.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) limits: TokenLimits,
    pub(crate) hierarchy: Option<Arc<ScopeHierarchy>>,
    pub(crate) dpop: Option<Dpop>,
    /// A token must be bound to its sender.
    pub(crate) sender_constrained: bool,
}

/// What is particular to one issuer's tokens.
#[derive(Debug, Clone)]
pub(crate) struct IssuerTerms {
    pub(crate) name: String,
    /// The tenant that the name was made for.
    pub(crate) tenant: Option<String>,
    /// Its keys are those of other issuers too: a key must say whose it is.
    pub(crate) keys_are_shared: bool,
    pub(crate) profile: Profile,
    pub(crate) algorithms: AlgorithmSet,
    /// What verifies the signatures.
    pub(crate) backend: Backend,
    pub(crate) agents: Agents,
}

/// Says of a token whether its client is an agent.
type Rule = dyn Fn(&AccessToken) -> bool + Send + Sync;

/// Which clients are agents: those of a list, and those that a rule names.
#[derive(Clone, Default)]
pub(crate) struct Agents {
    listed: BTreeSet<String>,
    rules: Vec<Arc<Rule>>,
    /// They must be named in `act`. Where nobody says which clients are agents, all are.
    pub(super) must_act: bool,
}

impl Agents {
    pub(crate) fn list(&mut self, clients: impl IntoIterator<Item = impl Into<String>>) {
        self.listed.extend(clients.into_iter().map(Into::into));
    }

    pub(crate) fn rule(&mut self, rule: impl Fn(&AccessToken) -> bool + Send + Sync + 'static) {
        self.rules.push(Arc::new(rule));
    }

    pub(crate) fn must_act(&mut self) {
        self.must_act = true;
    }

    /// What is known without a rule: those need the whole token.
    pub(super) fn include_client(&self, client: Option<&str>) -> bool {
        let everybody = self.must_act && self.listed.is_empty() && self.rules.is_empty();
        everybody || client.is_some_and(|client| self.listed.contains(client))
    }

    pub(super) fn include(&self, token: &AccessToken) -> bool {
        self.include_client(token.client_id()) || self.rules.iter().any(|rule| rule(token))
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents")
            .field("listed", &self.listed)
            .field("rules", &self.rules.len())
            .field("must_act", &self.must_act)
            .finish()
    }
}

impl IssuerTerms {
    pub(crate) fn new(name: String) -> Self {
        IssuerTerms {
            name,
            tenant: None,
            keys_are_shared: false,
            profile: Profile::rfc9068(),
            algorithms: Algorithm::DEFAULT.into_iter().collect(),
            backend: Backend::default(),
            agents: Agents::default(),
        }
    }
}

impl Terms {
    pub(crate) fn new(audience: Audience) -> Self {
        Terms {
            audiences: vec![audience],
            limits: TokenLimits::default(),
            hierarchy: None,
            dpop: None,
            sender_constrained: false,
        }
    }
}
