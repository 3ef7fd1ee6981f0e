//! What the record says of one decision.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use time::UtcDateTime;

use crate::denial::Denial;
use crate::evidence::{DecisionId, Evidence, Operation};
use crate::names::Audience;
use crate::printable::Printable;
use crate::reason::{Reason, Remedy};
use crate::require::Require;
use crate::token::{Actor, ActorSource, Claims};

/// What part step-up had in a decision ([RFC 9470](https://www.rfc-editor.org/rfc/rfc9470)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepUp {
    /// The operation asks for none, or the request failed before or after it for another reason.
    None,
    /// The client was asked to have its subject authenticate again.
    Asked,
    /// The operation asks for it, and the token meets it.
    Met,
}

impl StepUp {
    /// Its name in the record: `none`, `asked` or `met`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StepUp::None => "none",
            StepUp::Asked => "asked",
            StepUp::Met => "met",
        }
    }
}

/// One decision: who asked for what, through whom, and what was answered.
///
/// "Allowed" is the guard's word, before the handler runs. Where a handler narrows or refuses, that is
/// another step of the same decision, and the last step is what counts.
///
/// Text from outside comes as [`Printable`]: shown, it cannot forge a line. Nothing here is from a token
/// whose signature did not stand, and the token's text is nowhere: `(issuer, jti)` names it.
/// `Display` writes all of it as one line of `name=value` pairs.
pub struct AuditEvent<'a> {
    pub(crate) at: UtcDateTime,
    pub(crate) decision: DecisionId,
    pub(crate) step: u32,
    pub(crate) operation: &'a Operation,
    pub(crate) requirement: &'a Require,
    pub(crate) query_token: bool,
    pub(crate) said: Said<'a>,
    pub(crate) denial: Option<&'a Denial>,
}

/// Whose claims the event may show.
#[derive(Clone, Copy)]
pub(crate) enum Said<'a> {
    /// Nobody's: no signature stood.
    Nothing,
    /// Those of a token whose signature stood and that was refused all the same.
    Signed(&'a Claims),
    /// Those of a validated token.
    Validated(&'a Evidence),
}

impl<'a> AuditEvent<'a> {
    /// When it was decided: the one moment of the request.
    #[must_use]
    pub fn at(&self) -> UtcDateTime {
        self.at
    }

    /// Names the decision: one a request.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// Tells the steps of a decision apart, where layers nest or a handler narrows; from 0.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    /// True where the request, or this step of it, was let pass.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.denial.is_none()
    }

    /// Why not: the operator's reason.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.denial.map(Denial::reason)
    }

    /// What else was lacking, where one challenge asks for all of it.
    #[must_use]
    pub fn also(&self) -> &'a [Reason] {
        self.denial.map(Denial::also).unwrap_or_default()
    }

    /// More about the reason, for the operator: which claim was missing, why keys are unavailable. Nothing
    /// where that would be from a token whose signature did not stand.
    #[must_use]
    pub fn detail(&self) -> Option<Printable<'a>> {
        let denial = self.denial?;
        let reason = denial.reason();
        let may_be_told = reason > Reason::SignatureInvalid || reason == Reason::KeysUnavailable;
        denial.detail().filter(|_| may_be_told).map(Printable::from)
    }

    /// The status of the answer; none where the handler answers.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.denial.map(Denial::status)
    }

    /// What was asked for.
    #[must_use]
    pub fn operation(&self) -> &'a Operation {
        self.operation
    }

    /// What it requires.
    #[must_use]
    pub fn requirement(&self) -> &'a Require {
        self.requirement
    }

    /// True where the query held an `access_token` too: it was ignored, and somebody should hear of it
    /// (OAuth 2.1 section 5.1).
    #[must_use]
    pub fn query_token(&self) -> bool {
        self.query_token
    }

    /// Who issued the token.
    #[must_use]
    pub fn issuer(&self) -> Option<Printable<'a>> {
        self.claims().map(Claims::issuer).map(Printable::from)
    }

    /// For whom.
    #[must_use]
    pub fn subject(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::subject).map(Printable::from)
    }

    /// Through which client.
    #[must_use]
    pub fn client(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::client).map(Printable::from)
    }

    /// With [`issuer`](Self::issuer), the name of the token.
    #[must_use]
    pub fn jti(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::token_id).map(Printable::from)
    }

    /// Who acted: the current actor's name.
    #[must_use]
    pub fn actor(&self) -> Option<Printable<'a>> {
        self.current_actor().map(|actor| actor.subject().into())
    }

    /// In whose namespace [`actor`](Self::actor) is a name.
    #[must_use]
    pub fn actor_issuer(&self) -> Option<Printable<'a>> {
        self.current_actor().map(|actor| actor.issuer().into())
    }

    /// Where the actor was found.
    #[must_use]
    pub fn actor_source(&self) -> Option<ActorSource> {
        self.current_actor().map(|actor| actor.source())
    }

    /// Who acted before, the latest first: issuer and name.
    pub fn prior_actors(&self) -> impl Iterator<Item = (Printable<'a>, Printable<'a>)> {
        let actors = self.claims().into_iter().flat_map(Claims::prior_actors);
        actors.map(|actor| (actor.issuer().into(), actor.subject().into()))
    }

    /// Of which tenant, where the issuer's profile says what names it.
    #[must_use]
    pub fn tenant(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::tenant).map(Printable::from)
    }

    /// Our name that the token named: that it is there says that the audience was validated.
    #[must_use]
    pub fn audience(&self) -> Option<&'a Audience> {
        self.evidence().and_then(|evidence| evidence.token().audience())
    }

    /// True where the token named no audience, and its client was on a list instead
    /// ([`Profile::client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)).
    #[must_use]
    pub fn client_list_instead_of_audience(&self) -> bool {
        self.evidence().is_some_and(|evidence| evidence.token().audience().is_none())
    }

    /// The scopes of the token.
    pub fn scopes(&self) -> impl Iterator<Item = Printable<'a>> {
        self.evidence()
            .into_iter()
            .flat_map(|evidence| evidence.token().scopes())
            .map(Printable::from)
    }

    /// How well the subject authenticated.
    #[must_use]
    pub fn acr(&self) -> Option<Printable<'a>> {
        self.evidence().and_then(|evidence| evidence.token().acr()).map(Printable::from)
    }

    /// How long before the decision the subject authenticated; zero where the token's clock is ahead.
    #[must_use]
    pub fn authentication_age(&self) -> Option<Duration> {
        let at = self.evidence()?.token().auth_time()?;
        let age = self.at.unix_timestamp_nanos().saturating_sub(at.unix_timestamp_nanos());
        Some(Duration::from_nanos(u64::try_from(age).unwrap_or_default()))
    }

    /// What part step-up had.
    #[must_use]
    pub fn step_up(&self) -> StepUp {
        match self.reason().map(Reason::remedy) {
            Some(Remedy::StepUp) => StepUp::Asked,
            Some(_) => StepUp::None,
            None if self.requirement.asks_for_step_up() => StepUp::Met,
            None => StepUp::None,
        }
    }

    /// How the sender showed that the token is theirs: `bearer`, which is by having it, `dpop`, `mtls` or
    /// `dpop+mtls`. None where no token was validated.
    #[must_use]
    pub fn possession(&self) -> Option<&'static str> {
        self.evidence().map(|evidence| evidence.token().possession())
    }

    fn current_actor(&self) -> Option<Actor<'a>> {
        match self.said {
            Said::Validated(evidence) => evidence.token().actor(),
            Said::Signed(claims) => claims.current_actor(),
            Said::Nothing => None,
        }
    }

    fn evidence(&self) -> Option<&'a Evidence> {
        match self.said {
            Said::Validated(evidence) => Some(evidence),
            Said::Signed(_) | Said::Nothing => None,
        }
    }

    fn claims(&self) -> Option<&'a Claims> {
        match self.said {
            Said::Validated(evidence) => Some(evidence.token().claims()),
            Said::Signed(claims) => Some(claims),
            Said::Nothing => None,
        }
    }
}

