//! Who acts for whom (RFC 8693 section 4).

use std::fmt;

use crate::printable::Printable;

/// A subject or an actor: a name, and the issuer in whose namespace it is one.
///
/// Both are compared: `alice` of one issuer is not `alice` of another.
///
/// ```
/// use unconfused::Party;
///
/// let agent = Party::new("https://login.example", "agent-7");
/// assert_ne!(agent, Party::from(("https://other.example", "agent-7")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party {
    issuer: String,
    subject: String,
}

impl Party {
    /// Creates the party that `issuer` calls `subject`.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Party { issuer: issuer.into(), subject: subject.into() }
    }

    /// Returns the issuer in whose namespace the name is one.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the name.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl<I: Into<String>, S: Into<String>> From<(I, S)> for Party {
    fn from((issuer, subject): (I, S)) -> Self {
        Party::new(issuer, subject)
    }
}

impl From<&Party> for Party {
    fn from(party: &Party) -> Self {
        party.clone()
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", Printable::from(&*self.subject), Printable::from(&*self.issuer))
    }
}

/// Where an [`Actor`] was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorSource {
    /// The claim `act` names it.
    Act,
    /// `act` names no actor, and the client is one of the issuer's
    /// [`agent_clients`](crate::Issuer::agent_clients).
    Client,
    /// `act` names no actor, and by the issuer's [`Profile`](crate::profile::Profile) the client is an agent.
    Profile,
    /// The claim `act` names it, and by the issuer's [`Profile`](crate::profile::Profile) it is a person who took the
    /// subject's place, not an agent.
    Impersonator,
}

impl ActorSource {
    /// Returns its name in the record: `act`, `client`, `profile` or `impersonator`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorSource::Act => "act",
            ActorSource::Client => "client",
            ActorSource::Profile => "profile",
            ActorSource::Impersonator => "impersonator",
        }
    }
}

/// Who acts, or acted, for the subject.
///
/// [`AccessToken::actor`](crate::AccessToken::actor) returns the one who acts now. Those that
/// [`AccessToken::prior_actors`](crate::AccessToken::prior_actors) returns are for the record only.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) source: ActorSource,
}

impl<'a> Actor<'a> {
    /// Returns the issuer in whose namespace the actor's name is one: `act.iss`, or the token's issuer if that is
    /// absent.
    #[must_use]
    pub fn issuer(&self) -> &'a str {
        self.issuer
    }

    /// Returns the actor's name: `act.sub`, or the client's if the client is the actor.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.subject
    }

    /// Returns where the actor was found.
    #[must_use]
    pub fn source(&self) -> ActorSource {
        self.source
    }

    /// Returns true if this actor is `party`, by issuer and name.
    #[must_use]
    pub fn is(&self, party: &Party) -> bool {
        self.issuer == party.issuer && self.subject == party.subject
    }
}

/// Compares issuer and name, and not where each actor was found.
impl PartialEq for Actor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

impl Eq for Actor<'_> {}

impl fmt::Debug for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", Printable::from(self.subject), Printable::from(self.issuer))
    }
}

/// Who may become the subject's actor, by `may_act`
/// ([RFC 8693 section 4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4)).
///
/// This is for a service that exchanges tokens. It is **not** evidence that anyone acts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MayAct<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
}

impl MayAct<'_> {
    /// Returns true if `actor` is the party that may act, by issuer and name.
    #[must_use]
    pub fn authorizes(&self, actor: &Party) -> bool {
        self.issuer == actor.issuer && self.subject == actor.subject
    }
}

impl fmt::Debug for MayAct<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", Printable::from(self.subject), Printable::from(self.issuer))
    }
}
