//! The settings that tokens are held to: those of this resource, and those of one issuer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::access_token::AccessToken;
use super::limits::TokenLimits;
use super::vocabulary::Vocabulary;
use crate::detail::DetailType;
use crate::jose::{Algorithm, AlgorithmSet, Backend};
use crate::names::Audience;
use crate::per_thread::PerThread;
use crate::profile::Profile;
use crate::proof::Dpop;

/// What this resource asks of every token.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Validated tokens share it.
    pub(crate) vocabulary: PerThread<Vocabulary>,
    pub(crate) limits: TokenLimits,
    pub(crate) dpop: Option<Dpop>,
    /// A token must be bound to its sender.
    pub(crate) sender_constrained: bool,
}

/// What is particular to the tokens of one issuer.
#[derive(Debug, Clone)]
pub(crate) struct IssuerTerms {
    pub(crate) name: String,
    /// The tenant that the name was made for.
    pub(crate) tenant: Option<String>,
    /// Other issuers have the same keys, so a key must name its issuer.
    pub(crate) keys_are_shared: bool,
    pub(crate) profile: Profile,
    pub(crate) algorithms: AlgorithmSet,
    /// What verifies the signatures.
    pub(crate) backend: Backend,
    pub(crate) agents: Agents,
}

/// Decides for a token whether its client is an agent.
type AgentRule = dyn Fn(&AccessToken) -> bool + Send + Sync;

/// Which clients are agents: those on a list, and those that a rule finds.
#[derive(Clone, Default)]
pub(crate) struct Agents {
    listed: BTreeSet<String>,
    rules: Vec<Arc<AgentRule>>,
    /// Agents must be named in `act`. If nothing says which clients are agents, all of them are.
    pub(super) must_act: bool,
}

impl Agents {
    pub(crate) fn add_clients(&mut self, clients: impl IntoIterator<Item = impl Into<String>>) {
        self.listed.extend(clients.into_iter().map(Into::into));
    }

    pub(crate) fn add_rule(&mut self, rule: impl Fn(&AccessToken) -> bool + Send + Sync + 'static) {
        self.rules.push(Arc::new(rule));
    }

    pub(crate) fn require_act(&mut self) {
        self.must_act = true;
    }

    /// True if the client is known to be an agent without asking a rule, which needs the whole token.
    pub(super) fn include_client(&self, client: Option<&str>) -> bool {
        let all_clients = self.must_act && self.listed.is_empty() && self.rules.is_empty();
        all_clients || client.is_some_and(|client| self.listed.contains(client))
    }

    pub(super) fn include_client_of(&self, token: &AccessToken) -> bool {
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
            vocabulary: PerThread::new(Vocabulary {
                audiences: vec![audience],
                hierarchy: None,
                detail_types: None,
            }),
            limits: TokenLimits::default(),
            dpop: None,
            sender_constrained: false,
        }
    }

    /// Adds a type of authorization details, and panics if there is one of the same name.
    pub(crate) fn add_detail_type(&mut self, added: DetailType) {
        self.vocabulary.make_mut().detail_types.get_or_insert_default().add(added);
    }
}
