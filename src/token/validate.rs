//! Phase D: what the claims of a token whose signature stands must say.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::invalid::start;
use super::{AccessToken, Claims, ClientRole, InvalidToken, ScopeHierarchy};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::names::Audience;
use crate::reason::Reason;

/// The most values of `aud`.
const MAX_AUDIENCES: usize = 64;

/// What a token must be, for the plain functions: whose, for whom, signed how, and how long-lived.
/// A [`Guard`](crate::Guard) holds the same settings and builds this itself.
///
/// The defaults are those of a strict RFC 9068 resource server: `typ` `at+jwt`, all seven claims,
/// the five algorithms of [`Algorithm::DEFAULT`], 30 seconds of leeway, 24 hours of life, 2 hours
/// where somebody acts for the subject, 8 actors, 64 audiences.
#[derive(Debug, Clone)]
pub struct Validation {
    pub(super) terms: Terms,
    pub(super) issuer: IssuerTerms,
}

impl Validation {
    /// The most that [`leeway`](Self::leeway) takes.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

    /// Tokens for `audience`, issued by `issuer`: both compared code point by code point.
    pub fn new(audience: impl Into<Audience>, issuer: impl Into<String>) -> Self {
        Validation { terms: Terms::new(audience.into()), issuer: IssuerTerms::new(issuer.into()) }
    }

    /// Another name of this resource that tokens may be meant for.
    #[must_use]
    pub fn also_accept(mut self, audience: impl Into<Audience>) -> Self {
        self.terms.audiences.push(audience.into());
        self
    }

    /// The algorithms that are allowed, in place of [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.issuer.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The tolerance between the clocks, in place of 30 seconds.
    ///
    /// # Panics
    ///
    /// Over [`MAX_LEEWAY`](Self::MAX_LEEWAY), 60 seconds: that is no clock error, that is a longer life.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.terms.set_leeway(leeway);
        self
    }

    /// The longest life of a token, `exp - iat`, in place of 24 hours.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.terms.max_lifetime = lifetime;
        self
    }

    /// The longest life of a token with which somebody acts for the subject, in place of 2 hours.
    /// The shorter of this and [`max_lifetime`](Self::max_lifetime) holds.
    #[must_use]
    pub fn max_delegated_lifetime(mut self, lifetime: Duration) -> Self {
        self.terms.max_delegated_lifetime = lifetime;
        self
    }

    /// The greatest age of a token, `now - iat`, leeway added. Without this, only `exp` ends it.
    #[must_use]
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.terms.max_token_age = Some(age);
        self
    }

    /// Refuse a token that is meant for more than one audience: its scopes are ambiguous
    /// ([RFC 9068 section 5](https://www.rfc-editor.org/rfc/rfc9068#section-5)).
    #[must_use]
    pub fn single_audience(mut self) -> Self {
        self.terms.max_audiences = 1;
        self
    }

    /// How many actors `act` may name, the current one included, in place of 8. Nesting of more than 31
    /// is refused whatever this says.
    #[must_use]
    pub fn max_actors(mut self, actors: usize) -> Self {
        self.terms.max_actors = actors;
        self
    }

    /// Scopes that imply others. Expanded here, so that every check of the token agrees.
    #[must_use]
    pub fn scope_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.terms.hierarchy = Some(Arc::new(hierarchy));
        self
    }

    /// Clients that are agents; see [`Issuer::agent_clients`](crate::Issuer::agent_clients).
    #[must_use]
    pub fn agent_clients(mut self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.issuer.agents.list(clients);
        self
    }

    /// The same by a rule; see [`Issuer::agent_clients_by`](crate::Issuer::agent_clients_by).
    #[must_use]
    pub fn agent_clients_by(
        mut self,
        is_agent: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.issuer.agents.rule(is_agent);
        self
    }

    /// Agents must be named in `act`; see [`Issuer::agents_must_act`](crate::Issuer::agents_must_act). It is a
    /// [`Require`](crate::Require) that refuses such a token, any of them; validation does not.
    #[must_use]
    pub fn agents_must_act(mut self) -> Self {
        self.issuer.agents.must_act();
        self
    }
}

/// What this resource asks of every token.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Our names, the first being the one we publish.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) max_lifetime: Duration,
    pub(crate) max_delegated_lifetime: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) max_audiences: usize,
    pub(crate) max_actors: usize,
    pub(crate) hierarchy: Option<Arc<ScopeHierarchy>>,
    leeway: Duration,
}

/// What is particular to one issuer's tokens.
#[derive(Debug, Clone)]
pub(crate) struct IssuerTerms {
    pub(crate) name: String,
    pub(crate) algorithms: AlgorithmSet,
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
    must_act: bool,
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
    fn include_client(&self, client: Option<&str>) -> bool {
        let everybody = self.must_act && self.listed.is_empty() && self.rules.is_empty();
        client.is_some_and(|client| everybody || self.listed.contains(client))
    }

    fn include(&self, token: &AccessToken) -> bool {
        self.include_client(Some(token.client_id())) || self.rules.iter().any(|rule| rule(token))
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
            algorithms: Algorithm::DEFAULT.into_iter().collect(),
            agents: Agents::default(),
        }
    }
}

impl Terms {
    pub(crate) fn new(audience: Audience) -> Self {
        const HOUR: u64 = 3600;
        Terms {
            audiences: vec![audience],
            max_lifetime: Duration::from_secs(24 * HOUR),
            max_delegated_lifetime: Duration::from_secs(2 * HOUR),
            max_token_age: None,
            max_audiences: MAX_AUDIENCES,
            max_actors: 8,
            hierarchy: None,
            leeway: Duration::from_secs(30),
        }
    }

