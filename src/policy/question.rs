//! What a policy is asked.

use std::fmt;

use http::request::Parts;

use crate::evidence::{Evidence, Operation};
use crate::token::{Actor, Party};

/// What a [`Policy`](crate::policy::Policy) is asked: may this be done, for this subject, through this actor, now?
///
/// The requirement is met: the token is valid, meant for this resource, and has what the operation requires.
///
/// The subject and the current actor are apart, and both must be permitted: a subject may not do something because its
/// agent may, nor the reverse. Prior actors are in the evidence for the record. They are not an authority, so a policy
/// decides nothing by them.
pub struct Question<'a> {
    evidence: &'a Evidence,
    obligations: &'a [&'a str],
}

impl<'a> Question<'a> {
    pub(crate) fn new(evidence: &'a Evidence, obligations: &'a [&'a str]) -> Self {
        Question { evidence, obligations }
    }

    /// Returns what the decision rests on: the operation, its requirement, the validated token and the time.
    ///
    /// It is cheap to clone. An answer that comes later takes a clone with it.
    pub fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// Returns the operation: its name, the resource that it touches, and its attributes, as far as they are stated.
    ///
    /// A layer states the [name](crate::layer::GuardLayer::named) alone, a handler the rest
    /// ([`Ask`](crate::policy::Ask)).
    #[must_use]
    pub fn operation(&self) -> &'a Operation {
        self.evidence.operation()
    }

    /// Returns whose authority the token carries.
    #[must_use]
    pub fn subject(&self) -> Party<'a> {
        self.evidence.token().subject()
    }

    /// Returns who acts for the subject now. `None` if no one does.
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'a>> {
        self.evidence.token().actor()
    }

    /// Returns the head of the request, without credentials.
    ///
    /// It is a copy. It lacks the credential and every other field that contains the token, the proof, what a proxy says
    /// of the client's certificate, and `Authorization`, `Proxy-Authorization` and `Cookie`. It has no query if an
    /// `access_token` is in it. What other layers put into the extensions is there, but for grants.
    ///
    /// In a handler that narrows, it is the head that the last layer of this guard saw. `None` if another guard made the
    /// grant that is narrowed.
    #[must_use]
    pub fn head(&self) -> Option<&'a Parts> {
        self.evidence.head().map(|head| &**head)
    }

    /// Returns the names of the obligations that the guard can execute
    /// ([`Guard::obligation`](crate::Guard::obligation)). Any other turns a permit into a no.
    pub fn obligations(&self) -> impl Iterator<Item = &'a str> {
        self.obligations.iter().copied()
    }
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({:?})", self.evidence)
    }
}
