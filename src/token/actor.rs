//! Who acts for whom (RFC 8693 section 4).

use std::fmt;

use crate::printable::Printable;

/// A subject or an actor: a name, and the issuer in whose namespace it is one. Both are compared:
/// alice of one issuer is not alice of another.
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
    /// The party that `issuer` calls `subject`.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Party { issuer: issuer.into(), subject: subject.into() }
    }

    /// In whose namespace the name is one.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The name.
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

/// Where an actor was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorSource {
    /// The `act` claim names it.
    Act,
    /// `act` names no actor; the client is one of the owner's
    /// [`agent_clients`](crate::Issuer::agent_clients).
    Client,
    /// `act` names no actor; the token says by its issuer's [`Profile`](crate::profile::Profile) that the client is an
    /// agent.
    Profile,
    /// The `act` claim names it, and by the issuer's [`Profile`](crate::profile::Profile) that is a person who took the
    /// subject's place, and no agent.
    Impersonator,
}

impl ActorSource {
    /// Its name in the record: `act`, `client`, `profile` or `impersonator`.
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
/// From [`AccessToken::actor`](crate::AccessToken::actor), the one who acts now; or from
/// [`AccessToken::prior_actors`](crate::AccessToken::prior_actors), for the record only.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) source: ActorSource,
}

impl<'a> Actor<'a> {
    /// In whose namespace the actor's name is one: `act.iss`, or the token's issuer where that is absent.
    #[must_use]
    pub fn issuer(&self) -> &'a str {
        self.issuer
    }

    /// The actor's name, `act.sub`.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.subject
    }

    /// Where the actor was found.
    #[must_use]
    pub fn source(&self) -> ActorSource {
        self.source
    }

    /// True where this is that party: issuer and name.
    #[must_use]
    pub fn is(&self, party: &Party) -> bool {
        self.issuer == party.issuer && self.subject == party.subject
    }
}

/// The same party: issuer and name, wherever each was found.
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

/// Who may become the subject's actor, as `may_act` says
/// ([RFC 8693 section 4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4)).
///
/// Input for whoever exchanges tokens. It is **no** evidence that anybody acts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MayAct<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
}

impl MayAct<'_> {
    /// True where `actor` is the party that may act: issuer and name.
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
