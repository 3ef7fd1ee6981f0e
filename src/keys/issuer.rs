//! An issuer: its name and its keys, held together.

use std::sync::Arc;

use super::KeySource;
use crate::jose::Algorithm;
use crate::profile::Profile;
use crate::token::{AccessToken, IssuerTerms};

/// Who issues tokens: a name and its keys, which never leave it. Clones share the keys.
///
/// ```
/// use unconfused::{Algorithm, Audience, Guard, Issuer, KeySet};
///
/// let keys = KeySet::from_json(r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
///     "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
///     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#)?;
/// let issuer = Issuer::new("https://login.example", keys).algorithms([Algorithm::Es256]);
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer);
/// # Ok::<(), unconfused::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) terms: IssuerTerms,
    pub(crate) keys: Arc<dyn KeySource>,
}

impl Issuer {
    /// The issuer whose tokens have this `iss`, compared code point by code point, with a trailing slash
    /// where it has one; and its keys.
    pub fn new(name: impl Into<String>, keys: impl KeySource) -> Self {
        Issuer { terms: IssuerTerms::new(name.into()), keys: Arc::new(keys) }
    }

    /// The name, `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.terms.name
    }

    /// How this issuer writes its tokens, in place of [`Profile::rfc9068`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.terms.profile = profile;
        self
    }

    /// The algorithms that are allowed for this issuer, in place of [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.terms.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Clients that are agents; called again, more of them. Some agents are in no `act`: they logged their
    /// user in and are only the client of the token. For these the client counts as the current actor, with
    /// [`ActorSource::Client`](crate::ActorSource::Client), where `act` names no actor. A client that speaks
    /// for itself (`sub` is `client_id`) acts for nobody else, and is no actor.
    #[must_use]
    pub fn agent_clients(mut self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.terms.agents.list(clients);
        self
    }

    /// The same by a rule, beside the list. The rule sees a validated token: what follows from its word, a
    /// shorter life for instance, is checked after everything else.
    #[must_use]
    pub fn agent_clients_by(
        mut self,
        is_agent: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.terms.agents.rule(is_agent);
        self
    }

    /// Agents must be named in `act`: a token that names no actor, and whose client is one of the
    /// [`agent_clients`](Self::agent_clients), is a human's own token in an agent's hand, and every
    /// requirement refuses it (`actor_required`, where nothing before that does). Where no agent clients are
    /// named, every client is one. A client that speaks for itself needs no `act`.
    #[must_use]
    pub fn agents_must_act(mut self) -> Self {
        self.terms.agents.must_act();
        self
    }
}
