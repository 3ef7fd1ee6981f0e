//! What a policy answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::answer::Answer;
use crate::denial::ApprovalTask;
use crate::evidence::Attribute;
use crate::require::Require;

/// What a [`Policy`](crate::policy::Policy) says about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a verdict that is not returned decides nothing"]
pub enum Verdict {
    /// The request is permitted.
    Permit,
    /// The request is permitted if the token also meets this.
    ///
    /// The guard checks it together with what the operation requires, once, and does not ask the policy again. So the
    /// client gets one challenge for everything that is lacking, as if both had been required from the start. The two are
    /// combined with [`Require::and`], so an actor of another namespace must be listed in both. A requirement that the
    /// guard has no means to check is answered with 500 (`internal_error`).
    PermitIf(Require),
    /// The request is refused for good: 403, `policy_denied`, without a challenge.
    ///
    /// The text names the rule, for the record. The client does not see it.
    Forbid(Cow<'static, str>),
    /// The policy cannot say: 503, `policy_unavailable`.
    ///
    /// The text says why, for the record, so it must not contain secrets. The client does not see it.
    Unavailable(Cow<'static, str>),
    /// The request is refused until a human has approved it, and another system keeps a task for that: 403,
    /// `approval_required`.
    ///
    /// For an approval that this guard asks for and recognizes itself, answer `PermitIf` with a [`Require::detail`] that
    /// must be [approved](crate::detail::Detail::approved); see [`approvals`](crate::approvals).
    NeedsApproval(ApprovalTask),
}

impl Verdict {
    /// Names the policies that decided, for the record: the ids that the policy engine has for them.
    pub fn by(self, policies: impl IntoIterator<Item = impl Into<String>>) -> Ruling {
        Ruling::from(self).by(policies)
    }

    /// Adds an obligation.
    pub fn obliged(self, obligation: Obligation) -> Ruling {
        Ruling::from(self).obliged(obligation)
    }
}

/// A verdict, the policies that decided, and the obligations that come with it.
///
/// A verdict alone is a ruling without the other two.
///
/// ```
/// use unconfused::policy::{Obligation, Verdict};
///
/// let ruling = Verdict::Permit.by(["refunds-small"]).obliged(Obligation::new("notify_owner").with("by", "mail"));
/// # drop(ruling);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a ruling that is not returned decides nothing"]
pub struct Ruling {
    pub(crate) verdict: Verdict,
    pub(crate) policies: Vec<String>,
    pub(crate) obligations: Vec<Obligation>,
}

impl Ruling {
    /// Names more policies that decided.
    pub fn by(mut self, policies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.policies.extend(policies.into_iter().map(Into::into));
        self
    }

    /// Adds another obligation.
    pub fn obliged(mut self, obligation: Obligation) -> Self {
        self.obligations.push(obligation);
        self
    }
}

impl From<Verdict> for Ruling {
    fn from(verdict: Verdict) -> Self {
        Ruling { verdict, policies: Vec::new(), obligations: Vec::new() }
    }
}

/// The answer of a [`Policy`](crate::policy::Policy): at once, or later.
///
/// A [`Verdict`], a [`Ruling`] and an [`Answer`] with a verdict turn into one.
pub type PolicyAnswer = Answer<'static, Ruling>;

impl From<Verdict> for PolicyAnswer {
    fn from(verdict: Verdict) -> Self {
        Answer::Now(verdict.into())
    }
}

impl From<Ruling> for PolicyAnswer {
    fn from(ruling: Ruling) -> Self {
        Answer::Now(ruling)
    }
}

impl From<Answer<'static, Verdict>> for PolicyAnswer {
    fn from(answer: Answer<'static, Verdict>) -> Self {
        match answer {
            Answer::Now(verdict) => verdict.into(),
            Answer::Later(verdict) => Answer::later(async move { verdict.await.into() }),
        }
    }
}

/// Something that must be done with a request, because a policy says so: to notify someone, or to keep a copy.
///
/// What it is called, and what its parameters mean, is between your policies and
/// [`Guard::obligation`](crate::Guard::obligation).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an obligation obliges only in a ruling"]
pub struct Obligation {
    name: String,
    parameters: BTreeMap<String, Attribute>,
}

impl Obligation {
    /// Makes an obligation of this name without parameters.
    pub fn new(name: impl Into<String>) -> Self {
        Obligation { name: name.into(), parameters: BTreeMap::new() }
    }

    /// Sets a parameter, and replaces what was there.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Attribute>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Attribute> {
        self.parameters.get(name)
    }

    /// Returns all parameters, in the order of their names.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.parameters.iter().map(|(name, value)| (&**name, value))
    }
}

/// The answer of what executes an obligation: at once, or later. The error goes into the record, so it must not contain
/// secrets.
pub type ObligationAnswer = Answer<'static, Result<(), Box<dyn std::error::Error + Send + Sync>>>;
