//! Phase D: what the claims of a token whose signature stands must say.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::access_token::ClientRole;
use super::invalid::start;
use super::{AccessToken, ActorSource, Claims, InvalidToken, IssuerTerms, ScopeHierarchy, Terms};
use crate::dates::{later, since};
use crate::jose::{Algorithm, Backend};
use crate::names::Audience;
use crate::profile::{Profile, SubjectKind};
use crate::proof::{Confirmation, Confirmed, Dpop, Possession};
use crate::reason::Reason;

/// What a token must be, for the plain functions: whose, for whom, signed how, and how long-lived.
/// A [`Guard`](crate::Guard) holds the same settings and builds this itself.
///
/// The defaults are those of a strict RFC 9068 resource server ([`Profile::rfc9068`]): `typ` `at+jwt`, all
/// seven claims, the five algorithms of [`Algorithm::DEFAULT`], 30 seconds of leeway, 24 hours of life, 2 hours
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

    /// How the issuer writes its tokens, in place of [`Profile::rfc9068`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.issuer.profile = profile;
        self
    }

    /// The algorithms that are allowed, in place of [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.issuer.algorithms = algorithms.into_iter().collect();
        self
    }

    /// What verifies the signatures, in place of the default.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.issuer.backend = backend;
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

    /// Takes DPoP proofs. Without this, a token that is bound to a proof key is refused.
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.terms.dpop = Some(dpop);
        self
    }

    /// Refuse a token that is not bound to its sender by a proof key or a certificate
    /// (`sender_constraint_required`).
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.terms.sender_constrained = true;
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