    pub(crate) fn set_leeway(&mut self, leeway: Duration) {
        assert!(
            leeway <= Validation::MAX_LEEWAY,
            "the leeway is at most 60 seconds, not {leeway:?}"
        );
        self.leeway = leeway;
    }

    /// Steps 22 to 30, then 60, 61 and 31, in that order.
    pub(super) fn validate(
        &self,
        claims: Claims,
        issuer: &IssuerTerms,
        now: UtcDateTime,
    ) -> Result<AccessToken, InvalidToken> {
        let audience = match self.check(&claims, issuer, now) {
            Ok(audience) => audience.clone(),
            Err(invalid) => return Err(invalid.signed(claims)),
        };
        let mut token = AccessToken {
            claims,
            audience,
            leeway: self.leeway,
            hierarchy: self.hierarchy.clone(),
            client: ClientRole::Plain,
        };
        // A client that speaks for itself acts for nobody else.
        let acts = token.claims.current_actor().is_some() || !token.is_person();
        if !acts && issuer.agents.include(&token) {
            token.client = match issuer.agents.must_act {
                true => ClientRole::AgentWithoutAct,
                false => ClientRole::Agent,
            };
            // 29 again: only now does a rule say that somebody acts.
            if let Err(reason) = self.check_lifetime(token.issued_at(), token.expires_at(), true) {
                return Err(InvalidToken::from(reason).signed(token.claims));
            }
        }
        Ok(token)
    }

    fn check(
        &self,
        claims: &Claims,
        issuer: &IssuerTerms,
        now: UtcDateTime,
    ) -> Result<&Audience, InvalidToken> {
        // 22, 23, 70: RFC 7519 section 4
        let late = match claims.flaw {
            Some(flaw) if flaw.reason == Reason::ActorMalformed => Some(flaw),
            Some(flaw) => {
                let invalid = InvalidToken::from(flaw.reason);
                return Err(match flaw.claim {
                    "" => invalid,
                    claim => invalid.with_detail(format!("`{claim}`")),
                });
            }
            None => None,
        };
        // 25: RFC 9068 section 2.2
        let missing = |claim: &'static str| {
            InvalidToken::from(Reason::RequiredClaimMissing).with_detail(format!("no `{claim}`"))
        };
        let present = |text: Option<&str>, claim| match text {
            Some(text) if !text.is_empty() => Ok(()),
            _ => Err(missing(claim)),
        };
        present(claims.issuer(), "iss")?;
        present(claims.subject(), "sub")?;
        let names = || claims.aud.iter().map(|audience| claims.text(audience));
        if names().all(str::is_empty) {
            return Err(missing("aud"));
        }
        let expires_at = claims.exp.ok_or_else(|| missing("exp"))?;
        let issued_at = claims.iat.ok_or_else(|| missing("iat"))?;
        present(claims.client_id(), "client_id")?;
        present(claims.jti(), "jti")?;
        // 26: RFC 9068 section 4, step 6; RFC 7519 section 4.1.4
        if now >= later(expires_at, self.leeway) {
            return Err(Reason::TokenExpired.into());
        }
        // 27: RFC 7519 section 4.1.5
        if claims.nbf.is_some_and(|not_before| later(now, self.leeway) < not_before) {
            return Err(Reason::TokenNotYetValid.into());
        }
        // 28
        if issued_at > later(now, self.leeway) {
            return Err(Reason::IssuedInFuture.into());
        }
        // 29
        let client = claims.client_id().filter(|client| Some(*client) != claims.subject());
        let delegated = claims.current_actor().is_some() || issuer.agents.include_client(client);
        self.check_lifetime(issued_at, expires_at, delegated)?;
        if self.max_token_age.is_some_and(|age| now > later(later(issued_at, age), self.leeway)) {
            return Err(Reason::TokenLifetimeExceeded.into());
        }
        // 30: RFC 9068 section 4, step 4
        let matched = self.audiences.iter().find(|ours| names().any(|name| name == ours.as_str()));
        let audience = match matched {
            Some(audience) if claims.aud.len() <= self.max_audiences => audience,
            Some(_) => {
                let detail = format!("meant for {} audiences", claims.aud.len());
                return Err(InvalidToken::from(Reason::AudienceMismatch).with_detail(detail));
            }
            None => {
                let found: Vec<_> = names().take(3).map(start).collect();
                let found = found.join("`, `");
                let expected = self.audiences.first().map(Audience::as_str).unwrap_or_default();
                let detail = format!("meant for `{found}`, not for `{expected}`");
                return Err(InvalidToken::from(Reason::AudienceMismatch).with_detail(detail));
            }
        };
        // 60, 61: RFC 8693 section 4.1
        if let Some(flaw) = late {
            return Err(flaw.reason.into());
        }
        if claims.act.len() > self.max_actors {
            let detail = format!("{} actors, {} allowed", claims.act.len(), self.max_actors);
            return Err(InvalidToken::from(Reason::ActorChainTooDeep).with_detail(detail));
        }
        // 31: RFC 7800 section 3. No confirmation method is understood yet, so none is ignored.
        if claims.confirmation {
            return Err(Reason::ConfirmationUnsupported.into());
        }
        Ok(audience)
    }

    fn check_lifetime(
        &self,
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        delegated: bool,
    ) -> Result<(), Reason> {
        let most = match delegated {
            true => self.max_lifetime.min(self.max_delegated_lifetime),
            false => self.max_lifetime,
        };
        if expires_at > later(issued_at, most) {
            return Err(Reason::TokenLifetimeExceeded);
        }
        Ok(())
    }
}

/// `time + by`, or the end of time.
pub(crate) fn later(time: UtcDateTime, by: Duration) -> UtcDateTime {
    time::Duration::try_from(by).map_or(UtcDateTime::MAX, |by| time.saturating_add(by))
}
