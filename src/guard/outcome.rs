//! The end of each step: the grant or the denial, and the record.

use std::time::Duration;

use time::UtcDateTime;

use super::clock::stopwatch;
use super::refused::Refused;
use super::request::RequestContext;
use super::{Grant, Guard};
use crate::audit::{AuditEvent, HopStep, KnownClaims};
use crate::challenge::Scheme;
use crate::denial::Denial;
use crate::evidence::{Beginning, DecisionId, Evidence, TokenSource};

/// How a step of a request that was granted before begins. Since the grant, the time is the handler's.
const AFTER_THE_GRANT: Beginning = Beginning { stopwatch: None, token_source: TokenSource::Grant };

impl Guard {
    /// Records the step of a request whose token was validated, and makes the grant or the denial.
    pub(super) fn decided(
        &self,
        evidence: Evidence,
        checked: Result<(), Denial>,
    ) -> Result<Grant, Denial> {
        let (at, beginning) = (evidence.at(), evidence.beginning());
        match checked {
            Ok(()) => {
                self.record_validated(&evidence, at, beginning, None, None);
                Ok(Grant::new(evidence, self))
            }
            Err(denial) => Err(self.deny_validated(&evidence, at, beginning, denial)),
        }
    }

    /// Completes and records the denial of a request that was granted before.
    pub(super) fn deny_granted(&self, grant: &Grant, at: UtcDateTime, denial: Denial) -> Denial {
        self.deny_validated(grant, at, AFTER_THE_GRANT, denial)
    }

    /// Completes and records the denial of a request whose token was validated.
    fn deny_validated(
        &self,
        evidence: &Evidence,
        at: UtcDateTime,
        beginning: Beginning,
        denial: Denial,
    ) -> Denial {
        let scheme = Some(evidence.request.credential.scheme());
        let denial = denial.with_scope_hint(evidence.requirement());
        let denial = self.complete(denial, evidence.decision(), scheme, at);
        self.record_validated(evidence, at, beginning, Some(&denial), None);
        denial
    }

    /// Records that a request was granted a token for what this service calls next, or why it was not.
    #[cfg(feature = "remote")]
    pub(crate) fn record_hop(
        &self,
        evidence: &Evidence,
        hop: HopStep<'_>,
        denied: Option<Denial>,
    ) -> Result<(), Denial> {
        let at = self.inner.clock.now();
        let scheme = Some(evidence.request.credential.scheme());
        let complete = |denial| self.complete(denial, evidence.decision(), scheme, at);
        let denial = denied.map(complete);
        self.record_validated(evidence, at, AFTER_THE_GRANT, denial.as_ref(), Some(hop));
        denial.map_or(Ok(()), Err)
    }

    /// Completes and records the denial of a request whose token was not validated.
    pub(super) fn deny(&self, context: &RequestContext, refused: Refused) -> Denial {
        let Refused { denial, claims } = refused;
        let RequestContext { step, facts, scheme, .. } = context;
        let denial = denial.with_scope_hint(&step.requirement);
        let denial = self.complete(denial, facts.decision, *scheme, step.at);
        let claims = claims.as_deref().map_or(KnownClaims::None, KnownClaims::Signed);
        self.record_not_validated(context, claims, Some(&denial));
        denial
    }

    /// Records that a request without a token passes, since another authenticator has authenticated it.
    pub(super) fn record_other_authenticator(&self, context: &RequestContext, name: &'static str) {
        let known = KnownClaims::OtherAuthenticator(name);
        self.record_not_validated(context, known, None);
    }

    fn record_not_validated(
        &self,
        context: &RequestContext,
        known_claims: KnownClaims<'_>,
        denial: Option<&Denial>,
    ) {
        let RequestContext { step, facts, .. } = context;
        self.record(&AuditEvent {
            at: step.at,
            decision: facts.decision,
            step: facts.next_step(),
            operation: &step.operation,
            requirement: &step.requirement,
            query_token: facts.query_token,
            known_claims,
            denial,
            next_hop: None,
            trace: facts.trace,
            token_source: step.beginning.token_source,
            took: took(step.beginning),
        });
    }

    /// Adds what every denial of this guard says.
    fn complete(
        &self,
        denial: Denial,
        decision: DecisionId,
        scheme: Option<Scheme>,
        at: UtcDateTime,
    ) -> Denial {
        let denial = denial
            .with_decision(decision)
            .with_details_dialect(self.inner.details_dialect)
            .with_schemes(scheme, self.dpop_settings(), at)
            .with_text(self.make_text().map(|make_text| &**make_text));
        match &self.inner.metadata_url {
            Some(url) => denial.with_resource_metadata(url),
            None => denial,
        }
    }

    fn record_validated(
        &self,
        evidence: &Evidence,
        at: UtcDateTime,
        beginning: Beginning,
        denial: Option<&Denial>,
        next_hop: Option<HopStep<'_>>,
    ) {
        let number = evidence.request.next_step();
        if !self.has_record() {
            return;
        }
        let facts = &evidence.request.facts;
        self.record(&AuditEvent {
            at,
            decision: facts.decision,
            step: number,
            operation: evidence.operation(),
            requirement: evidence.requirement(),
            query_token: facts.query_token,
            known_claims: KnownClaims::Validated(evidence),
            denial,
            next_hop,
            trace: facts.trace,
            token_source: beginning.token_source,
            took: took(beginning),
        });
    }

    fn record(&self, event: &AuditEvent<'_>) {
        for sink in &self.inner.audit {
            sink.record(event);
        }
    }

    /// True if there is a sink.
    pub(super) fn has_record(&self) -> bool {
        !self.inner.audit.is_empty()
    }

    /// How a step begins whose token comes from there.
    pub(super) fn begin(&self, token_source: TokenSource) -> Beginning {
        Beginning { stopwatch: self.inner.is_timed.then(stopwatch), token_source }
    }
}

/// How long a step took, if a sink asks.
fn took(beginning: Beginning) -> Option<Duration> {
    beginning.stopwatch.map(|began| stopwatch().saturating_sub(began))
}
