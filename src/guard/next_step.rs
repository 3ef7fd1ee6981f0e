//! A further step of a request that a layer has granted, once the layer has read its body.

use std::sync::Arc;

use super::request::{GuardAnswer, StepKind};
use super::{Grant, Guard};
use crate::answer::Answer;
use crate::denial::Denial;
use crate::evidence::{Operation, Step, TokenSource};
use crate::require::Require;

impl Guard {
    /// Judges the next step of a request that this guard has granted: another operation, and what it requires besides.
    ///
    /// Reading the body took time, so the guard's clock is read again. A token that is spent is spent by this step,
    /// like by any other layer.
    pub(crate) fn answer_next_step(
        &self,
        grant: &Grant,
        operation: Operation,
        requirement: Arc<Require>,
    ) -> GuardAnswer {
        let at = self.inner.clock.now();
        let (head, policies) = (grant.head().cloned(), Vec::new());
        let beginning = self.begin(TokenSource::Grant);
        let step = Step { operation, requirement, at, head, policies, beginning };
        let evidence = grant.for_later_step(step);
        match self.inner.terms.check_end(evidence.token(), at) {
            Ok(()) => self.check_requirement(evidence, StepKind::Layer { approvable: false }),
            Err(reason) => Answer::Now(self.decided(evidence, Err(reason.into()))),
        }
    }

    /// Refuses a request that was granted, and records it as a further step.
    pub(crate) fn refuse_next_step(&self, grant: &Grant, denial: Denial) -> Denial {
        self.deny_granted(grant, self.inner.clock.now(), denial)
    }

    /// True if the guard can ask for approvals, so that an operation behind a layer may need one.
    pub(crate) fn asks_for_approvals(&self) -> bool {
        self.inner.approvals.is_some()
    }
}
