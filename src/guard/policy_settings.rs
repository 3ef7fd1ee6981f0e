//! The policies of a guard as its settings hold them: how one is asked, and how an obligation is executed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::evidence::Evidence;
use crate::policy::{Obligation, ObligationAnswer, Policy, Question, Ruling, Unanswered, answered};

/// The policies of a guard, and what executes their obligations.
#[derive(Clone)]
pub(super) struct Policies {
    /// Of one route. They are asked first.
    pub(super) rules: Vec<Arc<dyn Policy>>,
    pub(super) policies: Vec<Arc<dyn Policy>>,
    pub(super) obligations: BTreeMap<String, Arc<Execute>>,
    /// How long one policy, or one obligation, may take.
    pub(super) time_limit: Duration,
}

/// Executes an obligation.
pub(super) type Execute = dyn Fn(&Obligation, &Evidence) -> ObligationAnswer + Send + Sync;

impl Default for Policies {
    fn default() -> Self {
        Policies {
            rules: Vec::new(),
            policies: Vec::new(),
            obligations: BTreeMap::new(),
            time_limit: Duration::from_secs(2),
        }
    }
}

impl Policies {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.policies.is_empty()
    }

    pub(super) fn asked(&self) -> impl Iterator<Item = &Arc<dyn Policy>> {
        self.rules.iter().chain(&self.policies)
    }

    pub(super) fn ask(&self, policy: &dyn Policy, evidence: &Evidence) -> Answer<'static, Ruled> {
        let obligations: Vec<_> = self.obligations.keys().map(String::as_str).collect();
        answered(|| policy.decide(&Question::new(evidence, &obligations)), self.time_limit)
    }

    pub(super) fn execute(
        &self,
        obligation: &Obligation,
        evidence: &Evidence,
    ) -> Option<Answer<'static, Executed>> {
        let execute = self.obligations.get(obligation.name())?;
        Some(answered(|| execute(obligation, evidence), self.time_limit))
    }
}

/// What a policy answered, if it did.
pub(super) type Ruled = Result<Ruling, Unanswered>;
/// Whether an obligation was executed.
pub(super) type Executed = Result<Result<(), Box<dyn std::error::Error + Send + Sync>>, Unanswered>;