impl Terms {
    /// Steps 22 to 30, then 60, 61, 31 to 51 and 58, in that order.
    pub(crate) fn validate(
        &self,
        claims: Arc<Claims>,
        issuer: &IssuerTerms,
        shown: (&str, &Possession<'_>),
        now: UtcDateTime,
    ) -> Result<AccessToken, InvalidToken> {
        let checked = self.check(&claims, issuer, now).and_then(|audience| {
            let (token, possession) = shown;
            let confirmed = self.confirm(&claims, possession, token, now)?;
            check_tenant(&claims, issuer)?;
            Ok((audience.cloned(), confirmed))
        });
        let (audience, confirmed) = match checked {
            Ok(checked) => checked,
            Err(invalid) => return Err(invalid.signed(claims)),
        };
        let mut token = AccessToken {
            claims,
            audience,
            leeway: self.leeway,
            hierarchy: self.hierarchy.clone(),
            client: ClientRole::Plain,
            confirmed,
        };
        // A client that speaks for itself acts for nobody else.
        let claims = &token.claims;
        let named = claims.is_acted() && !claims.impersonated;
        if named || claims.subject_kind == SubjectKind::Client {
            return Ok(token);
        }
        let source = match claims.client_is_agent {
            true => Some(ActorSource::Profile),
            false => issuer.agents.include(&token).then_some(ActorSource::Client),
        };
        if let Some(source) = source {
            // With somebody else in the subject's place there are two, and the token names one.
            let named = token.client_id().is_some() && token.actor().is_none();
            token.client = match issuer.agents.must_act || !named {
                true => ClientRole::AgentWithoutAct,
                false => ClientRole::Agent(source),
            };
            // 29 again: only now does a rule say that somebody acts.
            if let Err(reason) = self.check_lifetime(token.issued_at(), token.expires_at(), true) {
                return Err(InvalidToken::from(reason).signed(token.claims));
            }
        }
        Ok(token)
    }

    /// The name of ours that the token named; none where a list of clients stands in its place.
    fn check(
        &self,
        claims: &Claims,
        issuer: &IssuerTerms,
        now: UtcDateTime,
    ) -> Result<Option<&Audience>, InvalidToken> {
        // 22, 23, 70, 24: RFC 7519 section 4, rfc8725bis section 3.12
        let late = match &claims.flaw {
            Some(flaw) if flaw.reason == Reason::ActorMalformed => Some(flaw),
            Some(flaw) => {
                let invalid = InvalidToken::from(flaw.reason);
                return Err(match &*flaw.claim {
                    "" => invalid,
                    claim => invalid.with_detail(format!("`{claim}`")),
                });
            }
            None => None,
        };
        // 25: RFC 9068 section 2.2
        let (issued_at, expires_at) = check_required(claims, &issuer.profile)?;
        // 26: RFC 9068 section 4, step 6; RFC 7519 section 4.1.4
        self.check_expiry(expires_at, now)?;
        // 27: RFC 7519 section 4.1.5
        if claims.nbf.is_some_and(|not_before| since(now, not_before) > self.leeway) {
            return Err(Reason::TokenNotYetValid.into());
        }
        // 28
        if since(now, issued_at) > self.leeway {
            return Err(Reason::IssuedInFuture.into());
        }
        // 29
        let agent = claims.client_is_agent || issuer.agents.include_client(claims.client());
        let itself = claims.subject_kind == SubjectKind::Client;
        let delegated = claims.is_acted() || (agent && !itself);
        self.check_lifetime(issued_at, expires_at, delegated)?;
        self.check_age(issued_at, now)?;
        // 30
        let audience = self.check_audience(claims, &issuer.profile)?;
        // 60, 61: RFC 8693 section 4.1
        if let Some(flaw) = late {
            return Err(flaw.reason.into());
        }
        if claims.links().len() > self.max_actors {
            let detail = format!("{} actors, {} allowed", claims.links().len(), self.max_actors);
            return Err(InvalidToken::from(Reason::ActorChainTooDeep).with_detail(detail));
        }
        Ok(audience)
    }

    /// Checks again, at a later time, that a validated token has not ended (26 and the age of 29).
    pub(crate) fn check_end(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Reason> {
        self.check_expiry(token.expires_at(), now)?;
        self.check_age(token.issued_at(), now)
    }

    /// When a validated token ends, without leeway: when it expires, or before if it is too old then.
    pub(crate) fn end_of(&self, token: &AccessToken) -> UtcDateTime {
        let too_old = self.max_token_age.map(|age| later(token.issued_at(), age));
        too_old.map_or(token.expires_at(), |too_old| too_old.min(token.expires_at()))
    }

    fn check_expiry(&self, expires_at: UtcDateTime, now: UtcDateTime) -> Result<(), Reason> {
        if since(expires_at, now) >= self.leeway { Err(Reason::TokenExpired) } else { Ok(()) }
    }

    fn check_age(&self, issued_at: UtcDateTime, now: UtcDateTime) -> Result<(), Reason> {
        let too_old = |age: Duration| since(issued_at, now) > age.saturating_add(self.leeway);
        if self.max_token_age.is_some_and(too_old) {
            return Err(Reason::TokenLifetimeExceeded);
        }
        Ok(())
    }

    /// Phase E: the sender holds what the token is bound to, all of it that is understood.
    fn confirm(
        &self,
        claims: &Claims,
        possession: &Possession<'_>,
        token: &str,
        now: UtcDateTime,
    ) -> Result<Confirmed, Reason> {
        let (jkt, x5t) = match &claims.confirmation {
            // 31: RFC 7800 section 3. What is not understood alone is not ignored.
            Some(Confirmation { jkt: None, x5t: None }) => {
                return Err(Reason::ConfirmationUnsupported);
            }
            Some(Confirmation { jkt, x5t }) => (claims.optional(*jkt), claims.optional(*x5t)),
            // 32: RFC 9700 section 2.2.1
            None if self.sender_constrained => return Err(Reason::SenderConstraintRequired),
            None => (None, None),
        };
        let proof = match (jkt, &possession.dpop) {
            // 33: RFC 9449 section 7.2
            (Some(_), None) => return Err(Reason::BoundTokenAsBearer),
            // 34: RFC 9449 section 7.1
            (None, Some(_)) => return Err(Reason::DpopTokenUnbound),
            (None, None) => None,
            // 35 to 47
            (Some(jkt), Some(_)) => {
                let dpop = self.dpop.as_ref().ok_or(Reason::ConfirmationUnsupported)?;
                Some(dpop.check(possession, token, jkt, now)?)
            }
        };
        // 50 and 51: RFC 8705 section 3
        match (x5t, &possession.certificate) {
            (None, _) => Ok(Confirmed { proof, certificate: false }),
            (Some(_), None) => Err(Reason::ClientCertificateMissing),
            (Some(x5t), Some(shown)) if shown.has_thumbprint(x5t) => {
                Ok(Confirmed { proof, certificate: true })
            }
            (Some(_), Some(_)) => Err(Reason::ClientCertificateMismatch),
        }
    }

    /// RFC 9068 section 4, step 4.
    fn check_audience(
        &self,
        claims: &Claims,
        profile: &Profile,
    ) -> Result<Option<&Audience>, InvalidToken> {
        let mismatch =
            |detail: String| Err(InvalidToken::from(Reason::AudienceMismatch).with_detail(detail));
        let mut names = claims.audiences();
        if let (None, Some(listed)) = (names.next(), &profile.client_list_instead_of_audience) {
            return match claims.client() {
                Some(client) if listed.contains(client) => Ok(None),
                client => {
                    let client = start(client.unwrap_or_default());
                    mismatch(format!("no audience, and the client `{client}` is not listed"))
                }
            };
        }
        let ours = |ours: &&Audience| claims.audiences().any(|name| name == ours.as_str());
        match self.audiences.iter().find(ours) {
            Some(audience) if claims.aud.len() <= self.max_audiences => Ok(Some(audience)),
            Some(_) => mismatch(format!("meant for {} audiences", claims.aud.len())),
            None => {
                let found: Vec<_> = claims.audiences().take(3).map(start).collect();
                let found = found.join("`, `");
                let expected = self.audiences.first().map(Audience::as_str).unwrap_or_default();
                mismatch(format!("meant for `{found}`, not for `{expected}`"))
            }
        }
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
        if since(issued_at, expires_at) > most {
            return Err(Reason::TokenLifetimeExceeded);
        }
        Ok(())
    }
}

/// Step 25: when the token was issued and when it expires.
fn check_required(
    claims: &Claims,
    profile: &Profile,
) -> Result<(UtcDateTime, UtcDateTime), InvalidToken> {
    let missing = |claim: &str| {
        InvalidToken::from(Reason::RequiredClaimMissing).with_detail(format!("no `{claim}`"))
    };
    let present = |text: Option<&str>, claim: &str| match text {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(missing(claim)),
    };
    present(claims.issuer(), "iss")?;
    present(claims.subject(), &profile.subject)?;
    if profile.client_list_instead_of_audience.is_none() && claims.audiences().all(str::is_empty) {
        return Err(missing("aud"));
    }
    let expires_at = claims.exp.ok_or_else(|| missing("exp"))?;
    let issued_at = claims.iat.ok_or_else(|| missing("iat"))?;
    if claims.client().is_some() || !profile.client_optional {
        present(claims.client(), profile.clients.first().map_or("client_id", |name| &**name))?;
    }
    if claims.token_id().is_some() || !profile.token_id_optional {
        present(claims.token_id(), &profile.token_id)?;
    }
    Ok((issued_at, expires_at))
}

/// Step 58: a token of one tenant is nothing under the issuer of another.
fn check_tenant(claims: &Claims, issuer: &IssuerTerms) -> Result<(), InvalidToken> {
    if !issuer.profile.tenant_in_issuer {
        return Ok(());
    }
    let said = claims.tenant();
    let mismatch = |issuer: &str| {
        let said = start(said.unwrap_or_default());
        let detail = format!("the token is of the tenant `{said}`, its issuer is `{issuer}`");
        InvalidToken::from(Reason::TenantMismatch).with_detail(detail)
    };
    // Of a template it is known; else it is the first segment of the path.
    let named = issuer.tenant.as_deref().or_else(|| issuer.name.split('/').nth(3));
    let same = said == named && said.is_some_and(|tenant| !tenant.is_empty());
    if same { Ok(()) } else { Err(mismatch(&issuer.name)) }
}
