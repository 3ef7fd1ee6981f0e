//! The end of each step: the grant or the denial, and the record.

use time::UtcDateTime;

use super::refused::Refused;
use super::request::RequestContext;
use super::{Grant, Guard};
use crate::audit::{AuditEvent, KnownClaims};
use crate::challenge::Scheme;
use crate::denial::Denial;
use crate::evidence::{DecisionId, Evidence};
use crate::require::Require;

impl Guard {
    /// Records the step of a request whose token was validated, and makes the grant or the denial.
    pub(super) fn decided(
        &self,
        evidence: Evidence,
        checked: Result<(), Denial>,
    ) -> Result<Grant, Denial> {
        match checked {
            Ok(()) => {
                self.record_validated(&evidence, evidence.at(), None);
                Ok(Grant::new(evidence, self))
            }
            Err(denial) => Err(self.deny_validated(&evidence, evidence.at(), denial)),
        }
    }

    /// Completes and records the denial of a request whose token was validated.
    pub(super) fn deny_validated(
        &self,
        evidence: &Evidence,
        at: UtcDateTime,
        denial: Denial,
    ) -> Denial {
        let scheme = Some(evidence.request.credential.scheme());
        let denial = denial.with_scope_hint(evidence.requirement());
        let denial = self.complete(denial, evidence.decision(), scheme, at);
        self.record_validated(evidence, at, Some(&denial));
        denial
    }

    /// Completes and records the denial of a request whose token was not validated.
    pub(super) fn deny(
        &self,
        context: &RequestContext,
        requirement: &Require,
        refused: Refused,
    ) -> Denial {
        let Refused { denial, claims } = refused;
        let denial = denial.with_scope_hint(requirement);
        let denial = self.complete(denial, context.decision, context.scheme, context.at);
        self.record(&AuditEvent {
            at: context.at,
            decision: context.decision,
            step: context.earlier.as_ref().map_or(0, |earlier| earlier.next_step()),
            operation: &context.operation,
            requirement,
            query_token: context.query_token,
            known_claims: claims.as_deref().map_or(KnownClaims::None, KnownClaims::Signed),
            denial: Some(&denial),
        });
        denial
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
            .with_schemes(scheme, self.dpop_settings(), at);
        match &self.inner.metadata_url {
            Some(url) => denial.with_resource_metadata(url),
            None => denial,
        }
    }

    fn record_validated(&self, evidence: &Evidence, at: UtcDateTime, denial: Option<&Denial>) {
        self.record(&AuditEvent {
            at,
            decision: evidence.decision(),
            step: evidence.request.next_step(),
            operation: evidence.operation(),
            requirement: evidence.requirement(),
            query_token: evidence.request.query_token,
            known_claims: KnownClaims::Validated(evidence),
            denial,
        });
    }

    fn record(&self, event: &AuditEvent<'_>) {
        for sink in &self.inner.audit {
            sink.record(event);
        }
    }
}