impl fmt::Display for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn pair<T: fmt::Debug>(
            f: &mut fmt::Formatter<'_>,
            name: &str,
            value: Option<T>,
        ) -> fmt::Result {
            value.map_or(Ok(()), |value| write!(f, " {name}={value:?}"))
        }
        f.write_str(if self.allowed() { "allowed" } else { "denied" })?;
        write!(f, " operation=\"{}\"", self.operation)?;
        if let Some(denial) = self.denial {
            write!(f, " reason={} status={}", denial.reason(), denial.status().as_u16())?;
        }
        for reason in self.also() {
            write!(f, " also={reason}")?;
        }
        pair(f, "detail", self.detail())?;
        pair(f, "subject", self.subject())?;
        pair(f, "actor", self.actor())?;
        pair(f, "actor_issuer", self.actor_issuer())?;
        if let Some(source) = self.actor_source() {
            write!(f, " actor_source={}", source.as_str())?;
        }
        for (issuer, subject) in self.prior_actors() {
            write!(f, " prior_actor={subject:?} prior_actor_issuer={issuer:?}")?;
        }
        pair(f, "client", self.client())?;
        pair(f, "issuer", self.issuer())?;
        pair(f, "jti", self.jti())?;
        pair(f, "audience", self.audience().map(|audience| Printable::from(audience.as_str())))?;
        if self.client_list_instead_of_audience() {
            f.write_str(" client_list_instead_of_audience=true")?;
        }
        pair(f, "tenant", self.tenant())?;
        for scope in self.scopes() {
            write!(f, " scope={scope:?}")?;
        }
        pair(f, "acr", self.acr())?;
        pair(f, "authentication_age", self.authentication_age().map(|age| age.as_secs()))?;
        write!(f, " requirement={:?}", Printable::from(&*self.requirement.to_string()))?;
        if self.step_up() != StepUp::None {
            write!(f, " step_up={}", self.step_up().as_str())?;
        }
        if let Some(possession) = self.possession() {
            write!(f, " possession={possession}")?;
        }
        if self.query_token {
            f.write_str(" query_token=ignored")?;
        }
        let at = self.at.unix_timestamp();
        write!(f, " decision={} step={} at={at}", self.decision, self.step)
    }
}

impl fmt::Debug for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditEvent({self})")
    }
}
